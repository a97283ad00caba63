"""Reads observations of requests: from the lines of a log, or from requests that have just ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.signals import CODES, Protection
from fraiseql_guard.operations.tuning.sketch import MAX_NUMBER

SUSPICIOUS: Final = frozenset(code.name for code in CODES if code.protection is Protection.QUERY_LIMITS)
"""Refusals for what an operation asks for. Operations with these are suspicious: limits are not learned from a few
callers who send them."""
_MEASURED: Final = ("depth", "complexity", "list_size", "offset", "aliases", "root_fields", "in_flight")
_ACTUAL_OF: Final[Mapping[str, str]] = {
    s.QUERY_TOO_DEEP.name: "depth",
    s.QUERY_TOO_COMPLEX.name: "complexity",
    s.LIST_TOO_LARGE.name: "list_size",
    s.OFFSET_TOO_LARGE.name: "offset",
    s.TOO_MANY_ALIASES.name: "aliases",
    s.TOO_MANY_ROOT_FIELDS.name: "root_fields",
}
"""The measure of the number in a refusal, for documents that were refused before they were measured."""
_MAX_NAME: Final = 64
_MAX_FIELDS: Final = 5


@dataclass(frozen=True, slots=True)
class BucketLevel:
    """A caller's bucket after a request: the tokens taken from it, its size in tokens, and its refill in tokens a
    second.
    """

    used: float
    capacity: float
    refill: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One GraphQL request, which stands for ``weight`` requests. ``at`` is Unix time; ``numbers`` has its numbers by
    measure; ``code`` is that of its refusal, enforced or monitored, or empty."""

    at: float
    caller: str
    tier: str
    numbers: Mapping[str, int]
    operation: str = ""
    query_hash: str = ""
    fields: tuple[str, ...] = ()
    database_ms: float | None = None
    code: str = ""
    bucket: BucketLevel | None = None
    weight: int = 1
    known: int = 1
    """How many of the ``weight`` requests are certainly of this caller; the others are an estimate by a sample."""


def observation(
    measures: Mapping[str, Any],
    *,
    at: float,
    duration_ms: object,
    operation: object,
    query_hash: object,
    weight: int = 1,
    known: int = 1,
) -> Observation | None:
    """The observation of a request with these measures; None if they do not name a caller and a tier."""
    caller, tier = measures.get("caller"), measures.get("tier")
    if not isinstance(caller, str) or not isinstance(tier, str):
        return None
    code = measures.get("code")
    return Observation(
        at=at,
        caller=caller[:_MAX_NAME],
        tier=tier[:_MAX_NAME],
        numbers=_numbers(measures, duration_ms),
        operation=_text(operation),
        query_hash=_text(query_hash),
        fields=_fields(measures.get("fields")),
        database_ms=_amount(measures.get("database_ms")),
        code=code if isinstance(code, str) else "",
        bucket=_bucket(measures),
        weight=weight,
        known=known,
    )


def of_line(context: Mapping[str, Any], timestamp: str, suppressed: int) -> Observation | None:
    """The observation of a log line about an answered request (http.request); None if the line has no measures.

    ``suppressed`` is the number of lines of the same caller that were left out before it. The observation stands for
    these as well, and for the requests that the line's ``sample_rate`` left out.
    """
    measures = context.get(s.MEASURES)
    if not isinstance(measures, Mapping):
        return None
    known, rate = 1 + suppressed, context.get("sample_rate")
    return observation(
        measures,
        at=_unix_time(timestamp),
        duration_ms=context.get("duration_ms"),
        operation=context.get("operation"),
        query_hash=context.get("query_hash"),
        known=known,
        weight=known * (rate if type(rate) is int and 0 < rate <= 1_000 else 1),
    )


def _numbers(measures: Mapping[str, Any], duration_ms: object) -> Mapping[str, int]:
    found = {}
    for name in _MEASURED:
        value = measures.get(name)
        # Checked, since any program may have written the line.
        if type(value) is int and 0 <= value <= MAX_NUMBER:
            found[name] = value
    actual = _ACTUAL_OF.get(str(measures.get("code")))
    if actual is not None and (number := _amount(measures.get("actual"))) is not None:
        found.setdefault(actual, int(min(number, MAX_NUMBER)))
    # Only the duration of a request that reached the app counts.
    kind, seconds = measures.get("kind"), _amount(duration_ms)
    worked = "code" not in measures or measures.get("enforced") is False or measures["code"] == s.QUERY_TIMEOUT.name
    if seconds is not None and worked and not measures.get("untimed") and kind in ("query", "mutation"):
        found[f"{kind}_ms"] = int(min(seconds, MAX_NUMBER)) + 1
    return found


def _bucket(measures: Mapping[str, Any]) -> BucketLevel | None:
    used, capacity, refill = (_amount(measures.get(name)) for name in ("used", "capacity", "refill"))
    if used is None or not capacity or not refill:
        return None
    return BucketLevel(used, capacity, refill)


def _fields(given: object) -> tuple[str, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        return ()
    return tuple([each[:_MAX_NAME] for each in given[:_MAX_FIELDS] if isinstance(each, str)])


def _text(given: object) -> str:
    return given[:_MAX_NAME] if isinstance(given, str) else ""


def _amount(given: object) -> float | None:
    usable = isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= MAX_NUMBER
    return float(given) if usable else None  # type: ignore[arg-type]


def _unix_time(timestamp: str) -> float:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0
