"""The measures of a GraphQL request, as its log line and the statistics of usage carry them.

Both have one form, so that ``fraiseql-guard tune`` reads the same from a log and from a running fleet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.telemetry.log.sanitize import safe_text

MAX_ROOT_FIELDS: Final = 5
"""Most root fields that the measures name."""
MAX_NAME_CHARS: Final = 64
"""Characters of a name that are kept. With the numbers beside them, the measures of a line stay below 1,200 bytes."""


def measures_of(ctx: RequestContext) -> dict[str, Any]:
    """The measures of a GraphQL request that has ended, in numbers and short names.

    ``caller`` stands for the subject whose buckets pay, without naming it. ``code`` is why the request was refused, or
    would be in monitor mode (then ``enforced`` is false); ``used``, ``capacity`` and ``refill`` (tokens a second)
    describe its main bucket. Unknown measures are left out. All texts are safe to log (sanitize.safe_text).
    """
    found: dict[str, Any] = {"caller": ctx.limit_subject.token, "tier": tier_of(ctx)}
    measured = ctx.measured
    if measured is not None:
        found["kind"] = measured.kind
        found["depth"], found["complexity"] = measured.depth, measured.complexity
        found["list_size"], found["offset"] = measured.list_size, measured.offset
        found["aliases"], found["root_fields"] = measured.aliases, measured.most_root_fields
        found["fields"] = _short(measured.root_fields)
    if ctx.in_flight:
        found["in_flight"] = ctx.in_flight
    if ctx.database_seconds is not None:
        found["database_ms"] = round(ctx.database_seconds * 1000, 3)
    if ctx.untimed or (measured is not None and measured.subscribes):
        found["untimed"] = True  # a subscription lasts for as long as the client wants it
    found.update(_bucket_of(ctx))
    found.update(_refusal_of(ctx))
    return found


def tier_of(ctx: RequestContext) -> str:
    """The caller's tier, ``authenticated`` for a user without one, else ``anonymous``."""
    identity = ctx.verified
    if identity is None:
        return "anonymous"
    return safe_text(identity.tier or "authenticated", MAX_NAME_CHARS)


def _short(names: Iterable[str]) -> list[str]:
    return [safe_text(name, MAX_NAME_CHARS) for name in sorted(names)[:MAX_ROOT_FIELDS]]


def _bucket_of(ctx: RequestContext) -> Mapping[str, Any]:
    """The state of the request's first bucket, which is its caller's own; {} without one."""
    if not ctx.buckets:
        return {}
    bucket = ctx.buckets[0]
    charge = bucket.charge
    return {
        "policy": safe_text(charge.policy, MAX_NAME_CHARS),
        "used": round(charge.capacity - bucket.remaining, 2),
        "capacity": charge.capacity,
        "refill": round(charge.rate, 4),
    }


def _refusal_of(ctx: RequestContext) -> Mapping[str, Any]:
    denial, enforced = ctx.denial, True
    if denial is None and ctx.would_refuse:
        denial, enforced = _telling(ctx.would_refuse), False
    if denial is None:
        return {}
    found: dict[str, Any] = {"code": denial.code.name, "enforced": enforced}
    # A document that is far over a limit is refused before it is measured: this number is all that is known of it.
    if ctx.measured is None and denial.actual is not None:
        found["actual"] = denial.actual
    return found


def _telling(denials: tuple[Denial, ...]) -> Denial:
    """The denial of the query limits, whose numbers describe the operation, else the first: a sanction may stand before
    it."""
    return next((each for each in denials if each.owner is Protection.QUERY_LIMITS), denials[0])
