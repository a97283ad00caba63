"""Finds the address of a caller from the connection and the headers of trusted proxies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from itertools import islice
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.settings import Settings, SettingsError, name_of
from fraiseql_guard.core.signals import UNKNOWN
from fraiseql_guard.core.translated import embedded_ipv4, stands_alone
from fraiseql_guard.identity.forwarded import LISTING_HEADERS, MAX_HEADER_BYTES, hops, node_address
from fraiseql_guard.identity.networks import LOOPBACK, PRIVATE, Address, NetworkSet, listed, subject_of
from fraiseql_guard.identity.proxy_headers import PASSED_ON, by_name, only_proxies_send

__all__ = ["AddressResolver", "Caller", "listed", "only_proxies_send"]


_REMEMBERED: Final = 4096
_REMEMBERED_HEADER_BYTES: Final = 256
_READ_HEADER_BYTES: Final = MAX_HEADER_BYTES + 1  # one more, which tells that it was longer
_LONGEST_HOST: Final = 128  # longer than any address with its zone; such text stays unreadable when cut
_LONGEST_NAME: Final = 64
_UNREADABLE: Final = "?"
_TEST_CLIENT: Final = "testclient"
"""The peer that Starlette's TestClient names. No connection comes from it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The source of a request, as the connection and trusted proxies tell it.

    ``address`` is exact and canonical (no port, brackets or zone; IPv4-mapped IPv6 is IPv4), or ``unknown``.
    ``shared``: the address is that of an undeclared proxy of ours, so all callers behind it look alike. ``header`` is
    the name of a header that only proxies send, if one came, else empty. ``private`` and ``loopback`` describe the
    peer, and are True only if no such header came; in development Starlette's TestClient counts as on this machine.
    """

    address: str
    subject: Subject
    shared: bool
    private: bool
    header: str
    loopback: bool = False
    resolved: bool = False
    """Whether the server has already put the address that a header names in the place of the peer."""
    trusted: bool = False
    """Whether the peer of the connection is a proxy that is trusted."""

    @property
    def suspect(self) -> bool:
        """Whether to warn an operator of an undeclared proxy that hides its callers. Not by a header that applications
        pass on as well, since then the peer need not be a proxy."""
        return self.shared and self.header.encode("latin-1") not in PASSED_ON


@dataclass(frozen=True, slots=True)
class _Peer:
    """The other end of the connection. ``address`` is None for a unix socket or an unreadable address."""

    address: Address | None
    trusted: bool
    alone: Caller  # the caller if no header of a proxy came


class AddressResolver:
    """Finds the caller of a request from the peer and the header in which trusted proxies name the client.

    By default no proxy is trusted and the caller is the peer. If the settings give the number of proxies instead of
    their networks, every peer that sends the header is taken for the nearest proxy. Never raises after the start.
    ``most_remembered`` bounds the cache of peers, and that of callers behind proxies. SettingsError if the settings
    contradict each other.
    """

    __slots__ = (
        "_callers",
        "_chosen",
        "_count",
        "_header",
        "_ipv6_prefix",
        "_peers",
        "_prefixes",
        "_proxied",
        "_tests",
        "_trusted",
        "_unix_trusted",
        "reads",
    )

    def __init__(self, settings: Settings, *, most_remembered: int = _REMEMBERED) -> None:
        self._trusted = NetworkSet(peer for peer in settings.trusted_proxies if peer != "unix")
        self._unix_trusted = "unix" in settings.trusted_proxies
        self._prefixes = settings.nat64_prefixes
        self._tests = settings.environment == "development"
        self._header = settings.forwarded_header
        self._count = _proxy_count(settings)
        self._ipv6_prefix = settings.ipv6_prefix
        self._chosen = self._header.encode()
        self._proxied = by_name(lambda name: name == self._chosen or only_proxies_send(name))
        self.reads: Final = HeadReads(headers=frozenset({self._chosen}), proxy_headers=True)
        self._peers: Lru[str | None, _Peer] = Lru(most_remembered)
        self._callers: Lru[tuple[str | None, str, bytes | None, bool], Caller] = Lru(most_remembered)

    @property
    def remembered(self) -> tuple[int, int]:
        """Number of cached peers, and of cached callers behind proxies."""
        return self._peers.count(), self._callers.count()

    def resolve(
        self, client: object, lines: Iterable[tuple[bytes, bytes]], names: Iterable[bytes] | None = None
    ) -> Caller:
        """The caller of a request. ``client`` and ``lines`` are ``scope["client"]`` and ``scope["headers"]`` of ASGI;
        ``names`` are the names of the headers, None if they are not at hand.

        ``client`` may have any shape: a server may give a tuple or a list, the port as text, or None.
        """
        # 1. The peer. The tuple of text and port that all servers give is looked up without a call.
        host = client[0] if type(client) is tuple and client and type(client[0]) is str else None
        peer = self._peers.look(host) if host else None
        if peer is None:  # another shape, or the first request of this peer
            host = _host_of(client)
            peer = self._peers.look(host) or self._meet(host)
        # Most requests come from clients themselves: their header names are known, and none is a proxy's.
        if names is not None and True not in map(self._proxied.__getitem__, names):
            return peer.alone
        return self._behind(host, peer, lines, resolved=host is not None and _is_resolved(client))

    def _behind(self, host: str | None, peer: _Peer, lines: Iterable[tuple[bytes, bytes]], *, resolved: bool) -> Caller:
        """The caller by the headers that only proxies send; the peer if there are none."""
        name, chosen = b"", None
        for key, value in lines:
            if not self._proxied[key]:
                continue
            if key == self._chosen:
                # Keep only as many bytes as are read: there may be a thousand such lines.
                chosen = value if chosen is None else (chosen + b"," + value)[-_READ_HEADER_BYTES:]
            if not name or name in PASSED_ON:
                name = key  # the first, but rather one that applications do not pass on
        if not name:
            return peer.alone
        shown = self._header if chosen is not None else name[:_LONGEST_NAME].decode("latin-1")
        believed = peer.trusted or self._count
        return self._forwarded(host, peer, shown, chosen if believed else None, resolved)

    def _meet(self, host: str | None) -> _Peer:
        address = self._untranslated(node_address(host))
        # A unix socket has no address: the word unix in the settings trusts it.
        trusted = address in self._trusted or (host is None and self._unix_trusted)
        caller = Caller(
            address=UNKNOWN if address is None else str(address),
            subject=self._subject(address),
            shared=False,
            private=address in PRIVATE,
            header="",
            loopback=address in LOOPBACK or (self._tests and host == _TEST_CLIENT),
            trusted=trusted,
        )
        peer = _Peer(address, trusted, caller)
        self._peers.put(host, peer)
        return peer

    def _forwarded(self, host: str | None, peer: _Peer, name: str, value: bytes | None, resolved: bool) -> Caller:
        key = (host, name, value, resolved)
        caller = self._callers.look(key)
        if caller is None:
            caller = self._walk(peer, name, value)
            if resolved:  # the server has put one client's address in the place of the proxy's
                caller = replace(caller, shared=False, resolved=True)
            # Long headers are not cached: many of them would fill the memory.
            if value is None or len(value) <= _REMEMBERED_HEADER_BYTES:
                self._callers.put(key, caller)
        return caller

    def _walk(self, peer: _Peer, name: str, value: bytes | None) -> Caller:
        """Follow the hops from the peer while they are trusted; the caller is the last one that a trusted hop names.

        The caller is shared if its address is ours (private, or a trusted proxy) and the header names further hops,
        which are not believed. A public address is never shared: its owner could escape sanctions at will.
        """
        address, unread = self._last_good(peer, value) if self._count is None else self._counted(peer, value)
        ours = address is None or address in PRIVATE or address in self._trusted
        return Caller(
            address=UNKNOWN if address is None else str(address),
            subject=self._subject(address),
            shared=unread and ours,
            private=False,
            header=name,
            trusted=peer.trusted if self._count is None else address is not peer.address,
        )

    def _counted(self, peer: _Peer, value: bytes | None) -> tuple[Address | None, bool]:
        """The hop that the farthest of the counted proxies names, and whether the header names further hops.

        A header with fewer hops than proxies may be the client's own: then the peer is the caller, and the header is
        not believed.
        """
        walk = map(self._untranslated, hops(self._header, value or b""))
        hop = next(islice(walk, (self._count or 1) - 1, None), None)
        return (peer.address, True) if hop is None else (hop, any(True for _ in walk))

    def _last_good(self, peer: _Peer, value: bytes | None) -> tuple[Address | None, bool]:
        """The last hop that a trusted hop names, and whether the header names further hops."""
        address, unread = peer.address, value is None
        walk = map(self._untranslated, hops(self._header, value or b""))
        for hop in walk:
            if hop is None:
                # An unreadable hop hides those behind it: the walk ends at the last good one.
                return address, True
            address = hop
            if hop not in self._trusted:
                # Hops further to the left are claims of this untrusted one.
                return address, any(True for _ in walk)
        return address, unread

    def _untranslated(self, address: Address | None) -> Address | None:
        """The IPv4 address inside an IPv6 address that a translator (NAT64) has made; any other address as it is."""
        if not isinstance(address, IPv6Address):
            return address
        # One client must not be two callers, once by IPv4 and once through NAT64 (RFC 6052).
        return embedded_ipv4(address, self._prefixes) or address

    def _subject(self, address: Address | None) -> Subject:
        alone = isinstance(address, IPv6Address) and stands_alone(address, self._prefixes)
        return subject_of(address, alone=alone, ipv6_prefix=self._ipv6_prefix)


def _proxy_count(settings: Settings) -> int | None:
    """The number of proxies in the settings, or None; SettingsError if another setting contradicts it."""
    count, name = settings.proxy_count, name_of("proxy_count")
    if count is None:
        return None
    if settings.trusted_proxies:
        raise SettingsError(
            f"{name}={count} and {name_of('trusted_proxies')} are both set: proxies are known by their networks or by "
            "their number. Remove one of them"
        )
    if settings.forwarded_header not in LISTING_HEADERS:
        raise SettingsError(
            f"{name}={count} counts the addresses of a list, and {name_of('forwarded_header')}="
            f"{settings.forwarded_header!r} holds a single one. Use {' or '.join(LISTING_HEADERS)}, or "
            f"{name_of('trusted_proxies')} instead"
        )
    return count


def _host_of(client: object) -> str | None:
    """The host in scope["client"]; None for a unix socket, for which servers give None, nothing, or ``unix:``."""
    if isinstance(client, (tuple, list)) and client:
        host = client[0]
        if isinstance(host, str):
            # Text longer than an address is cut before it becomes the key of a cache.
            return None if not host or host.startswith("unix:") else host[:_LONGEST_HOST]
        return None if host is None else _UNREADABLE
    return _UNREADABLE if client else None


def _is_resolved(client: object) -> bool:
    """Whether a server has replaced the peer by the address in a header: uvicorn and hypercorn give it the port 0,
    which no connection comes from."""
    return isinstance(client, (tuple, list)) and len(client) > 1 and client[1] == 0
