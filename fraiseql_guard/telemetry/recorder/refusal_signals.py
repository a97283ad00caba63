"""Which counters move and which lines are written for a refusal, by its code.

Pure functions; the table at the end of the file assigns them to codes. A code without a row moves no counter here and
leaves a plain line (``guard.request_refused``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import ANONYMOUS, Code, Event, FailureReason, Metric, PolicyName
from fraiseql_guard.core.statement import Statement
from fraiseql_guard.identity.logins import read_login
from fraiseql_guard.stores.protocol import Imposed
from fraiseql_guard.telemetry.metrics.labels import escape_label

_REFUSED: Final = 400
_NO_LIMITS: Final[Mapping[str, int]] = {}

Count = tuple[Metric, tuple[str, ...]]
"""A counter, and the labels of the series that moves."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """One log line: its event, values for the event's own fields, and extra fields that the event does not have in the
    vocabulary."""

    event: Event
    fields: Mapping[str, Any]
    extra: Mapping[str, Any]


LazyLine = tuple[Event, Callable[[], EventLine]]
"""The event of a line, and the function that makes the line, which is called only if the log takes it."""


@dataclass(frozen=True, slots=True)
class RefusalSignals:
    """The counters and lines of one code, as functions of the refused request."""

    counts: Callable[[RequestContext, Denial], Iterable[Count]]
    lines: Callable[[RequestContext, Denial, Settings], Iterable[LazyLine]]


def user_label(ctx: RequestContext) -> str:
    """The caller's user_id as a label, ``anonymous`` without one. A user_id that looks like a reserved word is
    escaped."""
    identity = ctx.identity or ctx.verified
    return escape_label(identity.user_id) if identity else ANONYMOUS


def address_label(ctx: RequestContext) -> str:
    """The caller's address as a label; for IPv6 the prefix that counts as one caller (the /64, or another prefix)."""
    return ctx.address_subject.name


def refusal_signals_of(code: Code) -> RefusalSignals:
    """The signals of a code."""
    return _TABLE.get(code, _PLAIN)


# --- counters --------------------------------------------------------------------------------------------------------


def _no_counts(ctx: RequestContext, denial: Denial) -> Iterable[Count]:  # noqa: ARG001
    return ()


def _rate_counts(ctx: RequestContext, denial: Denial) -> Iterable[Count]:  # noqa: ARG001
    return ((s.RATE_LIMIT_EXCEEDED, (user_label(ctx), address_label(ctx))), (s.RATE_LIMIT_TOTAL, ()))


def _budget_counts(ctx: RequestContext, denial: Denial) -> Iterable[Count]:  # noqa: ARG001
    return ((s.COST_BUDGET, (user_label(ctx), address_label(ctx))),)


def _reason(ctx: RequestContext, denial: Denial) -> FailureReason | None:
    return denial.reason or ctx.token_failure


def _failure_counts(ctx: RequestContext, denial: Denial) -> Iterable[Count]:
    reason = _reason(ctx, denial)
    return () if reason is None else failure_counts(ctx, reason)


def failure_counts(ctx: RequestContext, reason: FailureReason) -> Iterable[Count]:
    """The counters of a failed authentication, whether the guard refused it or the app."""
    labels = (reason.value, user_label(ctx), address_label(ctx))
    return ((s.AUTH_FAILURES, labels), (s.AUTH_FAILURE_REASONS, (reason.value,)))


def _complexity_counts(ctx: RequestContext, denial: Denial) -> Iterable[Count]:  # noqa: ARG001
    return ((s.QUERY_COMPLEXITY_EXCEEDED, ()),)


def _block_counts(ctx: RequestContext, denial: Denial) -> Iterable[Count]:
    """While an automatic block holds, refusals go on counting in the metric of its cause, but as no new offence."""
    if denial.detail == PolicyName.RATE_LIMIT_ABUSE:
        return _rate_counts(ctx, denial)
    if denial.detail == PolicyName.BRUTE_FORCE:
        return _failure_counts(ctx, denial)
    if denial.detail == PolicyName.DOS:
        return _complexity_counts(ctx, denial)  # the body was not read: what it asks for is not known
    return ()


def _admin_counts(ctx: RequestContext, denial: Denial) -> Iterable[Count]:  # noqa: ARG001
    return ((s.ADMIN_FAILURES, ("wrong" if ctx.header(b"authorization") else "missing",)),)


# --- lines -----------------------------------------------------------------------------------------------------------


def _plain_lines(ctx: RequestContext, denial: Denial, settings: Settings) -> Iterable[LazyLine]:  # noqa: ARG001
    return ((s.REQUEST_REFUSED, lambda: _plain_line(ctx, denial)),)


def _plain_line(ctx: RequestContext, denial: Denial) -> EventLine:
    fields = {
        "code": denial.code.name,
        "status": denial.status,
        "protection": denial.owner.value,
        "detail": denial.detail or None,
    }
    document = {"query_hash": ctx.query_hash} if ctx.hashes else {}
    numbers = {"limit": denial.limit, "actual": denial.actual}
    return EventLine(s.REQUEST_REFUSED, fields, {**numbers, **document, **_text_of(ctx)})


