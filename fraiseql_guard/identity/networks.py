"""Parses addresses into one canonical form, finds them in sets of networks, and names their subjects."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.signals import UNKNOWN
from fraiseql_guard.core.translated import is_translated, stands_alone

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_PREFIX: Final = 64
"""Length of the IPv6 prefix that is one caller, unless a setting says otherwise."""
_WIDER_IPV6: Final = (64, 56, 48)
_WIDER_FACTOR: Final = 4
"""How many times the limit of the next narrower network each wider network has."""


def parse_address(text: str) -> Address | None:
    """The address in a text, or None. A zone is dropped, and IPv4-mapped IPv6 becomes IPv4 (RFC 4291, 2.5.5.2), so that
    one caller has one name."""
    try:
        # Only IPv6 has zones (fe80::1%eth0); Python would refuse the text with one.
        address = ipaddress.ip_address(text.partition("%")[0] if ":" in text else text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if address.version == 6 else address


class NetworkSet:
    """A set of networks that tells by ``in`` whether an address belongs to one. Takes one lookup for each prefix
    length, however many networks there are."""

    __slots__ = ("_lengths",)

    def __init__(self, networks: Iterable[Network]) -> None:
        # The prefixes by version and number of host bits.
        lengths: dict[tuple[int, int], set[int]] = {}
        for network in networks:
            shift = network.max_prefixlen - network.prefixlen
            # An address belongs to a network if its leading bits are among the prefixes of that length.
            lengths.setdefault((network.version, shift), set()).add(int(network.network_address) >> shift)
        self._lengths = tuple((version, shift, frozenset(prefixes)) for (version, shift), prefixes in lengths.items())

    def __bool__(self) -> bool:
        return bool(self._lengths)

    def __contains__(self, address: Address | str | None) -> bool:
        if not self._lengths or address is None:
            return False
        parsed = parse_address(address) if isinstance(address, str) else address
        if parsed is None:
            return False
        number, family = int(parsed), parsed.version
        return any(version == family and number >> shift in prefixes for version, shift, prefixes in self._lengths)


def listed(address: str, networks: NetworkSet | Iterable[Network]) -> bool:
    """Whether an address is in one of the networks; False for ``unknown`` and other text.

    Plain networks are tried one by one. For many networks and frequent calls pass a :class:`NetworkSet`.
    """
    if isinstance(networks, NetworkSet):
        return address in networks
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in networks)


LOOPBACK: Final = NetworkSet(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
"""This machine (RFC 1122, RFC 4291)."""

PRIVATE: Final = NetworkSet(
    map(
        ipaddress.ip_network,
        (
            *("127.0.0.0/8", "::1/128"),
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
            *("169.254.0.0/16", "fe80::/10"),  # link-local: RFC 3927, RFC 4291
            "fc00::/7",  # unique local: RFC 4193
            "100.64.0.0/10",  # RFC 6598: what cloud platforms and overlay networks use in front of an app
        ),
    )
)
"""Networks that no caller on the public internet has. Python's ``is_private`` differs: it includes documentation
networks and leaves out RFC 6598."""


def subject_of(address: Address | None, *, alone: bool = False, ipv6_prefix: int = IPV6_PREFIX) -> Subject:
    """The subject for the limits and sanctions of an address; ``unknown`` for None. It is the IPv4 address, or the IPv6
    network of ``ipv6_prefix`` bits with the wider ones of /64, /56 and /48 around it, since one customer gets up to a
    /48 (RFC 6177).

    Addresses that translators assign are a subject each, and so is any address with ``alone``. Teredo clients share a
    /64 in which each can have many addresses: their subject is the client's IPv4 address (RFC 4380).
    """
    if address is None:
        return Subject("address", UNKNOWN)
    if isinstance(address, ipaddress.IPv4Address):
        return Subject("address", str(address))
    if address.teredo is not None:
        # The client claims the embedded address; if no client can have that, the IPv6 address counts.
        client = address.teredo[1]
        return Subject("address", str(client if is_translated(client) else address))
    if alone or stands_alone(address):
        return Subject("address", str(address))
    # A customer who holds a /56 or /48 changes the /64 at will: the wider networks have limits of their own.
    lengths = [length for length in _WIDER_IPV6 if length < ipv6_prefix]
    wider = tuple((_around(address, length), _WIDER_FACTOR**nth) for nth, length in enumerate(lengths, 1))
    return Subject("address", _around(address, ipv6_prefix), group=wider[-1][0] if wider else "", networks=wider)


def _around(address: Address, length: int) -> str:
    return str(ipaddress.ip_network((int(address), length), strict=False))
