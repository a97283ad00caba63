"""What makes the block of a network dangerous, and how many recent requests a block would have met."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core import parsing
from fraiseql_guard.core.context import Subject
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.identity.networks import NetworkSet
from fraiseql_guard.operations.operator.deps import OperatorDeps, shown
from fraiseql_guard.operations.operator.interface import DangerousError
from fraiseql_guard.operations.operator.records import Heartbeat
from fraiseql_guard.stores.overrides import OverrideKind, Overrides

_WIDEST: Final = {4: 16, 6: 32}
"""Shortest prefixes that need no force."""
_LOOPBACK: Final = tuple(map(parsing.network, ("127.0.0.0/8", "::1/128")))


@dataclass(frozen=True, slots=True)
class Met:
    """Of the requests lately seen by all workers, those that a block would have refused."""

    requests: int
    of: int


def met_by_network(beats: Iterable[Heartbeat], wanted: parsing.Network) -> Met | None:
    """Requests from a network; None if no worker has said what it saw."""
    inside = NetworkSet((wanted,))
    counted = [(beat.seen.requests, _from(beat, inside)) for beat in beats]
    return Met(sum(met for _, met in counted), sum(seen for seen, _ in counted)) if counted else None


def met_by_user(beats: Sequence[Heartbeat], subject: Subject) -> Met | None:
    """Requests of a user."""
    if not beats:
        return None
    return Met(sum(beat.seen.users.get(subject.name, 0) for beat in beats), sum(beat.seen.requests for beat in beats))


def _from(beat: Heartbeat, inside: NetworkSet) -> int:
    return sum(count for address, count in beat.seen.addresses.items() if address in inside)


def refuse_danger(
    deps: OperatorDeps, control: Overrides, wanted: parsing.Network, caller: str | None, met: Met | None
) -> None:
    """DangerousError if a block of this network would meet callers that it is not meant for."""
    reasons = list(_reasons(deps, control, wanted, caller))
    if not reasons:
        return
    would_meet = "" if met is None else f"; it would have met {met.requests} of the last {met.of} requests"
    raise DangerousError(
        f"{shown(wanted)} {' and '.join(reasons)}{would_meet}",
        field="ip_address",
        would_have_met=None if met is None else met.requests,
    )


def _reasons(deps: OperatorDeps, control: Overrides, wanted: parsing.Network, caller: str | None) -> Iterator[str]:
    settings = deps.settings
    if wanted.prefixlen < _WIDEST[wanted.version]:
        yield f"is wider than /{_WIDEST[wanted.version]}"
    if own := _first_inside([caller] if caller else [], wanted):
        yield f"holds your own address {own}"
    if any(_overlap(each, wanted) for each in _LOOPBACK):
        yield "is loopback: this machine itself, and whatever forwards to it"
    proxies = [each for each in settings.trusted_proxies if each != "unix"]
    if proxy := next((each for each in proxies if _overlap(each, wanted)), None):
        yield f"meets the trusted proxy {shown(proxy)} ({name_of('trusted_proxies')})"
    if allowed := next((each for each in _allowed(deps, control) if _overlap(each, wanted)), None):
        yield f"meets the allow-listed {shown(allowed)}"


def _allowed(deps: OperatorDeps, control: Overrides) -> Iterator[parsing.Network]:
    yield from deps.settings.allow_list
    yield from (entry.network for entry in deps.allow_list.entries())
    yield from (network for network, _ in control.networks(OverrideKind.ALLOW))


def _first_inside(addresses: Iterable[str], wanted: parsing.Network) -> str | None:
    for address in addresses:
        with suppress(ValueError):  # unknown, a unix socket
            if _overlap(parsing.network(address), wanted):
                return address
    return None


def _overlap(one: parsing.Network, other: parsing.Network) -> bool:
    return one.version == other.version and one.overlaps(other)