def _text_of(ctx: RequestContext) -> Mapping[str, str]:
    return {s.QUERY_TEXT: ctx.query_text} if ctx.query_text else {}


def _unless_protocol(ctx: RequestContext, denial: Denial, settings: Settings) -> Iterable[LazyLine]:
    """No line for an answer below 400: an unknown hash is an ordinary step of automatic persisted queries."""
    return () if denial.status < _REFUSED else _plain_lines(ctx, denial, settings)


def _rate_lines(ctx: RequestContext, denial: Denial, settings: Settings) -> Iterable[LazyLine]:  # noqa: ARG001
    return ((s.RATE_LIMIT, lambda: _rate_line(ctx, denial)),)


def _rate_line(ctx: RequestContext, denial: Denial) -> EventLine:
    bucket = max(ctx.buckets, key=lambda each: each.retry_after_seconds, default=None)
    actual, limit = int(denial.actual or 0), int(denial.limit or 0)
    fields = {
        "limit": limit,
        "window_seconds": bucket.charge.limit.window_seconds if bucket else None,
        "current_count": actual,
        "exceeded_by": max(0, actual - limit),
    }
    key = {} if (short := ctx.short_key) is None else {"limit_key": short}
    return EventLine(s.RATE_LIMIT, fields, {"policy": bucket.charge.policy if bucket else None, **key})


def _failure_lines(ctx: RequestContext, denial: Denial, settings: Settings) -> Iterable[LazyLine]:  # noqa: ARG001
    reason = _reason(ctx, denial) or FailureReason.INVALID_TOKEN
    yield s.AUTH_FAILURE, lambda: failure_line(ctx, reason)
    claims = ctx.token_claims
    if reason is FailureReason.TOKEN_EXPIRED and claims is not None:
        yield s.TOKEN_EXPIRED, lambda: _expired_line(claims)


def _expired_line(claims: Mapping[str, Any]) -> EventLine:
    fields = {
        "token_issued_at": _moment(claims.get("iat")),
        "token_expires_at": _moment(claims.get("exp")),
        "current_time": _moment(datetime.now(UTC).timestamp()),
    }
    subject = claims.get("sub")  # genuine: the signature was verified, only the time has passed
    return EventLine(s.TOKEN_EXPIRED, {**fields, "user_id": subject if isinstance(subject, str) else None}, {})


def failure_line(ctx: RequestContext, reason: FailureReason, **extra: Any) -> EventLine:
    """The line about a failed authentication, whether the guard refused it or the app."""
    return EventLine(s.AUTH_FAILURE, {"failure_reason": reason.value, "token_prefix": ctx.token_prefix}, extra)


def _limit_lines(ctx: RequestContext, denial: Denial, settings: Settings) -> Iterable[LazyLine]:
    return ((s.EXPENSIVE_QUERY, lambda: _limit_line(ctx, denial, settings)),)


def _limit_line(ctx: RequestContext, denial: Denial, settings: Settings) -> EventLine:
    measured, limits = ctx.measured, ctx.rule.limits if ctx.rule is not None else _NO_LIMITS
    fields = {
        "query_complexity": measured.complexity if measured else None,
        "max_complexity": limits.get("max_query_complexity", settings.max_query_complexity),
        "query_depth": measured.depth if measured else None,
        "max_depth": limits.get("max_query_depth", settings.max_query_depth),
        "query_hash": ctx.query_hash,
    }
    numbers = {"code": denial.code.name, "limit": denial.limit, "actual": denial.actual, "path": denial.path}
    return EventLine(s.EXPENSIVE_QUERY, fields, {**numbers, **_text_of(ctx)})


def _admin_lines(ctx: RequestContext, denial: Denial, settings: Settings) -> Iterable[LazyLine]:  # noqa: ARG001
    """A line about a refused operator. ``presented``: the request had credentials, and they were wrong."""
    return (
        (
            s.ADMIN_LOGIN_FAILED,
            lambda: EventLine(s.ADMIN_LOGIN_FAILED, {"presented": bool(ctx.header(b"authorization"))}, {}),
        ),
    )


def _timeout_lines(ctx: RequestContext, denial: Denial, settings: Settings) -> Iterable[LazyLine]:  # noqa: ARG001
    return ((s.DB_QUERY_TIMEOUT, lambda: _timeout_line(ctx, denial)),)


def _timeout_line(ctx: RequestContext, denial: Denial) -> EventLine:
    at_work = ctx.statement  # the statement that the database runs now; None where the app does not report it
    statement = at_work() if at_work else None
    fields = {
        **fields_of(statement, denial.actual or 0),
        "timeout_ms": round((denial.limit or 0) * 1000),
        "query_type": statement.query_type if statement else ctx.measured.kind if ctx.measured else None,
    }
    return EventLine(s.DB_QUERY_TIMEOUT, fields, operation_of(ctx))


