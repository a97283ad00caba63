"""What all commands share: how errors are told, and the exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from fraiseql_guard.cli.render import warn
from fraiseql_guard.operations.operator.interface import DangerousError, NotFoundError, OperatorError

REFUSED: Final = 1
"""Exit code of a negative answer: a refused document, nothing found."""
ERROR: Final = 2
"""Exit code of what could not be done; one line on standard error says why and what helps."""
DANGEROUS: Final = 3
"""Exit code of what was not done because it would meet too many, and wants --force."""

EXIT_CODES: Final = (
    "Ends with 0 if it was done, 1 if the answer is no or nothing was found, 2 if it could not be done "
    "(one line on standard error says why and what helps), 3 if it is dangerous and wants --force."
)


@contextmanager
def told() -> Iterator[None]:
    """What cannot be done is said in a line, and ends the command with the exit code that says so."""
    try:
        yield
    except DangerousError as error:
        _end(f"{error}. Nothing was changed. If this is what you want: the same with --force", DANGEROUS)
    except OperatorError as error:
        _end(str(error), REFUSED if isinstance(error, NotFoundError) else ERROR)
    except (OSError, ValueError) as error:  # a SettingsError is a ValueError
        _end(str(error), ERROR)


def _end(message: str, code: int) -> None:
    warn(message)
    raise typer.Exit(code) from None
