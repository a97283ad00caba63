"""Records what the app reports of its database, and what its own security log reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.context import RequestContext, everywhere
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.core.statement import Naming
from fraiseql_guard.telemetry.metrics.labels import escape_label
from fraiseql_guard.telemetry.recorder.deferred_records import DeferredRecords
from fraiseql_guard.telemetry.recorder.emitter import SignalEmitter
from fraiseql_guard.telemetry.recorder.refusal_signals import (
    EventLine,
    address_label,
    fields_of,
    operation_of,
    timed_out,
    user_label,
)

_NOTHING: Final[Mapping[str, Any]] = {}


class DatabaseRecorder:
    """Turns what the database did into metrics and log lines: the DatabaseObserver of ``telemetry.database``."""

    def __init__(self, emitter: SignalEmitter) -> None:
        self._emitter = emitter
        self._metrics = emitter.metrics
        self.fault = emitter.fault
        self._deferred = DeferredRecords(self._count, emitter.fault)
        self.flush = self._deferred.flush

    def pooled(self, *, active: int, idle: int, total: int, waiting: int) -> None:
        """Set the gauges of the app's connection pools, all of them together."""
        self._metrics.set(s.DB_CONNECTIONS_ACTIVE, active)
        self._metrics.set(s.DB_CONNECTIONS_IDLE, idle)
        self._metrics.set(s.DB_CONNECTIONS_TOTAL, total)
        self._metrics.set(s.DB_CONNECTIONS_WAITING, waiting)

    def queried(self, ctx: RequestContext | None, statement: Naming, seconds: float) -> None:
        """A statement has ended, and the database did not stop it. A slow statement has a line, unless its request was
        stopped at its deadline: the line about the request names the statement."""
        self._deferred.add(statement, seconds)
        threshold = self._emitter.settings.slow_query_seconds
        if seconds < threshold or (ctx is not None and timed_out(ctx)):  # nearly always
            return
        fields = {**fields_of(statement(), seconds), "threshold_ms": round(threshold * 1000)}
        self._emitter.emit(ctx, EventLine(s.SLOW_QUERY, fields, operation_of(ctx)))

    def query_stopped(
        self, ctx: RequestContext | None, statement: Naming, seconds: float, timeout_seconds: float | None
    ) -> None:
        """The database stopped a statement at its time limit: an error of its request, counted once for each
        request."""
        self._deferred.add(statement, seconds)
        if ctx is None:
            self._metrics.inc(s.STATEMENT_TIMEOUTS)
            self._metrics.inc(s.ERRORS, s.QUERY_TIMEOUT.name, s.ANONYMOUS)
        else:
            contexts = list(everywhere(ctx))
            if any(map(timed_out, contexts)):  # counted with the request's own timeout
                return
            if not ctx.database_timeout:
                self._metrics.inc(s.STATEMENT_TIMEOUTS)
            if not ctx.operation:  # the error of a GraphQL request is counted when that ends
                self._metrics.inc(s.ERRORS, s.QUERY_TIMEOUT.name, user_label(ctx))
            for each in contexts:
                each.database_timeout = True
        limit = None if timeout_seconds is None else round(timeout_seconds * 1000)
        fields = {**fields_of(statement(), seconds), "timeout_ms": limit}
        self._emitter.emit(ctx, EventLine(s.DB_QUERY_TIMEOUT, fields, operation_of(ctx)))

    def _count(self, statement: Naming, seconds: float) -> None:
        named = statement()
        self._metrics.observe(s.DB_QUERY_DURATION, seconds, named.query_type, escape_label(named.table_name))
        self._metrics.inc(s.DB_QUERIES, named.query_type)

    def host_security(
        self, ctx: RequestContext | None, fields: Mapping[str, Any], failure: FailureReason | None
    ) -> None:
        """The app's own security log reports something. A failed authentication (``failure``) counts like one that the
        guard found."""
        if failure is None:
            self._emitter.emit(ctx, EventLine(s.HOST_SECURITY, fields, _NOTHING))
            return
        user, address = (user_label(ctx), address_label(ctx)) if ctx is not None else (s.ANONYMOUS, s.UNKNOWN)
        self._metrics.inc(s.AUTH_FAILURES, failure.value, user, address)
        self._metrics.inc(s.AUTH_FAILURE_REASONS, failure.value)
        reported = {"reported": fields["type"]}
        self._emitter.emit(ctx, EventLine(s.AUTH_FAILURE, {"failure_reason": failure.value}, reported))
