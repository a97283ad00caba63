"""``fraiseql-guard top``: shows requests, refusals and the callers that are refused most, live."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fraiseql_guard.cli.connect import FleetConnection, UrlOption, ask
from fraiseql_guard.cli.durations import local_time
from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.fleet import of_one_worker, seen_status, summary
from fraiseql_guard.cli.render import JsonOption, grid, on_terminal, print_json, print_line, print_rows, printable
from fraiseql_guard.cli.targets import named
from fraiseql_guard.operations.fleet.traffic import REFUSALS, REQUESTS, STEP_SECONDS
from fraiseql_guard.operations.operator.interface import NotAppliedError, Offender, OperatorError, Status
from fraiseql_guard.operations.operator.shared_values import Worker

_BARS: Final = " ▁▂▃▄▅▆▇█"
_HEADERS: Final = ("who", "requests", "refused", "codes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The content of the screen at one moment."""

    status: Status
    offenders: Sequence[Offender]


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one look and end (also in a pipe).")] = False,
    every: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between looks.")] = 1.0,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=1000, help="How many callers.")] = 20,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch requests, refusals and who is refused most in the last five minutes. Ctrl-C ends it."""
    with exit_on_error():
        if as_json or once or not on_terminal():
            _print_once(ask(url, lambda fleet: look(fleet, count)), as_json=as_json)
            return
        with suppress(KeyboardInterrupt):
            ask(url, lambda fleet: _watch(fleet, count, every))


def _print_once(frame: Frame, *, as_json: bool) -> None:
    """Print a frame; then NotAppliedError if it shows one worker instead of the fleet."""
    print_json(frame) if as_json else print_frame(frame)
    if not frame.status.store_answers:
        raise NotAppliedError(of_one_worker(frame.status))


async def look(fleet: FleetConnection, count: int) -> Frame:
    """The present frame of the fleet; of one worker while the store does not answer."""
    status = await seen_status(fleet)
    alone = status.alone
    return Frame(
        status=status, offenders=await fleet.operator.offenders(count) if alone is None else alone.offenders[:count]
    )


def print_frame(frame: Frame) -> None:
    """Print a frame as lines."""
    for line in (*_heading(frame.status), *_marks(frame.status)):
        print_line(line)
    print_rows(_HEADERS, _rows(frame.offenders), none="Nobody was refused in the last five minutes.")


async def _watch(fleet: FleetConnection, count: int, every: float) -> None:
    # The terminal's second screen: the former content comes back at the end.
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        frame, trouble = await look(fleet, count), ""  # an error of the first look ends the command
        while True:
            picture = drawn(frame, live.console.width)
            live.update(Group(picture, Text(trouble, style="red")), refresh=True)
            await asyncio.sleep(every)
            try:
                frame, trouble = await look(fleet, count), ""
            except OperatorError as error:  # a store that restarts: the last frame stays in view
                trouble = printable(error)


def drawn(frame: Frame, width: int) -> Group:
    status = frame.status
    notes = [Text(f"note: {printable(note)}", style="yellow") for note in status.notes]
    bars = Text("\n").join(Text(f"{name:>9} {sparkline(total(status.workers, name))}") for name in (REQUESTS, REFUSALS))
    heading = [Text(printable(line), style="bold") for line in _heading(status)]
    return Group(*heading, bars, *notes, Text(), grid(_HEADERS, _rows(frame.offenders), width=width))


def _heading(status: Status) -> Sequence[str]:
    rates = ", ".join(_shown_rate(status.workers, name) for name in (REQUESTS, REFUSALS))
    # A number that no worker knows is shown as a question mark, never as 0.
    counted = [each.in_flight for each in status.workers if each.in_flight is not None]
    in_flight = sum(counted) if counted else "?"
    return (summary(status), f"{local_time(status.at)}  {rates}, {in_flight} in flight")


def _shown_rate(workers: Sequence[Worker], name: str) -> str:
    value = rate(workers, name)
    return f"? {name}/s" if value is None else f"{value:,.1f} {name}/s"


def _marks(status: Status) -> Sequence[str]:
    """Notes for a frame that shows one worker instead of the fleet; () for the fleet."""
    return () if status.alone is None else [f"note: {note}" for note in status.notes]


def _rows(offenders: Sequence[Offender]) -> list[Sequence[object]]:
    return [(named(each.target), each.requests, each.refusals, _codes(each)) for each in offenders]


def _codes(offender: Offender) -> str:
    ranked = sorted(offender.by_code.items(), key=lambda item: -item[1])
    return " ".join(f"{code}={count}" for code, count in ranked)


def total(workers: Sequence[Worker], name: str) -> Sequence[float]:
    """A series added up over the workers, the oldest step first. Each worker's series ends with its heartbeat: those of
    older heartbeats are moved back by whole steps."""
    newest = max((each.series_ends_at for each in workers), default=0.0)
    added: list[float] = []
    for each in workers:
        # Series of older heartbeats lack the newest steps: they count 0 there.
        late = round((newest - each.series_ends_at) / STEP_SECONDS)
        for back, value in enumerate([*(0.0 for _ in range(late)), *reversed(each.series.get(name, ()))]):
            # The list grows to the longest series.
            if back == len(added):
                added.append(0.0)
            added[back] += value
    # Oldest first, as charts are read.
    return added[::-1]


def rate(workers: Sequence[Worker], name: str) -> float | None:
    """The count a second in the last whole step of a series (the newest step is still being counted); None before a
    worker has reported a whole step."""
    steps = total(workers, name)
    return steps[-2] / STEP_SECONDS if len(steps) > 1 else None


def sparkline(values: Sequence[float]) -> str:
    """The values as a line of bars, the largest at full height."""
    largest = max(values, default=0.0) or 1.0
    return "".join(
        # A value above 0 always shows a bar, however small it is beside the largest.
        _BARS[min(round(value / largest * 8), 8) if value <= 0 else max(round(value / largest * 8), 1)]
        for value in values
    )
