"""A clock that stands still until a test moves it."""

from __future__ import annotations


class ManualClock:
    """A clock in seconds that moves only by :meth:`advance`. Call it to read it.

    ``Guard(app, clock=clock)`` runs on it, and ``make_token(..., clock=clock)`` makes tokens that are valid on it::

        clock = ManualClock()
        guard = Guard(app, clock=clock, rate_limit_default="1/minute")
        ...                      # the second request is refused
        clock.advance(60)        # the third is admitted

    Limits and sanctions in memory, tokens, caches, watched files and log lines read it. Deadlines, the durations of
    requests and the pauses between two looks at the store go by the event loop's own clock; Redis keeps its own.
    """

    __slots__ = ("_now",)

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now

    def __call__(self) -> float:
        """The time on this clock, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock by ``seconds``; backwards if negative."""
        self._now += seconds
