"""Writes a tuning result as text for a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from fraiseql_guard.core.amounts import amount
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.tuning.charts import strip
from fraiseql_guard.operations.tuning.costs import CostAdvice, DearOperation
from fraiseql_guard.operations.tuning.limit_advice import Effect, LimitAdvice
from fraiseql_guard.operations.tuning.result import TuningResult


def as_json(found: TuningResult) -> dict[str, Any]:
    """The result as JSON data."""
    return {
        "requests": found.requests,
        "callers": found.callers,
        "began_at": found.began_at,
        "ended_at": found.ended_at,
        "operations": found.operations,
        "notes": list(found.notes),
        "limits": [_limit_as_json(each) for each in found.limits],
        "costs": {
            "correlation": found.costs.correlation,
            "operations": found.costs.operations,
            "why": found.costs.why,
            "fitting": dict(found.costs.fitting),
            "dearest": [asdict(each) for each in found.costs.dearest],
        },
        "values": dict(found.values),
    }


def _limit_as_json(each: LimitAdvice) -> dict[str, Any]:
    return {
        "variable": each.variable,
        "tier": each.tier or None,
        "title": each.title,
        "unit": each.unit,
        "present": each.shown,
        "recommended": each.value or None,
        "why": each.why,
        "distribution": {name: dict(numbers) for name, numbers in each.distribution.items()},
        "at_present": asdict(each.at_present),
        "as_recommended": None if each.as_recommended is None else asdict(each.as_recommended),
    }


def as_text(found: TuningResult) -> Iterator[str]:
    """The result as lines of text."""
    span = f" in {_span(found.seconds)}" if found.seconds else ""
    yield f"{found.requests:,} GraphQL requests of {amount(found.callers, 'caller')}{span}"
    yield from (f"note: {note}" for note in found.notes)
    for each in found.limits:
        yield ""
        yield from _limit(each)
    yield ""
    yield from _costs(found.costs)


def _limit(each: LimitAdvice) -> Iterator[str]:
    verdict = f"recommended {each.value}" if each.value else "no recommendation"
    if each.value and not each.changes:
        verdict = "as recommended"
    of_tier = f" ({each.tier})" if each.tier else ""
    yield f"{each.title}: {each.variable}{of_tier} is {each.shown}, {verdict}"
    yield f"   [{strip(each)}]"
    yield f"   {'':<16} {'n':>9} {'p50':>9} {'p99':>9} {'p99.9':>9} {'max':>9}   {each.unit}"
    for name, numbers in each.distribution.items():
        cells = " ".join(f"{_number(numbers[key]):>9}" for key in ("p50", "p99", "p99.9", "max"))
        yield f"   {name[:16]:<16} {numbers['n']:>9,.0f} {cells}"
    yield f"   {each.shown} refuses {_effect(each.at_present)}"
    if each.as_recommended is not None and each.changes:
        yield f"   {each.value} refuses {_effect(each.as_recommended)}"
    yield f"   {each.why}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,g}"


def _effect(effect: Effect) -> str:
    """What a value refuses, as text: requests, or for a rate minutes of callers."""
    if not effect.requests:
        return "nothing of this"
    if effect.operations is None:
        minutes, callers = amount(effect.requests, "minute"), amount(effect.callers, "caller")
        return f"some of {minutes} ({effect.share:.2%}) of {callers}"
    whose = f"{amount(effect.operations, 'operation')}, {amount(effect.callers, 'caller')}"
    return f"{amount(effect.requests, 'request')} ({effect.share:.2%}), {whose}"


def _costs(costs: CostAdvice) -> Iterator[str]:
    if costs.why:
        yield f"Cost points and the database: {costs.why}"
    else:
        yield (
            f"Cost points and the database: rank correlation {costs.correlation:.2f} over {costs.operations} operations"
            " (1: dear operations are those that take long; 0: points say nothing)"
        )
    for name, points in costs.fitting.items():
        yield f"   {name}={points} would fit better"
    yield "   The operations that take the most:"
    yield f"   {'requests':>9} {'callers':>7} {'points':>9} {'db ms':>9}  operation"
    yield from map(_operation, costs.dearest)


def _operation(each: DearOperation) -> str:
    time = f"{each.database_us / 1000:,.1f}" if each.database_count else "-"
    name = each.name or "(without a name)"
    return f"   {each.requests:>9,} {_callers(each):>7} {each.points:>9,} {time:>9}  {name} {each.query_hash[:12]}"


def _callers(each: DearOperation) -> str:
    return "4+" if each.callers >= 4 else str(each.callers)


def fitting_costs(costs: CostAdvice) -> str:
    """The assignment of the variable with the better weights, NAME=VALUE; empty without any."""
    return f"{name_of('field_costs')}={costs.value}" if costs.value else ""


def _span(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} seconds"
