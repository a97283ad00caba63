"""Records the outcome of requests: counters, histograms, log lines, and marks on spans."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.context import RequestContext, everywhere
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.measured import Measured
from fraiseql_guard.core.outcomes import kind_of, outcome_of
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import (
    Event,
    FailureReason,
    FailureSource,
    LoginOutcome,
    Outcome,
    PolicyName,
    RequestKind,
)
from fraiseql_guard.stores.protocol import Imposed
from fraiseql_guard.telemetry.log.event_log import EventLog
from fraiseql_guard.telemetry.metrics.registry import Metrics
from fraiseql_guard.telemetry.recorder.access_lines import AccessLog
from fraiseql_guard.telemetry.recorder.auth_failures import FailingAddresses, RecentFailures
from fraiseql_guard.telemetry.recorder.database import DatabaseRecorder
from fraiseql_guard.telemetry.recorder.deferred_records import DeferredRecords
from fraiseql_guard.telemetry.recorder.emitter import SignalEmitter
from fraiseql_guard.telemetry.recorder.measures import measures_of
from fraiseql_guard.telemetry.recorder.process import ProcessRecorder
from fraiseql_guard.telemetry.recorder.refusal_signals import (
    EventLine,
    LazyLine,
    failure_counts,
    failure_line,
    operation_of,
    refusal_signals_of,
    sanction_line,
    user_label,
)
from fraiseql_guard.telemetry.recorder.sockets import SocketRecorder
from fraiseql_guard.telemetry.spans import active_span, mark, sampled_trace

OnRequest = Callable[[RequestContext, float, int], None]
"""Called with an answered request, its duration in seconds, and the number of requests like it that this call stands
for (above 1 the seconds are their sum)."""
OnRefusal = Callable[[RequestContext, Denial, bool], None]
"""Called with a request, its denial, and whether that is enforced (False: monitor mode)."""

_SERVER_ERROR: Final = 500
_NOTHING: Final[Mapping[str, Any]] = {}


class RefusalObserver(Protocol):
    """Receives refusals and sanctions, to notify the app's functions."""

    def refused(self, ctx: RequestContext, denial: Denial, *, enforced: bool, times: int = 1) -> None:
        """Requests like this one were refused, or would be."""
        ...

    def imposed(self, ctx: RequestContext, imposed: Imposed) -> None:
        """A request brought a sanction into force, or would have."""
        ...


