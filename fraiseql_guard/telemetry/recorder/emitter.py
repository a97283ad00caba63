"""The outputs that all recorders write to: metrics, log lines, and warnings that are not repeated too soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import Event
from fraiseql_guard.telemetry.log.event_log import EventLog
from fraiseql_guard.telemetry.metrics.registry import Metrics
from fraiseql_guard.telemetry.recorder.refusal_signals import EventLine

_MOST_REMEMBERED: Final = 1_000
"""Warnings that are remembered as given. There are a few dozen, unless an operator's overrides are quoted in them."""


class SignalEmitter:
    """Metrics and log lines of one guard. ``settings`` are those in force; ``clock`` counts seconds."""

    def __init__(
        self, metrics: Metrics, log: EventLog, settings: Settings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._given_at: Lru[str, float] = Lru(_MOST_REMEMBERED)
        self.clock = clock
        self.metrics = metrics
        self.log = log
        self.settings = settings

    def warn(self, sentence: str) -> None:
        """Log a sentence about the configuration for operators: each sentence once a minute at most."""
        if self.due(sentence, 60.0):
            self.log.emit(s.CONFIGURATION, {"detail": sentence}, subject=sentence)

    def fault(self, part: str, error: BaseException) -> None:
        """Count an error in the guard itself, and log it within the log's rate limit."""
        self.metrics.inc(s.FAULTS, part)
        self.log.emit(s.FAULT_SEEN, {"part": part, "error": f"{type(error).__name__}: {error}"}, subject=part)

    def due(self, what: str, seconds: float) -> bool:
        """Whether a warning that every request could cause may be given again: once in so many seconds. ``what`` names
        the warning, in one of a few texts of the guard's own."""
        now = self.clock()
        given_at = self._given_at.look(what)
        if given_at is not None and now - given_at < seconds:
            return False
        self._given_at.put(what, now)
        return True

    def emit(self, ctx: RequestContext | None, line: EventLine, *, always: bool = False) -> bool:
        """Write a line about a request, or about a database statement outside of any request (None). False if it was
        left out."""
        if ctx is not None:
            return self.emit_lazily(ctx, line.event, lambda: line, always=always)
        return self.log.emit(line.event, line.fields, subject=str(line.fields.get("table_name")), **line.extra)

    def emit_lazily(
        self,
        ctx: RequestContext,
        event: Event,
        make: Callable[[], EventLine],
        *,
        always: bool = False,
        at: float | None = None,
    ) -> bool:
        """Write a line about a request; False if it was left out. ``make`` is called only if the log takes the line: in
        a flood of refusals, or of plain requests, most lines are left out. ``at``: when it happened (Unix time), if not
        now."""
        suppressed = self.log.admit(event, ctx.subject, always=always)
        if suppressed is None:
            return False
        line = make()
        # Fields that every request has come first: the line's own fields win over them.
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
        # Lines of answered requests have no rule: they are many, and say nothing of limits.
        if ctx.rule is not None and ctx.rule.name and event is not s.HTTP_REQUEST:
            extra["rule"] = ctx.rule.name
        if ctx.carrier is not None:
            extra["socket_id"] = ctx.carrier.request_id
            if ctx.operation_id:
                extra["operation_id"] = ctx.operation_id
        fields = {name: known.get(name) for name in event.fields}
        self.log.write(event, fields, suppressed, ctx.trace_id, extra, at=at)
        return True

    def leave_out(self, ctx: RequestContext, event: Event, times: int) -> None:
        """Count so many further lines about this caller as left out, without making them."""
        self.log.leave_out(event, ctx.subject, times)
