"""Where requests wait for tokens: how many, of which caller, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.signals import WaitOutcome

_NOTHING: Final[Mapping[str, tuple[float, float]]] = {}


@dataclass(slots=True)
class _Line:
    """The requests of one caller that wait: how many, and when the last one that waits for a bucket is due."""

    waiting: int = 0
    last_due: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By the bucket's name: the moment, and the seconds until a request like that one may follow."""


@dataclass(slots=True)
class Waiting:
    """All that wait in this process. It outlives a change of the settings."""

    total: int = 0
    lines: dict[tuple[str, str], _Line] = field(default_factory=dict)


class WaitingRoom:
    """Where requests wait: ``most`` in this process, a quarter of them of one caller, ``seconds`` each at most.

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
        """Whether one more request of this caller may wait."""
        line = self._waiting.lines.get(ctx.subject.key)
        return self._waiting.total < self._most and (line is None or line.waiting < self._most_of_one)

    def line_of(self, ctx: RequestContext) -> Mapping[str, tuple[float, float]]:
        """For what the requests of a caller wait: by the bucket's name, when the last one is due, and how much later
        one like it may follow. Empty if none waits."""
        line = self._waiting.lines.get(ctx.subject.key)
        return _NOTHING if line is None else line.last_due

    @contextmanager
    def place(self, ctx: RequestContext, bucket: str, due: float, step: float) -> Iterator[None]:
        """A place among those that wait, until the block is left."""
        key, waiting = ctx.subject.key, self._waiting
        line = waiting.lines.setdefault(key, _Line())
        line.waiting += 1
        waiting.total += 1
        last = line.last_due.get(bucket, (0.0, 0.0))
        line.last_due[bucket] = max(last, (due, step))
        self._on_change(waiting.total)
        try:
            yield
        finally:
            line.waiting -= 1
            waiting.total -= 1
            if not line.waiting:
                waiting.lines.pop(key, None)
            self._on_change(waiting.total)
