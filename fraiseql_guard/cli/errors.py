"""The exit codes of all commands, and how their errors are printed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from fraiseql_guard.cli.render import warn
from fraiseql_guard.operations.operator.interface import DangerousError, NotFoundError, OperatorError

REFUSED: Final = 1
"""The exit code of a negative answer: a refused document, nothing found."""
ERROR: Final = 2
"""The exit code of a command that could not do its work; a line on standard error says why, and what helps."""
DANGEROUS: Final = 3
"""The exit code of a command that did nothing because it would hit the wrong callers; it needs --force."""

EXIT_CODES: Final = (
    "Ends with 0 if it was done, 1 if the answer is no or nothing was found, 2 if it could not be done "
    "(one line on standard error says why and what helps), 3 if it is dangerous and wants --force."
)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print an error as one line on standard error, and end the command with the exit code for it."""
    try:
        yield
    # The most specific error comes first: a DangerousError is an OperatorError.
    except DangerousError as error:
        _end(f"{error}. Nothing was changed. If this is what you want: the same with --force", DANGEROUS)
    except OperatorError as error:
        _end(str(error), REFUSED if isinstance(error, NotFoundError) else ERROR)
    except (OSError, ValueError) as error:  # a SettingsError is a ValueError
        _end(str(error), ERROR)


def _end(message: str, code: int) -> None:
    warn(message)
    raise typer.Exit(code) from None
