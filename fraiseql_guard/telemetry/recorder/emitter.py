"""How all of settle speaks: the metrics, the log, and who says again what was said a moment ago."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import Event
from fraiseql_guard.telemetry import EventLog, Metrics
from fraiseql_guard.telemetry.recorder.refusal_signals import Line

_MOST_SAID: Final = 1_000
"""Sentences that are known to have been said. There are a few, unless what an operator's overrides say takes part."""


class SignalEmitter:
    """Metrics and log lines of one guard. ``settings`` are those in force."""

    def __init__(
        self, metrics: Metrics, log: EventLog, settings: Settings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._said_at: Lru[str, float] = Lru(_MOST_SAID)
        self.clock = clock
        self.metrics = metrics
        self.log = log
        self.settings = settings

    def warn(self, sentence: str) -> None:
        """Something about the configuration deserves a look. The same is said once a minute at most."""
        if self.due(sentence, 60.0):
            self.log.emit(s.CONFIGURATION, {"detail": sentence}, subject=sentence)

    def fault(self, part: str, error: BaseException) -> None:
        """Something of ours broke: counted, and logged within the flood limits."""
        self.metrics.inc(s.FAULTS, part)
        self.log.emit(s.GATE_FAULT, {"part": part, "error": f"{type(error).__name__}: {error}"}, subject=part)

    def due(self, what: str, seconds: float) -> bool:
        """Whether to say again what every request could cause. ``what`` is one of a few words of ours."""
        now = self.clock()
        said_at = self._said_at.look(what)
        if said_at is not None and now - said_at < seconds:
            return False
        self._said_at.put(what, now)
        return True

    def tell(self, ctx: RequestContext | None, line: Line) -> None:
        """What may have happened outside of any request."""
        if ctx is not None:
            self.emit(ctx, line)
        else:
            self.log.emit(line.event, line.fields, subject=str(line.fields.get("table_name")), **line.extra)

    def emit(self, ctx: RequestContext, line: Line, *, always: bool = False) -> bool:
        """Write a line about a request; False if it was left out."""
        return self.say(ctx, line.event, lambda: line, always=always)

    def say(
        self,
        ctx: RequestContext,
        event: Event,
        make: Callable[[], Line],
        *,
        always: bool = False,
        at: float | None = None,
    ) -> bool:
        """The same of a line that is made only if it is written: in a flood, and of plain requests, most are not.
        ``at`` is when it happened, in seconds since 1970, if not now."""
        suppressed = self.log.admit(event, ctx.subject, always=always)
        if suppressed is None:
            return False
        line = make()
        known: dict[str, Any] = {
            "user_id": ctx.user_id,
            "ip_address": ctx.address,
            "endpoint": ctx.endpoint,
            "user_agent": ctx.header(b"user-agent"),
            **line.fields,
        }
        extra = {"request_id": ctx.request_id, **line.extra}
        if (given := ctx.client_request_id) is not None:
            extra["client_request_id"] = given
        fields = {name: known.get(name) for name in event.fields}
        self.log.write(event, fields, suppressed, ctx.trace_id, extra, at=at)
        return True

    def leave_out(self, ctx: RequestContext, event: Event, times: int) -> None:
        """Lines like one that was left out: they are only counted."""
        self.log.leave_out(event, ctx.subject, times)
