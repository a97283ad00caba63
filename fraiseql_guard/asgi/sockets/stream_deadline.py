"""How long a streamed answer may take: to its first event, silent between two, and as a whole."""

from __future__ import annotations

import asyncio
from enum import Enum

from fraiseql_guard.asgi.app_runner import AppRunner
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import STREAM_SILENT, STREAM_TOO_LONG, Code


class StreamKind(Enum):
    """What may be asked of a streamed answer."""

    SUBSCRIPTION = "subscription"
    BOUNDED = "bounded"  # an operation with an end
    UNKNOWN = "unknown"  # its document was not measured, or it is no operation


def kind_of(ctx: RequestContext) -> StreamKind:
    """By its operation, as far as that is known."""
    if not ctx.operation or ctx.measured is None:
        return StreamKind.UNKNOWN
    return StreamKind.SUBSCRIPTION if ctx.measured.subscribes else StreamKind.BOUNDED


class StreamDeadline:
    """The deadline of one streamed answer, which moves with each part of it. Subscriptions have none."""

    __slots__ = ("_bound", "_ctx", "_kind", "_loop", "_runner", "_runtime")

    def __init__(
        self,
        runtime: Runtime,
        ctx: RequestContext,
        kind: StreamKind,
        runner: AppRunner,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._runtime = runtime
        self._ctx = ctx
        self._kind = kind
        self._runner = runner
        self._loop = loop
        # What the answer breaks if its deadline comes; None: that of any operation.
        self._bound: tuple[Code, float] | None = None

    def move(self, *, begun: bool) -> None:
        """A part went by: from now on the answer may be silent for so long, but never beyond its last moment.
        ``begun``: it has had its first event."""
        ctx, settings = self._ctx, self._runtime.settings
        if self._kind is StreamKind.SUBSCRIPTION or ctx.express_seconds is not None:
            return
        idle, runner = settings.stream_idle_seconds, self._runner
        bound: tuple[Code, float] | None = (STREAM_SILENT, idle)
        seconds = idle
        if self._kind is StreamKind.BOUNDED:
            longest = settings.stream_max_seconds if begun else self._runtime.timeout_policies.of(ctx).timeout_seconds
            if longest is not None and longest - runner.seconds < idle:
                seconds = max(0.0, longest - runner.seconds)
                bound = (STREAM_TOO_LONG, longest) if begun else None
        self._bound = bound
        runner.extend(seconds)

    def late(self, *, quiet_since: float) -> Denial | None:
        """Why it has come; None where it is that of any operation. ``quiet_since`` by the loop's clock."""
        if self._bound is None:
            return None
        code, limit = self._bound
        seconds = self._runner.seconds if code is STREAM_TOO_LONG else self._loop.time() - quiet_since
        return Denial(code, limit=limit, actual=round(seconds, 3))