def timed_out(ctx: RequestContext) -> bool:
    """Whether the request was stopped at its deadline, which leaves a line of its own."""
    return ctx.denial is not None and ctx.denial.code is s.QUERY_TIMEOUT


def fields_of(statement: Statement | None, seconds: float) -> dict[str, Any]:
    """The fields that all lines about a statement have in common."""
    return {
        "query_duration_ms": round(seconds * 1000),
        "query_type": statement.query_type if statement else None,
        "table_name": statement.table_name or None if statement else None,
    }


def operation_of(ctx: RequestContext | None) -> Mapping[str, Any]:
    """Name and hash of the GraphQL operation that a line is about."""
    if ctx is None or not ctx.hashes:
        return {"operation": None}
    return {"operation": ctx.measured.name if ctx.measured else None, "query_hash": ctx.query_hash}


def _moment(seconds: object) -> str | None:
    """A NumericDate (RFC 7519) in the form of a line's timestamp; None for a value that is none."""
    try:
        moment = datetime.fromtimestamp(float(seconds), UTC)  # type: ignore[arg-type]
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (TypeError, ValueError, OverflowError, OSError):
        return None


# --- sanctions -------------------------------------------------------------------------------------------------------

_IMPOSED: Final[Mapping[PolicyName, tuple[Event, str, str, int, str]]] = {
    # policy: event, name of the count's field, name of the window's field, its unit in seconds, action
    PolicyName.RATE_LIMIT_ABUSE: (
        s.RATE_LIMIT_ABUSE, "violations_count", "time_window_minutes", 60, "temporary_block",
    ),
    PolicyName.BRUTE_FORCE: (s.BRUTE_FORCE_DETECTED, "failed_attempts", "time_window_seconds", 1, "account_locked"),
    PolicyName.DOS: (s.DOS_DETECTED, "expensive_queries_count", "time_window_seconds", 1, "automatic_block"),
    PolicyName.ACCOUNT_LOCKOUT: (s.BRUTE_FORCE_DETECTED, "failed_attempts", "time_window_seconds", 1, "account_locked"),
}  # fmt: skip


def sanction_line(imposed: Imposed) -> EventLine:
    """The line about a sanction that has come into force."""
    escalation = imposed.escalation
    event, count, window, unit, action = _IMPOSED[escalation.policy]
    fields = {count: imposed.offences, window: _whole(escalation.window_seconds / unit), "action": action}
    extra: dict[str, Any] = {"sanction_seconds": round(imposed.sanction.expires_in_seconds)}
    if login := read_login(imposed.sanction.subject):
        extra["identifier"] = login[0]  # for the operator who unlocks it; lines about single failures do not carry it
    if not escalation.enforced:
        extra["enforced"] = False
    return EventLine(event, fields, extra)


def _whole(number: float) -> float:
    """An int where the number is whole: 5 for 5.0, 1.5 for 1.5."""
    return int(number) if number.is_integer() else number


# --- the table -------------------------------------------------------------------------------------------------------

_PLAIN: Final = RefusalSignals(_no_counts, _plain_lines)
_LIMIT: Final = RefusalSignals(_no_counts, _limit_lines)
_COMPLEX: Final = RefusalSignals(_complexity_counts, _limit_lines)

_TABLE: Final[Mapping[Code, RefusalSignals]] = {
    s.RATE_LIMITED: RefusalSignals(_rate_counts, _rate_lines),
    s.PERSISTED_QUERY_NOT_FOUND: RefusalSignals(_no_counts, _unless_protocol),
    s.COST_BUDGET_EXCEEDED: RefusalSignals(_budget_counts, _plain_lines),
    s.UNAUTHENTICATED: RefusalSignals(_failure_counts, _failure_lines),
    s.BLOCKED: RefusalSignals(_block_counts, _plain_lines),
    s.ADMIN_UNAUTHENTICATED: RefusalSignals(_admin_counts, _admin_lines),
    s.QUERY_TIMEOUT: RefusalSignals(_no_counts, _timeout_lines),
    s.QUERY_TOO_COMPLEX: _COMPLEX,
    s.QUERY_TOO_DEEP: _COMPLEX,
    s.LIST_TOO_LARGE: _LIMIT,
    s.LIST_SIZE_INVALID: _LIMIT,
    s.LIST_UNSLICED: _LIMIT,
    s.OFFSET_TOO_LARGE: _LIMIT,
    s.TOO_MANY_ALIASES: _LIMIT,
    s.TOO_MANY_ROOT_FIELDS: _LIMIT,
    s.TOO_MANY_DIRECTIVES: _LIMIT,
    s.TOO_MANY_DUPLICATE_KEYS: _LIMIT,
    s.TOO_MANY_OPERATIONS: _LIMIT,
    s.TOO_MANY_FRAGMENTS: _LIMIT,
    s.QUERY_TOO_LONG: _LIMIT,
    s.QUERY_TOO_MANY_TOKENS: _LIMIT,
    s.LITERAL_TOO_DEEP: _LIMIT,
}
