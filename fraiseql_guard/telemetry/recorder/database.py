"""What the app tells of its database and of its own security."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.context import RequestContext, everywhere
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.core.statement import Naming
from fraiseql_guard.telemetry import escape_label
from fraiseql_guard.telemetry.recorder.deferred_records import DeferredRecords
from fraiseql_guard.telemetry.recorder.emitter import SignalEmitter
from fraiseql_guard.telemetry.recorder.refusal_signals import (
    Line,
    address_label,
    fields_of,
    operation_of,
    timed_out,
    user_label,
)

_NOTHING: Final[Mapping[str, Any]] = {}


class DatabaseRecorder:
    """Turns what the database did into metrics and log lines."""

    def __init__(self, emitter: SignalEmitter) -> None:
        self._emitter = emitter
        self._metrics = emitter.metrics
        self.fault = emitter.fault
        self._backlog = DeferredRecords(self._count, emitter.fault)
        self.tell = self._backlog.tell

    def pooled(self, *, active: int, idle: int, total: int, waiting: int) -> None:
        """What the app's connection pools hold at the moment."""
        self._metrics.set(s.DB_CONNECTIONS_ACTIVE, active)
        self._metrics.set(s.DB_CONNECTIONS_IDLE, idle)
        self._metrics.set(s.DB_CONNECTIONS_TOTAL, total)
        self._metrics.set(s.DB_CONNECTIONS_WAITING, waiting)

    def queried(self, ctx: RequestContext | None, statement: Naming, seconds: float) -> None:
        """A statement has ended, and was not stopped by its own time limit. It is counted soon, together with others.

        If its request was stopped, that was said with its table.
        """
        self._backlog.add(statement, seconds)
        threshold = self._emitter.settings.slow_query_seconds
        if seconds < threshold or (ctx is not None and timed_out(ctx)):  # nearly always
            return
        fields = {**fields_of(statement(), seconds), "threshold_ms": round(threshold * 1000)}
        self._emitter.tell(ctx, Line(s.SLOW_QUERY, fields, operation_of(ctx)))

    def query_stopped(
        self, ctx: RequestContext | None, statement: Naming, seconds: float, timeout_seconds: float | None
    ) -> None:
        """The database stopped a statement at its time limit: an error of its request, counted once."""
        self._backlog.add(statement, seconds)
        if ctx is not None and any(map(timed_out, everywhere(ctx))):
            return
        if ctx is None or not ctx.database_timeout:
            self._metrics.inc(s.STATEMENT_TIMEOUTS)
        if ctx is None or not ctx.operation:
            self._metrics.inc(s.ERRORS, s.QUERY_TIMEOUT.name, user_label(ctx) if ctx is not None else s.ANONYMOUS)
        for each in () if ctx is None else everywhere(ctx):
            each.database_timeout = True
        limit = None if timeout_seconds is None else round(timeout_seconds * 1000)
        fields = {**fields_of(statement(), seconds), "timeout_ms": limit}
        self._emitter.tell(ctx, Line(s.DB_QUERY_TIMEOUT, fields, operation_of(ctx)))

    def _count(self, statement: Naming, seconds: float) -> None:
        named = statement()
        self._metrics.observe(s.DB_QUERY_DURATION, seconds, named.query_type, escape_label(named.table_name))
        self._metrics.inc(s.DB_QUERIES, named.query_type)

    def host_security(
        self, ctx: RequestContext | None, fields: Mapping[str, Any], failure: FailureReason | None
    ) -> None:
        """The app's own security log reports something: a failed authentication counts as one of the contract's."""
        if failure is None:
            self._emitter.tell(ctx, Line(s.HOST_SECURITY, fields, _NOTHING))
            return
        user, address = (user_label(ctx), address_label(ctx)) if ctx is not None else (s.ANONYMOUS, s.UNKNOWN)
        self._metrics.inc(s.AUTH_FAILURES, failure.value, user, address)
        self._metrics.inc(s.AUTH_FAILURE_REASONS, failure.value)
        self._emitter.tell(ctx, Line(s.AUTH_FAILURE, {"failure_reason": failure.value}, {"reported": fields["type"]}))
