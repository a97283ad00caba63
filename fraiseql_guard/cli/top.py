"""``fraiseql-guard top``: requests, refusals and who is refused most, live."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fraiseql_guard.cli.connect import Reached, UrlOption, ask
from fraiseql_guard.cli.durations import local_time
from fraiseql_guard.cli.errors import told
from fraiseql_guard.cli.fleet import of_one_worker, seen_status, summary
from fraiseql_guard.cli.render import JsonOption, grid, on_terminal, print_json, print_line, print_rows, printable
from fraiseql_guard.cli.targets import named
from fraiseql_guard.operations.fleet.traffic import REFUSALS, REQUESTS, STEP_SECONDS
from fraiseql_guard.operations.operator.interface import NotAppliedError, Offender, OperatorError, Status, Worker

_BARS: Final = " ▁▂▃▄▅▆▇█"
_HEADERS: Final = ("who", "requests", "refused", "codes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What one look sees."""

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
    with told():
        if as_json or once or not on_terminal():
            frame = ask(url, lambda to: look(to, count))
            print_json(frame) if as_json else print_frame(frame)
            if not frame.status.store_answers:
                raise NotAppliedError(of_one_worker(frame.status))
            return
        try:
            ask(url, lambda to: _watch(to, count, every))
        except KeyboardInterrupt:
            return


async def look(to: Reached, count: int) -> Frame:
    """One look: at one worker alone while the store does not answer."""
    status = await seen_status(to)
    alone = status.alone
    return Frame(
        status=status, offenders=await to.operator.offenders(count) if alone is None else alone.offenders[:count]
    )


def print_frame(frame: Frame) -> None:
    """One look as lines."""
    for line in (*_heading(frame.status), *_marks(frame.status)):
        print_line(line)
    print_rows(_HEADERS, _rows(frame.offenders), none="Nobody was refused in the last five minutes.")


async def _watch(to: Reached, count: int, every: float) -> None:
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        frame, trouble = await look(to, count), ""  # what cannot be reached at all ends the command
        while True:
            picture = drawn(frame, live.console.width)
            live.update(Group(picture, Text(trouble, style="red")), refresh=True)
            await asyncio.sleep(every)
            try:
                frame, trouble = await look(to, count), ""
            except OperatorError as error:  # a store that restarts: what was seen last stays in view
                trouble = printable(error)


def drawn(frame: Frame, width: int) -> Group:
    status = frame.status
    notes = [Text(f"note: {printable(note)}", style="yellow") for note in status.notes]
    bars = Text("\n").join(Text(f"{name:>9} {sparkline(total(status.workers, name))}") for name in (REQUESTS, REFUSALS))
    heading = [Text(printable(line), style="bold") for line in _heading(status)]
    return Group(*heading, bars, *notes, Text(), grid(_HEADERS, _rows(frame.offenders), width=width))


def _heading(status: Status) -> Sequence[str]:
    rates = ((rate(status.workers, name), name) for name in (REQUESTS, REFUSALS))
    told = ", ".join(f"{'?' if value is None else f'{value:,.1f}'} {name}/s" for value, name in rates)
    counted = [each.in_flight for each in status.workers if each.in_flight is not None]
    at_work = sum(counted) if counted else "?"
    return (summary(status), f"{local_time(status.at)}  {told}, {at_work} in flight")


def _marks(status: Status) -> Sequence[str]:
    """What has to be known of the numbers: that they are of one worker alone."""
    return () if status.alone is None else [f"note: {note}" for note in status.notes]


def _rows(offenders: Sequence[Offender]) -> list[Sequence[object]]:
    return [(named(each.target), each.requests, each.refusals, _codes(each)) for each in offenders]


def _codes(offender: Offender) -> str:
    ranked = sorted(offender.by_code.items(), key=lambda item: -item[1])
    return " ".join(f"{code}={count}" for code, count in ranked)


def total(workers: Sequence[Worker], name: str) -> Sequence[float]:
    """A series summed over the workers. Each ends at its own moment: those that lag are moved by whole steps."""
    newest = max((each.series_ends_at for each in workers), default=0.0)
    added: list[float] = []
    for each in workers:
        late = round((newest - each.series_ends_at) / STEP_SECONDS)
        for back, value in enumerate([*(0.0 for _ in range(late)), *reversed(each.series.get(name, ()))]):
            if back == len(added):
                added.append(0.0)
            added[back] += value
    return added[::-1]


def rate(workers: Sequence[Worker], name: str) -> float | None:
    """A second's worth of a series: of its last whole step, as the newest one is still being counted. None if no worker
    has told of one."""
    steps = total(workers, name)
    return steps[-2] / STEP_SECONDS if len(steps) > 1 else None


def sparkline(values: Sequence[float]) -> str:
    """The values as bars, the largest the highest."""
    largest = max(values, default=0.0) or 1.0
    return "".join(
        _BARS[min(round(value / largest * 8), 8) if value <= 0 else max(round(value / largest * 8), 1)]
        for value in values
    )
