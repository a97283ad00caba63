"""What a request leaves behind: the one place where signals are emitted. Nothing in here ever raises."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from fraiseql_guard import signals as s
from fraiseql_guard.context import Context, Denial
from fraiseql_guard.evidence import Line, evidence_of, user_label
from fraiseql_guard.fleet.journal import Journal
from fraiseql_guard.fleet.pulse import Pulse
from fraiseql_guard.host.memory import Memory
from fraiseql_guard.settings import Settings, name_of
from fraiseql_guard.signals import Event, PolicyName
from fraiseql_guard.stores.protocol import Imposed
from fraiseql_guard.telemetry import EventLog, Metrics

_SERVER_ERROR: Final = 500
_NOTHING: Final[Mapping[str, Any]] = {}

_IMPOSED: Final[Mapping[PolicyName, tuple[Event, str, str, int, str]]] = {
    # policy: event, field of the count, field of the window, its unit in seconds, action
    PolicyName.RATE_LIMIT_ABUSE: (
        s.RATE_LIMIT_ABUSE, "violations_count", "time_window_minutes", 60, "temporary_block",
    ),
    PolicyName.BRUTE_FORCE: (s.BRUTE_FORCE_DETECTED, "failed_attempts", "time_window_seconds", 1, "account_locked"),
    PolicyName.DOS: (s.DOS_DETECTED, "expensive_queries_count", "time_window_seconds", 1, "automatic_block"),
}  # fmt: skip


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
            self._emit(ctx, Line(s.AUTH_SUCCESS_EVENT, _NOTHING, _NOTHING))

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
        evidence = evidence_of(denial.code)
        for metric, labels in evidence.counts(ctx, denial):
            self.metrics.inc(metric, *labels)
        for line in evidence.lines(ctx, denial, self.settings):
            self._emit(ctx, line)
        self._journal.note(ctx, denial, enforced=True)

    def would_refuse(self, ctx: Context, denial: Denial) -> None:
        """Monitor mode: only our own counter moves, and the line says that nothing was enforced."""
        self.metrics.inc(s.WOULD_REFUSE, denial.owner.value, denial.code.name)
        for line in evidence_of(denial.code).lines(ctx, denial, self.settings):
            self._emit(ctx, Line(line.event, line.fields, {**line.extra, "enforced": False}))
        self._journal.note(ctx, denial, enforced=False)

    def imposed(self, ctx: Context, imposed: Imposed) -> None:
        """A sanction came into force, by this very request."""
        escalation = imposed.escalation
        event, count, window, unit, action = _IMPOSED[escalation.policy]
        fields = {count: imposed.offences, window: _whole(escalation.window_seconds / unit), "action": action}
        extra: dict[str, Any] = {"sanction_seconds": round(imposed.sanction.expires_in_seconds)}
        if escalation.enforced:
            self.metrics.inc(s.SANCTIONS, escalation.policy.value)
        else:
            extra["enforced"] = False
        self._emit(ctx, Line(event, fields, extra))

    def query_started(self) -> None:
        """A GraphQL request reaches the app."""
        self.metrics.inc(s.QUERIES)

    def query_ended(self, ctx: Context, seconds: float, *, errors: bool) -> None:
        """A GraphQL request that reached the app has ended, in exactly one of success and errors."""
        self.metrics.inc(s.QUERIES_ERRORS if errors else s.QUERIES_SUCCESS)
        self.metrics.observe(s.QUERY_DURATION, seconds, user_label(ctx))
        if errors and ctx.denial is None and 0 < ctx.status < _SERVER_ERROR:
            self.metrics.inc(s.ERRORS, s.GRAPHQL_ERROR, user_label(ctx))

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

    # --- the guard itself ---------------------------------------------------------------------------------------------

    def started(self, fields: Mapping[str, Any], warnings: list[str]) -> None:
        """The process serves its first scope."""
        self.log.emit(s.STARTED, fields)
        for sentence in warnings:
            self.log.emit(s.CONFIGURATION, {"detail": sentence}, subject=sentence)

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

    # --- lines --------------------------------------------------------------------------------------------------------

    def _emit(self, ctx: Context, line: Line) -> None:
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
            **line.extra,
        )


def _of_memory(memory: Memory) -> dict[str, Any]:
    return {
        "memory_used_bytes": memory.used_bytes,
        "memory_limit_bytes": memory.limit_bytes,
        "memory_usage_percent": round(memory.percent, 1),
    }


def _whole(number: float) -> float:
    """5 rather than 5.0, 1.5 as it is."""
    return int(number) if number.is_integer() else number
