"""Knows the live connections of a process (WebSockets and streamed answers), and ends those of a caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Protocol

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.signals import BLOCKED, OVERLOADED, UNAUTHENTICATED, ClosingReason, Code


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the guard ends a live connection: what its client is told, and what is counted.

    ``closing_code`` is that of a WebSocket (RFC 6455, section 7.4.2: 4000 to 4999 are an app's own), ``told`` its
    reason.
    """

    reason: ClosingReason
    code: Code
    told: str
    closing_code: int


BLOCKED_CALLER: Final = Ending(ClosingReason.BLOCKED, BLOCKED, "BLOCKED", 4403)
TOKEN_OVER: Final = Ending(ClosingReason.TOKEN_EXPIRED, UNAUTHENTICATED, "TOKEN_EXPIRED", 4403)
USER_GONE: Final = Ending(ClosingReason.UNAUTHENTICATED, UNAUTHENTICATED, "UNAUTHENTICATED", 4403)
SHUT_DOWN: Final = Ending(ClosingReason.SHUTDOWN, OVERLOADED, "SHUTDOWN", 4503)


class LiveConnection(Protocol):
    """A WebSocket, or an answer that is streamed."""

    @property
    def ctx(self) -> RequestContext:
        """What is known of it; its subject is the caller's."""
        ...

    def end(self, ending: Ending) -> None:
        """Begin to end it, and return at once. A second call changes nothing. Never raises."""
        ...


class LiveConnections:
    """The live connections of a process, by the keys of their subjects. Belongs to one event loop at a time."""

    def __init__(self) -> None:
        self._by_subject: dict[tuple[str, str], dict[LiveConnection, None]] = {}
        self._subject_of: dict[LiveConnection, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._subject_of)

    def __iter__(self) -> Iterator[LiveConnection]:
        return iter(list(self._subject_of))

    def add(self, connection: LiveConnection) -> None:
        """Note a connection, or under which subject it belongs now."""
        self.remove(connection)
        key = connection.ctx.subject.key
        self._subject_of[connection] = key
        self._by_subject.setdefault(key, {})[connection] = None

    def remove(self, connection: LiveConnection) -> None:
        """Forget a connection that has ended; nothing happens for one that is not known."""
        key = self._subject_of.pop(connection, None)
        if key is None:
            return
        others = self._by_subject[key]
        del others[connection]
        if not others:
            del self._by_subject[key]

    def of_subject(self, key: tuple[str, str]) -> tuple[LiveConnection, ...]:
        """Those of one subject."""
        return tuple(self._by_subject.get(key, ()))

    def in_networks(self, networks: Iterable[IPv4Network | IPv6Network]) -> tuple[LiveConnection, ...]:
        """Those whose clients' addresses are in one of these networks."""
        wanted = tuple(networks)
        return tuple(each for each in self if _is_in(each.ctx.address, wanted)) if wanted else ()

    def end_where(self, wanted: Callable[[LiveConnection], bool], ending: Ending) -> int:
        """End those for which this is true; how many."""
        return self.end_all((each for each in self if wanted(each)), ending)

    @staticmethod
    def end_all(connections: Iterable[LiveConnection], ending: Ending) -> int:
        """End these; how many."""
        count = 0
        for each in connections:
            each.end(ending)
            count += 1
        return count


def _is_in(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False  # of a peer that the server does not name
    return any(parsed in network for network in networks)