class RequestRecorder:
    """Turns the outcome of requests into metrics and log lines. ``process``, ``database`` and ``sockets`` are the
    recorders for everything else.

    For the fleet's statistics, ``on_request`` is called with each answered request (but for requests of operators,
    Prometheus and probes), and ``on_refusal`` with each refusal. ``clock`` counts seconds.
    """

    def __init__(
        self,
        metrics: Metrics,
        log: EventLog,
        settings: Settings,
        *,
        on_request: OnRequest,
        on_refusal: OnRefusal,
        observer: RefusalObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emitter = emitter = SignalEmitter(metrics, log, settings, clock=clock)
        self._metrics = self.metrics = metrics
        self._on_request = on_request
        self._on_refusal = on_refusal
        self._observer = observer
        self._access = AccessLog(settings)
        self._measures = settings.log_measures
        self._failures = RecentFailures(settings.brute_force_window_seconds)
        self._failing = {source: FailingAddresses() for source in FailureSource}
        # The busiest counter: its series are looked up once.
        self._requests = {
            (kind, outcome): metrics.counter(s.REQUESTS, kind.value, outcome.value)
            for kind in RequestKind
            for outcome in Outcome
        }
        self.log = log
        self.warn, self.fault = emitter.warn, emitter.fault
        self.query_started = partial(metrics.counter(s.QUERIES), 1)
        """Count a GraphQL request that reaches the app."""
        self._deferred = DeferredRecords(self._count_finished, self.fault)
        self.process = ProcessRecorder(emitter)
        self.database = DatabaseRecorder(emitter)
        self.sockets = SocketRecorder(emitter)

    def use(self, settings: Settings) -> None:
        """Record by these settings from now on."""
        self._emitter.settings = settings
        self._failures.window_seconds = settings.brute_force_window_seconds

    def account(
        self,
        ctx: RequestContext,
        seconds: float,
        *,
        counted: bool,
        query_seconds: float | None = None,
        failed: bool = False,
    ) -> None:
        """Have a request that is over counted soon, together with others.

        ``query_seconds``: how long the app worked on a GraphQL request, None if no GraphQL request reached it;
        ``failed``: whether it ended in errors. ``counted``: plain metrics are mounted.
        """
        ctx.body = ctx.rewritten = None  # not needed any more, and may be large
        if counted:
            # Span and time of this request: when it is counted, another span is active.
            if ctx.span is None:
                ctx.span = active_span() or ""
            ctx.ended_at = ctx.ended_at or self.log.now()
        self._deferred.add(ctx, seconds, counted, query_seconds, failed)

    def _count_finished(
        self, ctx: RequestContext, seconds: float, counted: bool, query_seconds: float | None, failed: bool
    ) -> None:
        elsewhere = ctx.told_outside  # what an outer guard counts of the same request
        if ctx.measured is not None and "measures" not in elsewhere:
            self._count_measures(ctx, ctx.measured)
        if query_seconds is not None and "query" not in elsewhere:
            self._count_query(ctx, query_seconds, failed)
        if ctx.identity is not None and ctx.token_failure is None and "token" not in elsewhere:
            self._count_token(ctx.identity)
        if ctx.status:
            self._report_request(ctx, seconds)
            if counted:
                self._record_answer(ctx, seconds, count="answer" not in elsewhere)

    def flush(self) -> None:
        """Count now all requests and statements that wait to be counted."""
        self._deferred.flush()
        self.database.flush()

    def authenticated(self, ctx: RequestContext) -> None:
        """Write the line of a request with a token that was verified just now. A token in the cache leaves no line."""
        self._succeeded(ctx, s.AUTH_SUCCESS_EVENT)

    def _count_token(self, identity: Identity, times: int = 1) -> None:
        self._metrics.inc(s.AUTH_SUCCESS, amount=times)
        self._metrics.inc(s.TOKEN_KEYS, identity.key, amount=times)

    def _count_measures(self, ctx: RequestContext, measured: Measured) -> None:
        """A GraphQL request was measured, whether it passed or not."""
        self._metrics.observe(s.QUERY_COMPLEXITY, measured.complexity)
        self._metrics.observe(s.QUERY_DEPTH, measured.depth)
        self._metrics.observe(s.QUERY_LIMIT, measured.list_size)
        for limit in measured.near:
            self._metrics.inc(s.NEAR_LIMIT, limit)
        self._metrics.inc(s.QUERY_COMPLEXITY_SUM, user_label(ctx), amount=measured.complexity)

    def refused(self, ctx: RequestContext, denial: Denial) -> bool:
        """A request is refused: count it, write its lines, mark its span. True if the log takes no more lines about
        this caller for now, so that further refusals need not be recorded one by one."""
        self._count_refusal(ctx, denial)
        self._note_failure(ctx, denial)
        mark(active_span() if ctx.span is None else ctx.span, denial.code.name, denial.owner.value)
        written = [self._emitter.emit_lazily(ctx, event, make) for event, make in self._lines(ctx, denial)]
        self._on_refusal(ctx, denial, True)
        if self._observer is not None:
            self._observer.refused(ctx, denial, enforced=True)
        return not any(written)

    def repeated(self, ctx: RequestContext, denial: Denial, times: int, seconds: float, *, counted: bool) -> None:
        """Record ``times`` further requests like ``ctx``, which got its refusal again, in ``seconds`` of work together.
        The counters of ``ctx`` move, and no lines are written. ``counted``: plain metrics are mounted."""
        self._count_refusal(ctx, denial, times)
        for event, _ in self._lines(ctx, denial):
            self._emitter.leave_out(ctx, event, times)
        if self._observer is not None:
            self._observer.refused(ctx, denial, enforced=True, times=times)
        if ctx.identity is not None and ctx.token_failure is None:
            self._count_token(ctx.identity, times)
        self._report_request(ctx, seconds, times)
        if counted:
            self._count_answer(ctx, seconds / times, times)
            if not self._access.off:
                self._emitter.leave_out(ctx, s.HTTP_REQUEST, times)

    def _count_refusal(self, ctx: RequestContext, denial: Denial, times: int = 1) -> None:
        self._metrics.inc(s.REFUSALS, denial.owner.value, denial.code.name, amount=times)
        if denial.status >= _SERVER_ERROR:
            self._metrics.inc(s.ERRORS, denial.code.name, user_label(ctx), amount=times)
        for metric, labels in refusal_signals_of(denial.code).counts(ctx, denial):
            self._metrics.inc(metric, *labels, amount=times)
        if denial.code is s.UNAUTHENTICATED:
            self._failing[FailureSource.TOKEN].note(ctx.address_subject.name, self._emitter.clock())

    def _lines(self, ctx: RequestContext, denial: Denial) -> Iterable[LazyLine]:
        return refusal_signals_of(denial.code).lines(ctx, denial, self._emitter.settings)

    def refused_by_app(self, ctx: RequestContext, reason: FailureReason) -> None:
        """The app itself refused its caller, in a way that counts as a failed authentication."""
        for each in everywhere(ctx):
            each.auth_failed = True
        self._failing[FailureSource.TOKEN].note(ctx.address_subject.name, self._emitter.clock())
        for metric, labels in failure_counts(ctx, reason):
            self._metrics.inc(metric, *labels)
        self._emitter.emit(ctx, failure_line(ctx, reason, status=ctx.status))

    def would_refuse(self, ctx: RequestContext, denial: Denial) -> None:
        """A request would be refused if its protection were enforced. Only the guard's own counter moves, and the lines
        carry ``enforced: false``."""
        self._metrics.inc(s.WOULD_REFUSE, denial.owner.value, denial.code.name)
        self._note_failure(ctx, denial)
        for event, make in self._lines(ctx, denial):
            self._emitter.emit_lazily(ctx, event, partial(_not_enforced, make))
        self._on_refusal(ctx, denial, False)
        if self._observer is not None:
            self._observer.refused(ctx, denial, enforced=False)

    def imposed(self, ctx: RequestContext, imposed: Imposed) -> None:
        """This request brought a sanction into force, or would have where its policy only monitors."""
        escalation = imposed.escalation
        if escalation.enforced:
            self._metrics.inc(s.SANCTIONS, escalation.policy.value)
            if escalation.policy is PolicyName.ACCOUNT_LOCKOUT:
                self._metrics.inc(s.ACCOUNT_LOCKOUTS)
        self._emitter.emit(ctx, sanction_line(imposed))
        if self._observer is not None:
            self._observer.imposed(ctx, imposed)

    def login(self, ctx: RequestContext, outcome: LoginOutcome) -> None:
        """The app reported a login, or asked about a locked one. A locked login is only counted: the line was written
        when the lockout began."""
        self._metrics.inc(s.LOGINS, outcome.value)
        if outcome is LoginOutcome.FAILED:
            now = self._emitter.clock()
            self._failures.note(ctx.address_subject.name, now)
            self._failing[FailureSource.LOGIN].note(ctx.address_subject.name, now)
            self._emitter.emit(ctx, EventLine(s.LOGIN_FAILED, _NOTHING, _NOTHING))
        elif outcome is LoginOutcome.SUCCEEDED:
            self._succeeded(ctx, s.LOGIN_SUCCEEDED)

    def _count_query(self, ctx: RequestContext, seconds: float, errors: bool) -> None:
        """A GraphQL request that reached the app has ended: it counts as exactly one of success and error."""
        self._metrics.inc(s.QUERIES_ERRORS if errors else s.QUERIES_SUCCESS)
        if not ctx.untimed:
            self._metrics.observe(s.QUERY_DURATION, seconds, user_label(ctx), trace=sampled_trace(ctx.span))
        # Refusals and statuses of 500 and more count as errors where they are counted themselves.
        if errors and not _refused(ctx) and 0 < ctx.status < _SERVER_ERROR:
            error = s.QUERY_TIMEOUT.name if ctx.database_timeout else s.GRAPHQL_ERROR
            self._metrics.inc(s.ERRORS, error, user_label(ctx))

    def publish(self) -> None:
        """Set the gauges of the addresses that fail at the moment, and of open sockets and subscriptions."""
        now = self._emitter.clock()
        for source, failing in self._failing.items():
            self._metrics.set(s.FAILING_ADDRESSES, failing.count(now), source.value)
        self.sockets.publish()

    def disconnected(self) -> None:
        """The client of a GraphQL request left before its answer."""
        self._metrics.inc(s.DISCONNECTS)

    def _report_request(self, ctx: RequestContext, seconds: float, times: int = 1) -> None:
        """Call ``on_request``, unless the request is an operator's, Prometheus's or a probe's."""
        if ctx.actor or ctx.open_to_all or kind_of(ctx) is RequestKind.OWN:
            return
        self._on_request(ctx, seconds, times)

    def _record_answer(self, ctx: RequestContext, seconds: float, *, count: bool) -> None:
        """Count an answered request if ``count`` (no outer guard does), and write its access line."""
        if count:
            self._count_answer(ctx, seconds)
        if ctx.carrier is not None:
            return  # an operation over a socket, which has lines when it is opened and closed

        rate = self._access.rate(ctx.status, seconds)
        if not rate:
            return

        def line() -> EventLine:
            fields = {"status": ctx.status, "request_size_bytes": ctx.request_bytes}
            extra: dict[str, Any] = {"duration_ms": round(seconds * 1000, 3)}
            if rate > 1:
                extra["sample_rate"] = rate
            # Made here, so that requests without a line pay nothing for their measures.
            if self._measures and ctx.operation:
                extra |= {**operation_of(ctx), s.MEASURES: measures_of(ctx)}
            return EventLine(s.HTTP_REQUEST, fields, extra)

        self._emitter.emit_lazily(ctx, s.HTTP_REQUEST, line, at=ctx.ended_at)

    def _count_answer(self, ctx: RequestContext, seconds: float, times: int = 1) -> None:
        user, metrics = user_label(ctx), self._metrics
        metrics.inc(s.HTTP_REQUESTS, ctx.endpoint, str(ctx.status), user, amount=times)
        self._requests[kind_of(ctx), outcome_of(ctx)](times)
        if not ctx.untimed:
            metrics.observe(s.RESPONSE_TIME, seconds, times=times, trace=sampled_trace(ctx.span))
        metrics.observe(s.REQUEST_SIZE, ctx.request_bytes, times=times)
        metrics.observe(s.RESPONSE_SIZE, ctx.response_bytes, times=times)
        if ctx.status >= _SERVER_ERROR and not _refused(ctx):
            metrics.inc(s.ERRORS, s.INTERNAL_SERVER_ERROR, user)

    def abandoned(self, ctx: RequestContext, seconds: float) -> None:
        """The app goes on with a request although it was cancelled."""
        self._metrics.inc(s.ABANDONED)
        self._emitter.emit(ctx, EventLine(s.REQUEST_ABANDONED, {"running_seconds": round(seconds, 3)}, _NOTHING))

    # --- successes after failures -------------------------------------------------------------------------------------

    def _note_failure(self, ctx: RequestContext, denial: Denial) -> None:
        """Remember a failure that may be a guess: a denial that is a brute-force offence. A missing or expired token is
        no guess, because sessions begin with one."""
        superseded = ctx.superseded_denial
        offences = (denial.offence, superseded.offence if superseded is not None else None)
        if PolicyName.BRUTE_FORCE in offences:
            self._failures.note(ctx.address_subject.name, self._emitter.clock())

    def _succeeded(self, ctx: RequestContext, event: Event) -> None:
        """Write the line of a success. A success after failures of the same address may be a break-in: the log's rate
        limit does not hold for its line."""
        before = self._failures.take(ctx.address_subject.name, self._emitter.clock())
        extra = {"failures_before": before} if before else _NOTHING
        self._emitter.emit(ctx, EventLine(event, _NOTHING, extra), always=before > 0)


def _not_enforced(make: Callable[[], EventLine]) -> EventLine:
    line = make()
    return EventLine(line.event, line.fields, {**line.extra, "enforced": False})


def _refused(ctx: RequestContext) -> bool:
    """Whether this guard or an inner one refused a request: then it counts as a refusal, not as an error of the app."""
    return ctx.denial is not None or ctx.refused_inside
