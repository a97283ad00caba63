"""What a request leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.context import Denial, Identity, Measured, RequestContext, everywhere
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
from fraiseql_guard.telemetry import EventLog, Metrics
from fraiseql_guard.telemetry.log.failures import FailingAddresses, RecentFailures
from fraiseql_guard.telemetry.recorder.access_lines import AccessLog
from fraiseql_guard.telemetry.recorder.database import DatabaseRecorder
from fraiseql_guard.telemetry.recorder.deferred_records import DeferredRecords
from fraiseql_guard.telemetry.recorder.emitter import SignalEmitter
from fraiseql_guard.telemetry.recorder.process import ProcessRecorder
from fraiseql_guard.telemetry.recorder.refusal_signals import (
    LazyLine,
    Line,
    failure_counts,
    failure_line,
    refusal_signals_of,
    sanction_line,
    user_label,
)
from fraiseql_guard.telemetry.spans import active_span, mark, sampled_trace

_SERVER_ERROR: Final = 500
_NOTHING: Final[Mapping[str, Any]] = {}


class RequestRecorder:
    """Turns what became of requests into metrics and log lines; ``process`` and ``database`` do so for the rest.

    ``on_request`` hears of each answered request, how many seconds it took, and for how many it stands; ``on_refusal``
    of each refusal, and whether it is enforced.
    """

    def __init__(
        self,
        metrics: Metrics,
        log: EventLog,
        settings: Settings,
        *,
        on_request: Callable[[RequestContext, float, int], None],
        on_refusal: Callable[[RequestContext, Denial, bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emitter = emitter = SignalEmitter(metrics, log, settings, clock=clock)
        self._metrics = self.metrics = metrics
        self._on_request = on_request
        self._on_refusal = on_refusal
        self._access = AccessLog(settings)
        self._failures = RecentFailures(settings.brute_force_window_seconds)
        self._failing = {source: FailingAddresses() for source in FailureSource}
        self._requests = {
            (kind, outcome): metrics.counter(s.REQUESTS, kind.value, outcome.value)
            for kind in RequestKind
            for outcome in Outcome
        }
        self.log = log
        self.warn, self.fault = emitter.warn, emitter.fault
        self.query_started = partial(metrics.counter(s.QUERIES), 1)
        """A GraphQL request reaches the app."""
        self._backlog = DeferredRecords(self._add_up, self.fault)
        self.process = ProcessRecorder(emitter)
        self.database = DatabaseRecorder(emitter)

    def use(self, settings: Settings) -> None:
        """Other settings are in force."""
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
        """A request is over: it is counted soon, together with others. ``query_seconds`` is how long the app worked on
        a GraphQL request that reached it, which ``failed`` or did not; ``counted``: plain metrics are mounted."""
        ctx.body = ctx.rewritten = None  # it is not needed any more, and may be large
        if counted:
            if ctx.span is None:
                ctx.span = active_span() or ""  # where it is told, the active one is another
            ctx.ended_at = ctx.ended_at or self.log.now()
        self._backlog.add(ctx, seconds, counted, query_seconds, failed)

    def _add_up(
        self, ctx: RequestContext, seconds: float, counted: bool, query_seconds: float | None, failed: bool
    ) -> None:
        told = ctx.told_outside
        if ctx.measured is not None and "measures" not in told:
            self._count_measures(ctx, ctx.measured)
        if query_seconds is not None and "query" not in told:
            self._count_query(ctx, query_seconds, failed)
        if ctx.identity is not None and ctx.token_failure is None and "token" not in told:
            self._count_token(ctx.identity)
        if ctx.status:
            self._note(ctx, seconds)
            if counted:
                self._finished(ctx, seconds, count="answer" not in told)

    def tell(self) -> None:
        """Tell what waits, now."""
        self._backlog.tell()
        self.database.tell()

    def authenticated(self, ctx: RequestContext) -> None:
        """A request came with a token that was verified just now: one that is remembered brings no line."""
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
        """A request is refused: the contract's counters move and its line is written. True if the log has no more
        lines for this caller for now."""
        self._count_refusal(ctx, denial)
        self._note_failure(ctx, denial)
        mark(active_span() if ctx.span is None else ctx.span, denial.code.name, denial.owner.value)
        written = [self._emitter.say(ctx, event, make) for event, make in self._lines(ctx, denial)]
        self._on_refusal(ctx, denial, True)
        return not any(written)

    def repeated(self, ctx: RequestContext, denial: Denial, times: int, seconds: float, *, counted: bool) -> None:
        """Requests like one that was refused were refused for the same, so many times in so many seconds of work: they
        count for all that it did. Lines and records of it there are enough. ``counted``: plain metrics are mounted."""
        self._count_refusal(ctx, denial, times)
        for event, _ in self._lines(ctx, denial):
            self._emitter.leave_out(ctx, event, times)
        if ctx.identity is not None and ctx.token_failure is None:
            self._count_token(ctx.identity, times)
        self._note(ctx, seconds, times)
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
        """The app itself refused its caller, for a reason of the contract."""
        for each in everywhere(ctx):
            each.auth_failed = True
        self._failing[FailureSource.TOKEN].note(ctx.address_subject.name, self._emitter.clock())
        for metric, labels in failure_counts(ctx, reason):
            self._metrics.inc(metric, *labels)
        self._emitter.emit(ctx, failure_line(ctx, reason, status=ctx.status))

    def would_refuse(self, ctx: RequestContext, denial: Denial) -> None:
        """Monitor mode: only our own counter moves, and the line says that nothing was enforced."""
        self._metrics.inc(s.WOULD_REFUSE, denial.owner.value, denial.code.name)
        self._note_failure(ctx, denial)
        for event, make in self._lines(ctx, denial):
            self._emitter.say(ctx, event, partial(_not_enforced, make))
        self._on_refusal(ctx, denial, False)

    def imposed(self, ctx: RequestContext, imposed: Imposed) -> None:
        """A sanction came into force, by this very request."""
        escalation = imposed.escalation
        if escalation.enforced:
            self._metrics.inc(s.SANCTIONS, escalation.policy.value)
            if escalation.policy is PolicyName.ACCOUNT_LOCKOUT:
                self._metrics.inc(s.ACCOUNT_LOCKOUTS)
        self._emitter.emit(ctx, sanction_line(imposed))

    def login(self, ctx: RequestContext, outcome: LoginOutcome) -> None:
        """The app reported a login, or asked about one that is locked (told when that began, so only counted)."""
        self._metrics.inc(s.LOGINS, outcome.value)
        if outcome is LoginOutcome.FAILED:
            now = self._emitter.clock()
            self._failures.note(ctx.address_subject.name, now)
            self._failing[FailureSource.LOGIN].note(ctx.address_subject.name, now)
            self._emitter.emit(ctx, Line(s.LOGIN_FAILED, _NOTHING, _NOTHING))
        elif outcome is LoginOutcome.SUCCEEDED:
            self._succeeded(ctx, s.LOGIN_SUCCEEDED)

    def _count_query(self, ctx: RequestContext, seconds: float, errors: bool) -> None:
        """A GraphQL request that reached the app has ended, in exactly one of success and errors."""
        self._metrics.inc(s.QUERIES_ERRORS if errors else s.QUERIES_SUCCESS)
        self._metrics.observe(s.QUERY_DURATION, seconds, user_label(ctx), trace=sampled_trace(ctx.span))
        if errors and not _refused(ctx) and 0 < ctx.status < _SERVER_ERROR:
            error = s.QUERY_TIMEOUT.name if ctx.database_timeout else s.GRAPHQL_ERROR
            self._metrics.inc(s.ERRORS, error, user_label(ctx))

    def publish(self) -> None:
        """Write down how many addresses fail at the moment."""
        now = self._emitter.clock()
        for source, failing in self._failing.items():
            self._metrics.set(s.FAILING_ADDRESSES, failing.count(now), source.value)

    def disconnected(self) -> None:
        """The client of a GraphQL request left before its answer."""
        self._metrics.inc(s.DISCONNECTS)

    def _note(self, ctx: RequestContext, seconds: float, times: int = 1) -> None:
        """Requests are over, whatever became of them: for those who look at this process. Not their own looking, nor
        that of Prometheus and of probes."""
        if not ctx.actor and not ctx.open_to_all and kind_of(ctx) is not RequestKind.OWN:
            self._on_request(ctx, seconds, times)

    def _finished(self, ctx: RequestContext, seconds: float, *, count: bool) -> None:
        """The plain accounting of a request that was answered."""
        if count:
            self._count_answer(ctx, seconds)

        rate = self._access.rate(ctx.status, seconds)
        if not rate:
            return

        def line() -> Line:
            fields = {"status": ctx.status, "request_size_bytes": ctx.request_bytes}
            sampled = {"sample_rate": rate} if rate > 1 else {}
            return Line(s.HTTP_REQUEST, fields, {"duration_ms": round(seconds * 1000, 3), **sampled})

        self._emitter.say(ctx, s.HTTP_REQUEST, line, at=ctx.ended_at)

    def _count_answer(self, ctx: RequestContext, seconds: float, times: int = 1) -> None:
        user, metrics = user_label(ctx), self._metrics
        metrics.inc(s.HTTP_REQUESTS, ctx.endpoint, str(ctx.status), user, amount=times)
        self._requests[kind_of(ctx), outcome_of(ctx)](times)
        metrics.observe(s.RESPONSE_TIME, seconds, times=times, trace=sampled_trace(ctx.span))
        metrics.observe(s.REQUEST_SIZE, ctx.request_bytes, times=times)
        metrics.observe(s.RESPONSE_SIZE, ctx.response_bytes, times=times)
        if ctx.status >= _SERVER_ERROR and not _refused(ctx):
            metrics.inc(s.ERRORS, s.INTERNAL_SERVER_ERROR, user)

    def abandoned(self, ctx: RequestContext, seconds: float) -> None:
        """The app goes on although it was cancelled."""
        self._metrics.inc(s.ABANDONED)
        self._emitter.emit(ctx, Line(s.REQUEST_ABANDONED, {"running_seconds": round(seconds, 3)}, _NOTHING))

    # --- successes after failures -------------------------------------------------------------------------------------

    def _note_failure(self, ctx: RequestContext, denial: Denial) -> None:
        """Only what is not sent by accident: every session begins with a token that is missing or has expired."""
        if PolicyName.BRUTE_FORCE in (denial.offence, ctx.superseded_denial.offence if ctx.superseded_denial else None):
            self._failures.note(ctx.address_subject.name, self._emitter.clock())

    def _succeeded(self, ctx: RequestContext, event: Event) -> None:
        """A success that follows failures of the same address may be a break-in: no flood keeps its line back."""
        before = self._failures.take(ctx.address_subject.name, self._emitter.clock())
        self._emitter.emit(
            ctx, Line(event, _NOTHING, {"failures_before": before} if before else _NOTHING), always=before > 0
        )


def _not_enforced(make: Callable[[], Line]) -> Line:
    line = make()
    return Line(line.event, line.fields, {**line.extra, "enforced": False})


def _refused(ctx: RequestContext) -> bool:
    """Whether a request was refused, by this guard or by one further inside: that refusal is counted as one."""
    return ctx.denial is not None or ctx.refused_inside
