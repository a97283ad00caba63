"""Prints the outcome of an action in one line: the target, until when it holds, how many recent requests it would have
refused, and the command that undoes it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from fraiseql_guard.cli import durations
from fraiseql_guard.cli.render import on_terminal, print_command, print_json, print_line
from fraiseql_guard.operations.operator.interface import Done
from fraiseql_guard.operations.operator.routes import REASON

ForOption = Annotated[str, typer.Option("--for", metavar="DURATION", help=f"How long: {durations.ACCEPTED}.")]
ReasonOption = Annotated[str, typer.Option("--reason", help=REASON.doc)]
ForceOption = Annotated[
    bool, typer.Option("--force", "--yes", "-y", help="Do it although it would meet proxies, yourself or too many.")
]

HOUR = "1h"


def seconds_of(text: str) -> float:
    """The seconds of a value of --for. ValueError, which names the option, for any other text."""
    try:
        return durations.parse_duration(text)
    except ValueError as error:
        raise ValueError(f"--for {error}") from None


def print_done(
    done: Done, deed: str = "", *, as_json: bool = False, lasts_seconds: float | None = None, undo: str | None = None
) -> None:
    """Print the outcome of an action. ``deed`` begins the sentence; without it, or if nothing changed, the Operator's
    own message is printed. ``lasts_seconds`` is how long the change holds, ``undo`` the command that ends it."""
    if as_json:
        print_json(done)
        return
    # Nothing has changed, or there is nothing to add to the Operator's message.
    if not done.changed or not deed:
        print_line(_sentence(done.message))
        return
    ends = f" {durations.until(lasts_seconds, now=time.time())}" if lasts_seconds is not None else ""
    ended = done.details.get("connections_ended")
    open_ = f"; {ended:,} of its live connections ended there at once, others end within a second" if ended else ""
    watched = f"; it {done.details['watched']}" if done.details.get("watched") else ""
    sentence = _sentence(f"{deed}{ends}{_met(done)}{open_}{watched}")
    if undo is None:
        print_line(sentence)
    elif on_terminal():  # on a line of its own, to be copied
        print_line(sentence)
        print_command(f"Undo: {undo}")
    else:
        print_line(f"{sentence} Undo: {undo}")


def _met(done: Done) -> str:
    """A phrase with the number of recent requests that the action would have refused; "" where it was not measured,
    which is not the same as 0."""
    if done.would_have_met is None:
        return ""
    seen = done.details.get("requests_seen")
    of_all = f"of the last {seen:,} requests" if seen else "recent requests"
    return f": it would have refused {done.would_have_met:,} {of_all}"


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
