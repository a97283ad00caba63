"""What all commands share: how errors are told, and the exit codes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

REFUSED: Final = 1
"""Exit code of a negative answer: a refused document, nothing found."""
ERROR: Final = 2
"""Exit code of what could not be done; one line on standard error says why and what helps."""


@contextmanager
def told() -> Iterator[None]:
    """What cannot be done is said in a line, and ends the command with 2."""
    try:
        yield
    except (OSError, ValueError) as error:  # a SettingsError is a ValueError
        print(error, file=sys.stderr)
        raise typer.Exit(ERROR) from None
