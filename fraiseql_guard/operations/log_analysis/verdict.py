"""Decides whether an incident is an attack or a misconfiguration, by the criteria of the runbooks.

An attack comes from few callers and goes on after refusals. A misconfiguration affects many callers alike, for one
reason. If the lines show neither, or both, the verdict is ``unclear``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fraiseql_guard.core.signals import ANONYMOUS, FailureReason
from fraiseql_guard.operations.log_analysis.counting import TopCounter
from fraiseql_guard.operations.log_analysis.summary import NO_VALUE, Incident
from fraiseql_guard.operations.runbooks.model import Runbook

_FEW: Final = 3
_FEW_SHARE: Final = 0.5
"""Share of all events from which on the few most frequent callers cause the incident."""
_MANY: Final = 10
_ONE_REASON: Final = 0.8
_ENOUGH: Final = 10
"""Least events for a verdict."""


class CauseKind(StrEnum):
    """The possible causes of an incident."""

    ATTACK = "attack"
    MISCONFIGURATION = "misconfiguration"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class CauseVerdict:
    """The cause of an incident, and the reasons for the verdict as sentences."""

    kind: CauseKind
    reasons: tuple[str, ...]


_Sign = tuple[CauseKind, str]


def judge(runbook: Runbook, incident: Incident) -> CauseVerdict:
    """The verdict on an incident: unclear if its signs contradict each other."""
    # A sanction alone is a sign: it stands for many offences.
    if incident.total < _ENOUGH and not incident.sanctions:
        return CauseVerdict(CauseKind.UNCLEAR, (f"too few events to tell: {incident.total}",))
    # Signs that agree make the verdict.
    signs = list(_SIGNS.get(runbook, _no_signs)(incident))
    kinds = {kind for kind, _ in signs} - {CauseKind.UNCLEAR}
    kind = kinds.pop() if len(kinds) == 1 else CauseKind.UNCLEAR
    if not signs:
        signs = [(CauseKind.UNCLEAR, "neither few callers nor one reason stands out")]
    return CauseVerdict(kind, tuple(text for _, text in signs))


def _callers(incident: Incident) -> Iterator[_Sign]:
    """Signs that the incident comes from few callers, or affects many alike."""
    if incident.sanctions:
        yield CauseKind.ATTACK, f"{incident.sanctions} sanctions: callers went on in spite of many refusals"
    # Most events come from few identified callers.
    for what, counter in (("addresses", incident.addresses), ("users", incident.users)):
        if _is_of_few(counter) and _are_named(counter):
            yield CauseKind.ATTACK, _of_few(counter, what)
            return
    # Or many callers are affected alike.
    if len(incident.users) >= _MANY or len(incident.addresses) >= _MANY:
        # The larger of the two is named.
        spread = max((len(incident.users), "users"), (len(incident.addresses), "addresses"))
        yield CauseKind.MISCONFIGURATION, f"{spread[0]} {spread[1]} are met alike, none of them stands out"


def _rate_limiting(incident: Incident) -> Iterator[_Sign]:
    yield from _callers(incident)
    yield from _one_kind(incident, "policy", "one limit is what they run into")


def _authentication(incident: Incident) -> Iterator[_Sign]:
    if incident.sanctions:
        yield CauseKind.ATTACK, f"{incident.sanctions} addresses or logins were blocked for guessing"
    mistake = _mistake(incident)
    if mistake is not None:
        yield CauseKind.MISCONFIGURATION, mistake
        return
    # Many callers are a misconfiguration only if one reason stands out. Sanctions have been yielded above.
    yield from (sign for sign in _callers(incident) if sign[0] is CauseKind.ATTACK and "sanctions" not in sign[1])


def _mistake(incident: Incident) -> str | None:
    """The mistake, as a sentence, if nearly all authentications fail for one reason that no attacker causes; else
    None."""
    reason, share = _leader(incident.kinds.get("failure_reason", TopCounter()))
    if share < _ONE_REASON:
        return None
    # A reason that clients cause by mistake.
    if reason in _OURS:
        return f"{share:.0%} fail for {reason}: {_OURS[reason]}"
    # Tokens that do not verify, from everywhere: the keys differ.
    if reason in _BADLY_SIGNED and not _is_of_few(incident.addresses):
        return f"{share:.0%} fail for {reason} from everywhere: {_BADLY_SIGNED[reason]}"
    return None


def _query_dos(incident: Incident) -> Iterator[_Sign]:
    hashes = incident.kinds.get("query_hash", TopCounter())
    _, share = _leader(hashes)
    # One query from many callers comes with a client's release; many queries from one caller are probes.
    one = share >= _ONE_REASON
    if one and len(incident.users) + len(incident.addresses) >= _MANY and not incident.sanctions:
        yield (
            CauseKind.MISCONFIGURATION,
            f"{share:.0%} are one and the same query of many callers: a client's new release",
        )
        return
    yield from _callers(incident)
    if len(hashes) >= _MANY and not one:
        yield CauseKind.ATTACK, f"{len(hashes)} different queries: the limits are being probed"


def _database(incident: Incident) -> Iterator[_Sign]:
    for name, what in (("table_name", "table"), ("operation", "operation")):
        leader, share = _leader(incident.kinds.get(name, TopCounter()))
        if leader != NO_VALUE and share >= _ONE_REASON:
            yield CauseKind.MISCONFIGURATION, f"{share:.0%} concern the {what} {leader}: look for a missing index"
    if _is_of_few(incident.users) and _are_named(incident.users):
        yield CauseKind.ATTACK, _of_few(incident.users, "users")


def _no_signs(_: Incident) -> Iterator[_Sign]:
    return iter(())


_OURS: Final[Mapping[str, str]] = {
    FailureReason.TOKEN_EXPIRED: "clients do not refresh their tokens, or a clock is wrong",
    FailureReason.MISSING_TOKEN: "a client sends no token",
    FailureReason.INSUFFICIENT_PERMISSIONS: "a role lacks a permission",
    FailureReason.USER_DISABLED: "accounts were disabled",
}
_BADLY_SIGNED: Final[Mapping[str, str]] = {
    FailureReason.INVALID_SIGNATURE: "a secret differs between who signs and who verifies",
    FailureReason.INVALID_TOKEN: "issuer, audience or algorithm differ between who signs and who verifies",
}
_SIGNS: Final[Mapping[Runbook, Callable[[Incident], Iterator[_Sign]]]] = {
    Runbook.RATE_LIMITING: _rate_limiting,
    Runbook.AUTHENTICATION: _authentication,
    Runbook.QUERY_DOS: _query_dos,
    Runbook.DATABASE: _database,
}


def _one_kind(incident: Incident, name: str, meaning: str) -> Iterator[_Sign]:
    leader, share = _leader(incident.kinds.get(name, TopCounter()))
    if leader != NO_VALUE and share >= _ONE_REASON:
        yield CauseKind.UNCLEAR, f"{share:.0%} have the {name} {leader}: {meaning}"


def _leader(counter: TopCounter) -> tuple[str, float]:
    top = counter.top(1)
    return (top[0][0], counter.share()) if top else (NO_VALUE, 0.0)


def _few(counter: TopCounter) -> tuple[int, float]:
    """The smallest number of callers that have half of all events, at most three, and their share."""
    shares = ((count, counter.share(count)) for count in range(1, _FEW + 1))
    return next((each for each in shares if each[1] >= _FEW_SHARE), (_FEW, counter.share(_FEW)))


def _is_of_few(counter: TopCounter) -> bool:
    """Whether at most three callers have half of all events."""
    return _few(counter)[1] >= _FEW_SHARE


def _of_few(counter: TopCounter, what: str) -> str:
    count, share = _few(counter)
    names = ", ".join(name for name, _ in counter.top(count))
    return f"{share:.0%} come from {count} {what if count > 1 else _ONE[what]}: {names}"


_ONE: Final[Mapping[str, str]] = {"addresses": "address", "users": "user"}


def _are_named(counter: TopCounter) -> bool:
    # "anonymous" is no caller: it may stand for thousands.
    return all(name not in (ANONYMOUS, NO_VALUE) for name, _ in counter.top(_few(counter)[0]))
