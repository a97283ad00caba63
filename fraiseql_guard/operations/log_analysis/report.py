"""Writes a summary as text for a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fraiseql_guard.core.amounts import amount
from fraiseql_guard.operations.log_analysis.counting import TopCounter
from fraiseql_guard.operations.log_analysis.summary import NO_VALUE, Incident, LogSummary
from fraiseql_guard.operations.log_analysis.verdict import CauseVerdict, judge
from fraiseql_guard.operations.runbooks.model import Runbook

_BAR: Final = 40
_MAX_BARS: Final = 20


def as_json(summary: LogSummary, *, top: int) -> dict[str, Any]:
    """The summary as JSON data, with at most ``top`` names in each list."""
    return {
        "lines": summary.lines,
        "matching": summary.matching,
        "unreadable": summary.unreadable,
        "events": dict(summary.events.top(top)),
        "runbooks": {
            runbook.value: _incident_as_json(runbook, incident, top) for runbook, incident in _in_order(summary)
        },
    }


def as_text(summary: LogSummary, *, top: int) -> str:
    """The summary as text, with at most ``top`` names in each list."""
    return "\n".join(_lines(summary, top))


def _incident_as_json(runbook: Runbook, incident: Incident, top: int) -> Mapping[str, Any]:
    verdict = judge(runbook, incident)
    return {
        "verdict": verdict.kind.value,
        "reasons": list(verdict.reasons),
        "events": dict(incident.events.top(top)),
        "sanctions": incident.sanctions,
        "not_enforced": incident.monitored,
        "first": incident.first,
        "last": incident.last,
        "users": dict(incident.users.top(top)),
        "addresses": dict(incident.addresses.top(top)),
        **{name: dict(counter.top(top)) for name, counter in incident.kinds.items()},
        "timeline": dict(incident.timeline.moments),
    }


def _lines(summary: LogSummary, top: int) -> Iterator[str]:
    unreadable = f", {summary.unreadable} of them no lines of the guard" if summary.unreadable else ""
    yield f"{summary.lines} lines{unreadable}; {summary.matching} match"
    for runbook, incident in _in_order(summary):
        yield ""
        yield from _incident(runbook, incident, judge(runbook, incident), top)
    if summary.matching:
        yield ""
        yield from _table("events", summary.events, top)


def _incident(runbook: Runbook, incident: Incident, verdict: CauseVerdict, top: int) -> Iterator[str]:
    yield f"== {runbook.spoken}: {verdict.kind.value.upper()}"
    yield from (f"   {reason}" for reason in verdict.reasons)
    yield (
        f"   {amount(incident.total, 'event')} from {incident.first} to {incident.last}, "
        f"{amount(incident.sanctions, 'sanction')}"
    )
    if incident.monitored:
        yield f"   {incident.monitored} of them in monitor mode: nothing was refused"
    for name, counter in (("users", incident.users), ("addresses", incident.addresses), *incident.kinds.items()):
        yield from _table(name, counter, top)
    # The last moments as bars.
    moments = list(incident.timeline.moments.items())[-_MAX_BARS:]
    if len(moments) > 1:
        highest = max(amount for _, amount in moments)
        yield f"   a {incident.timeline.unit}, in UTC"
        yield from (f"   {moment:<17} {amount:>8} {'#' * -(-amount * _BAR // highest)}" for moment, amount in moments)


def _table(name: str, counter: TopCounter, top: int) -> Iterator[str]:
    # Leave out a table in which no line has a value.
    if not counter.total or counter[NO_VALUE] == counter.total:
        return
    yield f"   {name}"
    rows = counter.top(top)
    yield from (f"   {amount:>9} {amount / counter.total:>5.0%}  {value}" for value, amount in rows)
    rest = counter.total - sum(amount for _, amount in rows)
    if rest:
        yield f"   {rest:>9} {rest / counter.total:>5.0%}  (all others)"


def _in_order(summary: LogSummary) -> Iterator[tuple[Runbook, Incident]]:
    return ((runbook, summary.incidents[runbook]) for runbook in Runbook if runbook in summary.incidents)
