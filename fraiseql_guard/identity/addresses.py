"""Who is asking, as far as the connection and its trusted proxies tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from fraiseql_guard.context import Subject
from fraiseql_guard.identity.forwarded import hops, node_address
from fraiseql_guard.identity.networks import LOOPBACK, PRIVATE, Address, NetworkSet, listed, subject_of
from fraiseql_guard.reads import HeadReads
from fraiseql_guard.settings import Settings
from fraiseql_guard.signals import UNKNOWN

FORWARDING: Final = frozenset({"x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip"})
"""Headers in which proxies name the client."""

__all__ = ["AddressResolver", "Caller", "listed"]

_K = TypeVar("_K")
_V = TypeVar("_V")

_REMEMBERED: Final = 4096
_REMEMBERED_HEADER_BYTES: Final = 256
_LONGEST_HOST: Final = 128  # longer than any address with its zone; such text stays unreadable when cut
_UNREADABLE: Final = "?"


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from.

    ``address`` is exact and canonical (no port, brackets or zone; IPv4-mapped IPv6 is IPv4), or ``unknown``.
    ``shared``: it is a proxy of ours that nobody declared, so everybody behind it looks alike. ``private`` and
    ``loopback`` describe the connection itself, and hold only if no forwarding header came with it. ``header`` is the
    forwarding header that did come, or empty.
    """

    address: str
    subject: Subject
    shared: bool
    private: bool
    header: str
    loopback: bool = False


@dataclass(frozen=True, slots=True)
class _Peer:
    """The other end of the connection. Without an address it is a unix socket or something unreadable."""

    address: Address | None
    trusted: bool
    alone: Caller  # the caller when no forwarding header is present


class AddressResolver:
    """Finds the caller of a request from the peer and the header in which trusted proxies name the client.

    By default no proxy is trusted and the caller is the peer. Never raises.
    """

    __slots__ = ("_callers", "_chosen", "_header", "_names", "_peers", "_trusted", "_unix_trusted", "reads")

    def __init__(self, settings: Settings) -> None:
        self._trusted = NetworkSet(peer for peer in settings.trusted_proxies if peer != "unix")
        self._unix_trusted = "unix" in settings.trusted_proxies
        self._header = settings.forwarded_header
        self._chosen = self._header.encode()
        self._names = {name.encode(): name for name in {*FORWARDING, self._header}}
        self.reads: Final = HeadReads(headers=frozenset(self._names))
        self._peers: dict[str | None, _Peer] = {}
        self._callers: dict[tuple[str | None, str, bytes | None], Caller] = {}

    def resolve(
        self, client: object, lines: Iterable[tuple[bytes, bytes]], names: Iterable[bytes] | None = None
    ) -> Caller:
        """The caller of a request with ``scope["client"]`` and ``scope["headers"]`` of ASGI, and the names of these
        where they are known.

        ``client`` may have any shape: a server may give a tuple or a list, the port as text, or None.
        """
        host = client[0] if type(client) is tuple and client and type(client[0]) is str else None
        peer = self._peers.get(host) if host else None
        if peer is None:  # not as it nearly always is, or met for the first time
            host = _host_of(client)
            peer = self._peers.get(host) or _remember(self._peers, host, self._meet(host))
        if names is not None and self._names.keys().isdisjoint(names):
            return peer.alone
        name, chosen = "", None
        for key, value in lines:
            if key in self._names:
                if key == self._chosen:
                    chosen = value if chosen is None else chosen + b"," + value
                name = name or self._names[key]
        if not name:
            return peer.alone
        return self._forwarded(host, peer, name if chosen is None else self._header, chosen if peer.trusted else None)

    def _meet(self, host: str | None) -> _Peer:
        address = node_address(host)
        caller = Caller(
            address=UNKNOWN if address is None else str(address),
            subject=subject_of(address),
            shared=False,
            private=address in PRIVATE,
            header="",
            loopback=address in LOOPBACK,
        )
        return _Peer(address, address in self._trusted or (host is None and self._unix_trusted), caller)

    def _forwarded(self, host: str | None, peer: _Peer, name: str, value: bytes | None) -> Caller:
        key = (host, name, value)
        caller = self._callers.get(key)
        if caller is None:
            caller = self._walk(peer, name, value)
            if value is None or len(value) <= _REMEMBERED_HEADER_BYTES:
                _remember(self._callers, key, caller)
        return caller

    def _walk(self, peer: _Peer, name: str, value: bytes | None) -> Caller:
        """Follow the hops while they are trusted; the last good one is the caller.

        It is shared if it is one of ours (private, or a trusted proxy) and more was said about who is behind it than
        may be believed. A public address is never shared: that would let its owner escape sanctions at will.
        """
        address, unread = peer.address, value is None
        walk = hops(self._header, value or b"")
        for hop in walk:
            if hop is None:
                unread = True
                break
            address = hop
            if hop not in self._trusted:
                unread = any(True for _ in walk)
                break
        ours = address is None or address in PRIVATE or address in self._trusted
        return Caller(
            address=UNKNOWN if address is None else str(address),
            subject=subject_of(address),
            shared=unread and ours,
            private=False,
            header=name,
        )


def _host_of(client: object) -> str | None:
    """The host in scope["client"]; None for a unix socket, for which servers give None, nothing, or ``unix:``."""
    if isinstance(client, (tuple, list)) and client:
        host = client[0]
        if isinstance(host, str):
            return None if not host or host.startswith("unix:") else host[:_LONGEST_HOST]
        return None if host is None else _UNREADABLE
    return _UNREADABLE if client else None


def _remember(memory: dict[_K, _V], key: _K, value: _V) -> _V:
    """Keep an answer; the oldest makes room, so that no flood of addresses makes the process grow."""
    if len(memory) >= _REMEMBERED:
        memory.pop(next(iter(memory)), None)
    memory[key] = value
    return value
