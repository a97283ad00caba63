"""IPv4 addresses inside IPv6 ones, as translators between the two (NAT64, SIIT) write a caller's address.

An app that is reached over IPv6 alone sees all IPv4 callers of a translator in one /64. Each of them is one caller, and
its IPv4 address is its name, as it would be without the translator.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

LENGTHS: Final = (32, 40, 48, 56, 64, 96)
"""Those of a translator's prefix (RFC 6052, section 2.2)."""

WELL_KNOWN: Final = (
    IPv6Network("64:ff9b::/96"),  # RFC 6052
    IPv6Network("64:ff9b:1::/96"),  # the usual one of RFC 8215
    IPv6Network("::ffff:0:0:0/96"),  # RFC 2765
)
LOCAL_USE: Final = IPv6Network("64:ff9b:1::/48")
"""Where networks choose prefixes of their own (RFC 8215)."""

_UNTRANSLATED: Final = tuple(
    map(
        IPv4Network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
            *("127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8", "224.0.0.0/3"),
        ),
    )
)
"""Networks that translators do not stand for (RFC 6052, section 3.1): private addresses, which are trusted more than
others, and addresses of no host."""


def is_translated(address: IPv4Address) -> bool:
    """Whether a translator may stand for an IPv4 address."""
    return not any(address in network for network in _UNTRANSLATED)


def embedded_ipv4(address: IPv6Address, prefixes: Iterable[IPv6Network] = ()) -> IPv4Address | None:
    """The IPv4 address that a translator has put behind a well-known prefix or one of ``prefixes``; None without one,
    and for private and other special ones, which stay as they are."""
    for prefix in (*WELL_KNOWN, *prefixes):
        if address in prefix:
            found = _behind(address, prefix.prefixlen)
            return found if is_translated(found) else None
    return None


def stands_alone(address: IPv6Address, prefixes: Iterable[IPv6Network] = ()) -> bool:
    """Whether the other addresses of its /64 are other callers'."""
    return any(address in prefix for prefix in (*WELL_KNOWN, LOCAL_USE, *prefixes))


def embedded_network(network: IPv6Network) -> IPv4Network | None:
    """The IPv4 network that lies behind a well-known prefix; None without one, and for private and other special ones.
    ValueError for one that holds both."""
    if not any(network.subnet_of(prefix) for prefix in WELL_KNOWN):
        return None
    # All well-known prefixes are /96, so that the last 32 bits are the IPv4 address.
    found = IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
    if any(found.subnet_of(special) for special in _UNTRANSLATED):
        return None
    if any(special.subnet_of(found) for special in _UNTRANSLATED):
        raise ValueError("holds a prefix of translated IPv4 addresses (give the IPv4 networks that are meant)")
    return found


def _behind(address: IPv6Address, length: int) -> IPv4Address:
    """The bits after the prefix, without the reserved octet 64 to 71 (RFC 6052, section 2.2)."""
    number = int(address)
    if length == 96:
        return IPv4Address(number & 0xFFFF_FFFF)
    # Octet 8 is cut out of the number, so that prefix and address stand next to each other.
    without_reserved = (number >> 64 << 56) | (number & ((1 << 56) - 1))
    return IPv4Address(without_reserved >> (120 - length - 32) & 0xFFFF_FFFF)
