"""Knows the live connections of a process (WebSockets and streamed answers), and ends those of a caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Protocol

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.live_facts import LiveFacts
from fraiseql_guard.core.signals import BLOCKED, OVERLOADED, UNAUTHENTICATED, ClosingReason, Code
from fraiseql_guard.stores.protocol import Imposed


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


def by_operator(closing_code: int) -> Ending:
    """An operator's own word."""
    return Ending(ClosingReason.SHUTDOWN, OVERLOADED, "SHUTDOWN", closing_code)


class LiveConnection(Protocol):
    """A WebSocket, or an answer that is streamed."""

    @property
    def ctx(self) -> RequestContext:
        """What is known of it; its subject is the caller's."""
        ...

    @property
    def credentials(self) -> Sequence[str]:
        """The values of Authorization headers that its identity was verified by, as ``ctx.lines(b"authorization")``
        has them; of a token that came otherwise, what such a header would hold. Asked for after a change of keys."""
        ...

    def facts(self) -> LiveFacts:
        """What an operator sees of it. Asked for about once a second, of every connection."""
        ...

    def end(self, ending: Ending) -> None:
        """Begin to end it, and return at once. A second call changes nothing. Never raises.

        The connection removes itself from LiveConnections when it has ended; asked for in its event loop."""
        ...


class LiveWatcher(Protocol):
    """Is told which connections live. Neither method raises."""

    def added(self, connection: LiveConnection) -> None:
        """A connection lives, or its subject or its token is another one now."""
        ...

    def removed(self, connection: LiveConnection) -> None:
        """A connection has ended."""
        ...


class ConnectionEnder(Protocol):
    """Ends live connections for what happens elsewhere. Never raises."""

    def imposed(self, imposed: Imposed) -> None:
        """A request has brought a sanction into force, or would have."""
        ...

    def shut_down(self) -> None:
        """The process ends."""
        ...

    async def aclose(self) -> None:
        """Stop watching in the running event loop."""
        ...


class LiveConnections:
    """The live connections of a process, by the tags of their subjects. Belongs to one event loop at a time."""

    def __init__(self) -> None:
        self._by_tag: dict[str, dict[LiveConnection, None]] = {}
        self._subject_of: dict[LiveConnection, Subject] = {}
        self.watcher: LiveWatcher | None = None

    def __len__(self) -> int:
        return len(self._subject_of)

    def __iter__(self) -> Iterator[LiveConnection]:
        return iter(list(self._subject_of))

    def __contains__(self, connection: object) -> bool:
        return connection in self._subject_of

    def add(self, connection: LiveConnection) -> None:
        """Note a connection; again, whenever its subject or its token is another one (``ctx.identify``)."""
        self._forget(connection)
        subject = connection.ctx.subject
        self._subject_of[connection] = subject
        self._by_tag.setdefault(subject.tag, {})[connection] = None
        if self.watcher is not None:
            self.watcher.added(connection)

    def remove(self, connection: LiveConnection) -> None:
        """Forget a connection that has ended; nothing happens for one that is not known."""
        if self._forget(connection) and self.watcher is not None:
            self.watcher.removed(connection)

    def _forget(self, connection: LiveConnection) -> bool:
        subject = self._subject_of.pop(connection, None)
        if subject is None:
            return False
        others = self._by_tag[subject.tag]
        del others[connection]
        if not others:
            del self._by_tag[subject.tag]
        return True

    def of_subject(self, subject: Subject) -> tuple[LiveConnection, ...]:
        """Those of one subject; of the subjects of a group, if it is the group's own."""
        return self.under(subject.tag, subject.member)

    def under(self, tag: str, member: str = "") -> tuple[LiveConnection, ...]:
        """Those whose subjects have this tag and are this member of its group, or all that have the tag."""
        found = self._by_tag.get(tag, ())
        return tuple(each for each in found if not member or self._subject_of[each].member == member)

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
