"""Bounds and orders the requests that wait for tokens: how many, of which caller, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.signals import WaitOutcome

_NOTHING: Final[Mapping[str, tuple[float, float]]] = {}


@dataclass(slots=True)
class _Line:
    """The requests of one caller, or key, that wait: how many, and when the last that waits for a bucket of it is
    due."""

    waiting: int = 0
    last_due: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By the bucket's name: the moment, and the seconds until a request like that one may follow."""


@dataclass(slots=True)
class Waiting:
    """All waiting requests of this process. Outlives a change of the settings."""

    total: int = 0
    lines: dict[tuple[str, str], _Line] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Awaited:
    """What a request waits for: a bucket and whose it is, when it is due, and how many seconds later a request like it
    may follow."""

    owner: Subject
    bucket: str
    due: float
    step: float


class WaitingRoom:
    """Where requests wait: ``most`` in this process, a quarter of them of one caller or key, ``seconds`` each at most.

    ``on_change`` is told how many wait, ``on_end`` what became of one.
    """

    def __init__(
        self,
        seconds: float,
        most: int,
        waiting: Waiting,
        *,
        on_change: Callable[[int], object],
        on_end: Callable[[WaitOutcome], object],
    ) -> None:
        self.seconds = seconds
        self._most = most
        self._most_of_one = max(1, most // 4)
        self._waiting = waiting
        self._on_change = on_change
        self.on_end = on_end

    def has_place(self, ctx: RequestContext) -> bool:
        """Whether one more request of this caller, and of the key that limits count it by, may wait."""
        lines = self._waiting.lines
        return self._waiting.total < self._most and all(
            lines[key].waiting < self._most_of_one for key in _keys_of(ctx) if key in lines
        )

    @property
    def empty(self) -> bool:
        """Whether none waits."""
        return not self._waiting.total

    def line_of(self, owner: Subject) -> Mapping[str, tuple[float, float]]:
        """For which buckets of a subject requests wait: by the bucket's name, when the last one is due, and how much
        later one like it may follow. Empty if none waits."""
        line = self._waiting.lines.get(owner.key)
        return _NOTHING if line is None else line.last_due

    @contextmanager
    def place(self, ctx: RequestContext, awaited: Awaited) -> Iterator[None]:
        """A place among those that wait, until the block is left."""
        keys, waiting = _keys_of(ctx), self._waiting
        for key in keys:
            waiting.lines.setdefault(key, _Line()).waiting += 1
        waiting.total += 1
        last_due = waiting.lines[awaited.owner.key].last_due
        last_due[awaited.bucket] = max(last_due.get(awaited.bucket, (0.0, 0.0)), (awaited.due, awaited.step))
        self._on_change(waiting.total)
        try:
            yield
        finally:
            waiting.total -= 1
            for key in keys:
                waiting.lines[key].waiting -= 1
                if not waiting.lines[key].waiting:
                    del waiting.lines[key]
            self._on_change(waiting.total)


def _keys_of(ctx: RequestContext) -> Sequence[tuple[str, str]]:
    """In whose lines a request stands: its caller's, and that of the key that limits count it by."""
    return (ctx.subject.key,) if ctx.keyed is None else (ctx.subject.key, ctx.keyed.key)
