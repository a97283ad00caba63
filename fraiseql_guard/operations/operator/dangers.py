"""Finds out which callers a block of a network would hit by mistake, how many recent requests a block would refuse, and
whether workers only watch what it is to refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.checks.sanctions import owner_of
from fraiseql_guard.core import parsing
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.settings import Mode, name_of
from fraiseql_guard.core.signals import PolicyName, Protection
from fraiseql_guard.identity.networks import NetworkSet
from fraiseql_guard.operations.operator.deps import OperatorDeps, network_text
from fraiseql_guard.operations.operator.interface import DangerousError
from fraiseql_guard.operations.operator.records import Heartbeat
from fraiseql_guard.stores.overrides import OverrideKind, Overrides

_WIDEST: Final = {4: 16, 6: 32}
"""The shortest prefix, by IP version, that can be blocked without force."""
_LOOPBACK: Final = tuple(map(parsing.network, ("127.0.0.0/8", "::1/128")))


@dataclass(frozen=True, slots=True)
class Met:
    """The number of requests that a block would have refused, among the last ``of`` requests of all workers."""

    requests: int
    of: int


def met_by_network(beats: Iterable[Heartbeat], wanted: parsing.Network) -> Met | None:
    """The requests from a network; None if no worker reports what it has seen."""
    inside = NetworkSet((wanted,))
    counted = [(beat.seen.requests, _from(beat, inside)) for beat in beats]
    return Met(sum(met for _, met in counted), sum(seen for seen, _ in counted)) if counted else None


def met_by_user(beats: Sequence[Heartbeat], subject: Subject) -> Met | None:
    """The requests of a user; None if no worker reports what it has seen."""
    if not beats:
        return None
    return Met(sum(beat.seen.users.get(subject.name, 0) for beat in beats), sum(beat.seen.requests for beat in beats))


def watched_block(beats: Iterable[Heartbeat], control: Overrides) -> str:
    """A warning for a block of a caller that refuses nothing on some workers, because the protection that it belongs to
    only monitors there. Empty where every worker enforces it. ``control`` are the overrides in force before the
    block."""
    return _watched(beats, control, lambda mounted: owner_of(PolicyName.OPERATOR, mounted))


def watched_document(beats: Iterable[Heartbeat], control: Overrides) -> str:
    """As :func:`watched_block`, for a block of a document or an operation."""
    return _watched(beats, control, lambda _: Protection.QUERY_LIMITS)


def _watched(
    beats: Iterable[Heartbeat], control: Overrides, owner: Callable[[Sequence[Protection]], Protection]
) -> str:
    watching = set()
    for beat in beats:
        # For a second after a change of modes a worker's last heartbeat tells of those before it.
        if beat.worker.control_version != control.version:
            continue
        modes = beat.worker.modes
        # Of an older or newer version, a worker may have protections that this one does not know.
        protection = owner([each for each in Protection if modes.get(each, Mode.OFF) != Mode.OFF])
        if modes.get(protection) == Mode.MONITOR:
            watching.add(protection.value)
    if not watching:
        return ""
    are = "is" if len(watching) == 1 else "are"
    return f"refuses nothing while {' and '.join(sorted(watching))} {are} in monitor mode"


def _from(beat: Heartbeat, inside: NetworkSet) -> int:
    return sum(count for address, count in beat.seen.addresses.items() if address in inside)


def refuse_danger(
    deps: OperatorDeps, control: Overrides, wanted: parsing.Network, caller: str | None, met: Met | None
) -> None:
    """Raise DangerousError if a block of this network would meet callers that it cannot be meant for: the actor itself
    (at the address ``caller``), a trusted proxy, loopback, the allow-listed, or very many."""
    reasons = list(_reasons(deps, control, wanted, caller))
    if not reasons:
        return
    would_meet = "" if met is None else f"; it would have met {met.requests} of the last {met.of} requests"
    raise DangerousError(
        f"{network_text(wanted)} {' and '.join(reasons)}{would_meet}",
        field="ip_address",
        would_have_met=None if met is None else met.requests,
    )


def _reasons(deps: OperatorDeps, control: Overrides, wanted: parsing.Network, caller: str | None) -> Iterator[str]:
    """Each reason not to block the network, as the end of a sentence that begins with it."""
    if wanted.prefixlen < _WIDEST[wanted.version]:
        yield f"is wider than /{_WIDEST[wanted.version]}"
    if caller and _holds(wanted, caller):
        yield f"holds your own address {caller}"
    if _first_met(_LOOPBACK, wanted) is not None:
        yield "is loopback: this machine itself, and whatever forwards to it"
    proxies = (each for each in deps.settings.trusted_proxies if each != "unix")
    if (proxy := _first_met(proxies, wanted)) is not None:
        yield f"meets the trusted proxy {network_text(proxy)} ({name_of('trusted_proxies')})"
    if (allowed := _first_met(_allowed(deps, control), wanted)) is not None:
        yield f"meets the allow-listed {network_text(allowed)}"


def _allowed(deps: OperatorDeps, control: Overrides) -> Iterator[parsing.Network]:
    """The whole allow-list: of the settings, of their file, and of operators."""
    yield from deps.settings.allow_list
    yield from (entry.network for entry in deps.allow_list.entries())
    yield from (network for network, _ in control.networks(OverrideKind.ALLOW))


def _first_met(networks: Iterable[parsing.Network], wanted: parsing.Network) -> parsing.Network | None:
    return next((each for each in networks if _overlap(each, wanted)), None)


def _holds(wanted: parsing.Network, address: str) -> bool:
    with suppress(ValueError):  # the address is not known, or the peer is a unix socket
        return _overlap(parsing.network(address), wanted)
    return False


def _overlap(one: parsing.Network, other: parsing.Network) -> bool:
    return one.version == other.version and one.overlaps(other)
