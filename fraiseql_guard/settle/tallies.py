"""Plain requests that end alike are counted together: what they count for is told a few times a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fraiseql_guard.context import Context
from fraiseql_guard.settle.backlog import Backlog

_ANSWERED: Final = 200


class Tally:
    """How many requests like ``ctx`` have ended, and after how many seconds together; and what of that was told."""

    __slots__ = ("ctx", "seconds", "times", "told_seconds", "told_times", "waiting")

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.times = self.told_times = 0
        self.seconds = self.told_seconds = 0.0
        self.waiting = False


class Tallies:
    """Calls ``tell`` with a context, the seconds and the number of requests like it, from the event loop or
    before the numbers are shown."""

    __slots__ = ("_backlog", "_tell", "tell")

    def __init__(
        self, tell: Callable[[Context, float, int], None], on_fault: Callable[[str, BaseException], None]
    ) -> None:
        self._tell = tell
        self._backlog = Backlog(self._add_up, on_fault)
        self.tell = self._backlog.tell

    @staticmethod
    def of(ctx: Context) -> Tally:
        """One for requests like this one. It keeps no more of it than who asked for what."""
        like = Context(
            ctx.method, ctx.path, b"", (), {}, ctx.guarded, "", lambda *_: "", ctx.endpoint, ctx.address,
            ctx.address_subject,
        )  # fmt: skip
        like.place, like.private_peer = ctx.place, ctx.private_peer
        like.status = _ANSWERED
        return Tally(like)

    def add(self, tally: Tally, seconds: float) -> None:
        """A request has ended."""
        tally.times += 1
        tally.seconds += seconds
        if not tally.waiting:
            tally.waiting = True
            self._backlog.add(tally)

    def _add_up(self, tally: Tally) -> None:
        tally.waiting = False  # first: another thread may look, and what is added meanwhile waits again
        times, seconds = tally.times - tally.told_times, tally.seconds - tally.told_seconds
        tally.told_times += times
        tally.told_seconds += seconds
        if times:
            self._tell(tally.ctx, seconds, times)
