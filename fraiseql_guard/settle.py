"""What a request leaves behind: the one place where signals are emitted. Nothing in here ever raises."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from fraiseql_guard import signals as s
from fraiseql_guard.context import Context, Denial, Statement
from fraiseql_guard.evidence import (
    Line,
    evidence_of,
    failure_counts,
    failure_line,
    fields_of,
    operation_of,
    sanction_line,
    timed_out,
    user_label,
)
from fraiseql_guard.fleet.journal import Journal
from fraiseql_guard.fleet.pulse import Pulse
from fraiseql_guard.host.memory import Memory
from fraiseql_guard.settings import Settings, name_of
from fraiseql_guard.signals import Event, FailureReason, LoginOutcome, PolicyName, Protection
from fraiseql_guard.stores.protocol import Imposed
from fraiseql_guard.telemetry import EventLog, Metrics, escape_label
from fraiseql_guard.telemetry.failures import RecentFailures

_SERVER_ERROR: Final = 500
_NOTHING: Final[Mapping[str, Any]] = {}


class Settle:
    """Turns what happened into metrics and log lines."""

    def __init__(
        self,
        metrics: Metrics,
        log: EventLog,
        settings: Settings,
        *,
        pulse: Pulse,
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._pulse = pulse
        self._journal = journal
        self._said_at: dict[str, float] = {}
        self._failures = RecentFailures(settings.brute_force_window_seconds)
        self.metrics = metrics
        self.log = log
        self.settings = settings
        """Those in force."""

    # --- the course of a request --------------------------------------------------------------------------------------

    def authenticated(self, ctx: Context) -> None:
        """A request came with a valid token. One that is remembered from an earlier request brings no line."""
        if ctx.identity is None:
            return
        self.metrics.inc(s.AUTH_SUCCESS)
        self.metrics.inc(s.TOKEN_KEYS, ctx.identity.key)
        if ctx.identity.fresh:
            self._succeeded(ctx, s.AUTH_SUCCESS_EVENT)

    def measured(self, ctx: Context) -> None:
        """A GraphQL request was measured, whether it passes or not."""
        measured = ctx.measured
        if measured is None:
            return
        self.metrics.observe(s.QUERY_COMPLEXITY, measured.complexity)
        self.metrics.observe(s.QUERY_DEPTH, measured.depth)
        self.metrics.observe(s.QUERY_LIMIT, measured.list_size)
        for limit in measured.near:
            self.metrics.inc(s.NEAR_LIMIT, limit)
        self.metrics.inc(s.QUERY_COMPLEXITY_SUM, user_label(ctx), amount=measured.complexity)

    def refused(self, ctx: Context, denial: Denial) -> None:
        """A request is refused: the contract's counters move and its line is written."""
        self.metrics.inc(s.REFUSALS, denial.owner.value, denial.code.name)
        if denial.status >= _SERVER_ERROR:
            self.metrics.inc(s.ERRORS, denial.code.name, user_label(ctx))
        self._note_failure(ctx, denial)
        evidence = evidence_of(denial.code)
        for metric, labels in evidence.counts(ctx, denial):
            self.metrics.inc(metric, *labels)
        for line in evidence.lines(ctx, denial, self.settings):
            self._emit(ctx, line)
        self._journal.note(ctx, denial, enforced=True)

    def refused_by_app(self, ctx: Context, reason: FailureReason) -> None:
        """The app itself refused its caller, for a reason of the contract."""
        for metric, labels in failure_counts(ctx, reason):
            self.metrics.inc(metric, *labels)
        self._emit(ctx, failure_line(ctx, reason, status=ctx.status))

    def would_refuse(self, ctx: Context, denial: Denial) -> None:
        """Monitor mode: only our own counter moves, and the line says that nothing was enforced."""
        self.metrics.inc(s.WOULD_REFUSE, denial.owner.value, denial.code.name)
        self._note_failure(ctx, denial)
        for line in evidence_of(denial.code).lines(ctx, denial, self.settings):
            self._emit(ctx, Line(line.event, line.fields, {**line.extra, "enforced": False}))
        self._journal.note(ctx, denial, enforced=False)

    def imposed(self, ctx: Context, imposed: Imposed) -> None:
        """A sanction came into force, by this very request."""
        escalation = imposed.escalation
        if escalation.enforced:
            self.metrics.inc(s.SANCTIONS, escalation.policy.value)
            if escalation.policy is PolicyName.ACCOUNT_LOCKOUT:
                self.metrics.inc(s.ACCOUNT_LOCKOUTS)
        self._emit(ctx, sanction_line(imposed))

    def login(self, ctx: Context, outcome: LoginOutcome) -> None:
        """The app reported a login, or asked about one that is locked (told when that began, so only counted)."""
        self.metrics.inc(s.LOGINS, outcome.value)
        if outcome is LoginOutcome.FAILED:
            self._failures.note(ctx.address_subject.name, self._clock())
            self._emit(ctx, Line(s.LOGIN_FAILED, _NOTHING, _NOTHING))
        elif outcome is LoginOutcome.SUCCEEDED:
            self._succeeded(ctx, s.LOGIN_SUCCEEDED)

    def query_started(self) -> None:
        """A GraphQL request reaches the app."""
        self.metrics.inc(s.QUERIES)

    def query_ended(self, ctx: Context, seconds: float, *, errors: bool) -> None:
        """A GraphQL request that reached the app has ended, in exactly one of success and errors."""
        self.metrics.inc(s.QUERIES_ERRORS if errors else s.QUERIES_SUCCESS)
        self.metrics.observe(s.QUERY_DURATION, seconds, user_label(ctx))
        if errors and ctx.denial is None and 0 < ctx.status < _SERVER_ERROR:
            error = s.QUERY_TIMEOUT.name if ctx.database_timeout else s.GRAPHQL_ERROR
            self.metrics.inc(s.ERRORS, error, user_label(ctx))

    def disconnected(self) -> None:
        """The client of a GraphQL request left before its answer."""
        self.metrics.inc(s.DISCONNECTS)

    def ended(self, ctx: Context, seconds: float) -> None:
        """A request is over, whatever became of it: for those who look at this process."""
        self._pulse.note(ctx, seconds)

    def finished(self, ctx: Context, seconds: float) -> None:
        """The plain accounting of a request that was answered."""
        user, metrics = user_label(ctx), self.metrics
        metrics.inc(s.HTTP_REQUESTS, ctx.endpoint, str(ctx.status), user)
        metrics.observe(s.RESPONSE_TIME, seconds)
        metrics.observe(s.REQUEST_SIZE, ctx.request_bytes)
        metrics.observe(s.RESPONSE_SIZE, ctx.response_bytes)
        if ctx.status >= _SERVER_ERROR and ctx.denial is None:
            metrics.inc(s.ERRORS, s.INTERNAL_SERVER_ERROR, user)
        fields = {"status": ctx.status, "request_size_bytes": ctx.request_bytes}
        self._emit(ctx, Line(s.HTTP_REQUEST, fields, {"duration_ms": round(seconds * 1000, 3)}))

    # --- the app's database -------------------------------------------------------------------------------------------

    def pooled(self, *, active: int, idle: int, total: int, waiting: int) -> None:
        """What the app's connection pools hold at the moment."""
        self.metrics.set(s.DB_CONNECTIONS_ACTIVE, active)
        self.metrics.set(s.DB_CONNECTIONS_IDLE, idle)
        self.metrics.set(s.DB_CONNECTIONS_TOTAL, total)
        self.metrics.set(s.DB_CONNECTIONS_WAITING, waiting)

    def queried(self, ctx: Context | None, statement: Statement, seconds: float) -> None:  # noqa: ARG002
        """A statement has ended, whatever came of it."""
        self.metrics.observe(s.DB_QUERY_DURATION, seconds, statement.query_type, escape_label(statement.table_name))
        self.metrics.inc(s.DB_QUERIES, statement.query_type)

    def query_lasted(self, ctx: Context | None, statement: Statement, seconds: float) -> None:
        """A statement was not stopped by its own time limit. If the request was, that was said with its table."""
        threshold = self.settings.slow_query_seconds
        if seconds < threshold or (ctx is not None and timed_out(ctx)):
            return
        fields = {**fields_of(statement, seconds), "threshold_ms": round(threshold * 1000)}
        self._tell(ctx, Line(s.SLOW_QUERY, fields, operation_of(ctx)))

    def query_stopped(
        self, ctx: Context | None, statement: Statement, seconds: float, timeout_seconds: float | None
    ) -> None:
        """The database stopped a statement at its time limit: an error of its request, counted once."""
        if ctx is not None and timed_out(ctx):
            return
        if ctx is None or not ctx.operation:
            self.metrics.inc(s.ERRORS, s.QUERY_TIMEOUT.name, user_label(ctx) if ctx is not None else s.ANONYMOUS)
        else:
            ctx.database_timeout = True
        limit = None if timeout_seconds is None else round(timeout_seconds * 1000)
        self._tell(
            ctx, Line(s.DB_QUERY_TIMEOUT, {**fields_of(statement, seconds), "timeout_ms": limit}, operation_of(ctx))
        )

    def host_security(self, ctx: Context | None, fields: Mapping[str, Any], failure: FailureReason | None) -> None:
        """The app's own security log reports something: a failed authentication counts as one of the contract's."""
        if failure is None:
            self._tell(ctx, Line(s.HOST_SECURITY, fields, _NOTHING))
            return
        user, address = (user_label(ctx), ctx.address) if ctx is not None else (s.ANONYMOUS, s.UNKNOWN)
        self.metrics.inc(s.AUTH_FAILURES, failure.value, user, address)
        self.metrics.inc(s.AUTH_FAILURE_REASONS, failure.value)
        self._tell(ctx, Line(s.AUTH_FAILURE, {"failure_reason": failure.value}, {"reported": fields["type"]}))

    # --- the guard itself ---------------------------------------------------------------------------------------------

    def started(self, fields: Mapping[str, Any], warnings: list[str]) -> None:
        """The process serves its first scope."""
        self.log.emit(s.STARTED, fields)
        for sentence in warnings:
            self.log.emit(s.CONFIGURATION, {"detail": sentence}, subject=sentence)

    def mode(self, protection: Protection, monitors: bool) -> None:
        """A protection is in monitor mode, or no longer."""
        if protection is not Protection.METRICS:
            self.metrics.set(s.MODE_MONITOR, int(monitors), protection.value)

    def warn(self, sentence: str) -> None:
        """Something about the configuration deserves a look. The same is said once a minute at most."""
        if self._due(sentence, 60.0):
            self.log.emit(s.CONFIGURATION, {"detail": sentence}, subject=sentence)

    def fault(self, part: str, error: BaseException) -> None:
        """Something of ours broke: counted, and logged within the flood limits."""
        self.metrics.inc(s.FAULTS, part)
        self.log.emit(s.GATE_FAULT, {"part": part, "error": f"{type(error).__name__}: {error}"}, subject=part)

    def abandoned(self, ctx: Context, seconds: float) -> None:
        """The app goes on although it was cancelled."""
        self.metrics.inc(s.ABANDONED)
        self._emit(ctx, Line(s.REQUEST_ABANDONED, {"running_seconds": round(seconds, 3)}, _NOTHING))

    def shared_peer(self, address: str, header: str) -> None:
        """An untrusted proxy hides its callers' addresses."""
        self.metrics.set(s.SHARED_PEER, 1)
        if not self._due(s.SHARED_PEER_SEEN.name, 60.0):
            return
        variable = name_of("trusted_proxies")
        self.log.emit(s.SHARED_PEER_SEEN, {"ip_address": address, "header": header, "variable": variable})

    def _due(self, what: str, seconds: float) -> bool:
        """Whether to say again what every request could cause. ``what`` is one of a few words of ours."""
        now = self._clock()
        if now - self._said_at.get(what, -math.inf) < seconds:
            return False
        self._said_at[what] = now
        return True

    def held(self, body_bytes: int, operations: int) -> None:
        """What this process holds at the moment."""
        self.metrics.set(s.BUFFERED_BODIES, body_bytes)
        self.metrics.set(s.IN_FLIGHT, operations)

    # --- host.HostObserver --------------------------------------------------------------------------------------------

    def memory_used(self, memory: Memory) -> None:
        """What a look at the memory found."""
        self.metrics.set(s.MEMORY_USED, memory.used_bytes)
        self.metrics.set(s.MEMORY_LIMIT, memory.limit_bytes)
        self.metrics.set(s.MEMORY_RATIO, memory.ratio)

    def memory_high(self, memory: Memory, threshold_percent: float) -> None:
        """Memory use has passed its first threshold."""
        self.log.emit(s.HIGH_MEMORY, {**_of_memory(memory), "threshold_percent": threshold_percent})

    def memory_critical(self, memory: Memory) -> None:
        """Memory use has passed its second threshold."""
        self.log.emit(s.MEMORY_CRITICAL, {**_of_memory(memory), "swap_used_bytes": memory.swap_used_bytes})

    def caches_hold(self, size_bytes: int) -> None:
        """All caches of this process together."""
        self.metrics.set(s.CACHE_SIZE, size_bytes)

    # --- what an operator did -----------------------------------------------------------------------------------------

    def acted(self, event: Event, fields: Mapping[str, Any]) -> None:
        """An operator did something: audited whatever else goes on."""
        if event is s.ADMIN_BLOCK:
            self.metrics.inc(s.SANCTIONS, PolicyName.OPERATOR.value)
        self.log.emit(event, fields, subject=str(fields.get("actor", "")))

    # --- stores.protocol.Observer -------------------------------------------------------------------------------------

    def store_failed(self, reason: str, detail: str, breaker_open: bool) -> None:
        """An exchange with the store failed."""
        self.metrics.inc(s.STORE_FAILURES, reason)
        self.metrics.set(s.STORE_BREAKER_OPEN, int(breaker_open))
        if not self._due(f"{s.STORE_FAILED.name} {reason}", 1.0):
            return
        fields = {"reason": reason, "detail": detail, "policy": self.settings.on_store_failure}
        self.log.emit(s.STORE_FAILED, {**fields, "breaker_open": breaker_open}, subject=reason)

    def store_fallback(self, policy: str) -> None:
        """A request was decided without the store."""
        self.metrics.inc(s.STORE_FALLBACKS, policy)

    def store_recovered(self, outage_seconds: float) -> None:
        """The store answers again."""
        self.metrics.set(s.STORE_BREAKER_OPEN, 0)
        self.log.emit(s.STORE_RECOVERED, {"outage_seconds": round(outage_seconds, 3)})

    # --- successes after failures -------------------------------------------------------------------------------------

    def _note_failure(self, ctx: Context, denial: Denial) -> None:
        """Only what nobody sends by accident: every session begins with a token that is missing or has expired."""
        if PolicyName.BRUTE_FORCE in (denial.offence, ctx.overruled.offence if ctx.overruled else None):
            self._failures.note(ctx.address_subject.name, self._clock())

    def _succeeded(self, ctx: Context, event: Event) -> None:
        """A success that follows failures of the same address may be a break-in: no flood keeps its line back."""
        before = self._failures.take(ctx.address_subject.name, self._clock())
        self._emit(ctx, Line(event, _NOTHING, {"failures_before": before} if before else _NOTHING), always=before > 0)

    # --- identity.key_sources.KeyObserver -----------------------------------------------------------------------------

    def key_source_failed(self, source: str, detail: str, usable: bool) -> None:
        """Keys could not be read. Said once a minute at most for each source."""
        self.metrics.inc(s.KEY_SOURCE_ERRORS, source)
        if self._due(f"{s.KEY_SOURCE_FAILED.name} {source}", 60.0):
            fields = {"source": source, "detail": detail, "older_keys_in_force": usable}
            self.log.emit(s.KEY_SOURCE_FAILED, fields, subject=source)

    def key_source_recovered(self, source: str, outage_seconds: float) -> None:
        """Keys can be read again."""
        self.log.emit(s.KEY_SOURCE_RECOVERED, {"source": source, "outage_seconds": round(outage_seconds, 3)})

    # --- lines --------------------------------------------------------------------------------------------------------

    def _tell(self, ctx: Context | None, line: Line) -> None:
        """What may have happened outside of any request."""
        if ctx is not None:
            self._emit(ctx, line)
        else:
            self.log.emit(line.event, line.fields, subject=str(line.fields.get("table_name")), **line.extra)

    def _emit(self, ctx: Context, line: Line, *, always: bool = False) -> None:
        known: dict[str, Any] = {
            "user_id": ctx.user_id,
            "ip_address": ctx.address,
            "endpoint": ctx.endpoint,
            "user_agent": ctx.header(b"user-agent"),
            **line.fields,
        }
        self.log.emit(
            line.event,
            {name: known.get(name) for name in line.event.fields},
            subject=ctx.user_id if ctx.identity else ctx.address,
            trace_id=ctx.trace_id,
            request_id=ctx.request_id,
            always=always,
            **line.extra,
        )


def _of_memory(memory: Memory) -> dict[str, Any]:
    return {
        "memory_used_bytes": memory.used_bytes,
        "memory_limit_bytes": memory.limit_bytes,
        "memory_usage_percent": round(memory.percent, 1),
    }
