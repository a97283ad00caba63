"""The forms of settings that name networks: addresses, proxies, and prefixes of translators.

Parsers raise ``ValueError`` whose text completes the sentence "NAME='value' ...".
"""

from __future__ import annotations

import ipaddress
from typing import Literal

from fraiseql_guard.core.parsing import Network, items, network
from fraiseql_guard.core.translated import LENGTHS

TrustedPeer = Network | Literal["unix"]


def networks(value: object) -> tuple[Network, ...]:
    """A list of addresses and networks, or one network."""
    return tuple(network(item) for item in _network_items(value))


def _network_items(value: object) -> tuple[str, ...]:
    return (str(value),) if isinstance(value, Network) else items(value)  # iterating it would list its addresses


def translator_prefixes(value: object) -> tuple[ipaddress.IPv6Network, ...]:
    """A list of prefixes behind which a translator puts IPv4 addresses."""
    found: list[ipaddress.IPv6Network] = []
    for item in _network_items(value):
        try:
            prefix = ipaddress.IPv6Network(str(item).strip())
        except ValueError:
            raise ValueError("holds something that is not an IPv6 prefix") from None
        if prefix.prefixlen not in LENGTHS:
            raise ValueError("holds a prefix whose length is not 32, 40, 48, 56, 64 or 96 (RFC 6052)")
        found.append(prefix)
    return tuple(found)


def trusted_peers(value: object) -> tuple[TrustedPeer, ...]:
    """A list of addresses, networks and ``unix``. Trusting everything must be said twice: ``0.0.0.0/0,0.0.0.0/0``."""
    peers: tuple[TrustedPeer, ...] = tuple(
        "unix" if item == "unix" else network(item) for item in _network_items(value)
    )
    # Everything is trusted only where it is said twice.
    for peer in peers:
        if peer != "unix" and peer.prefixlen == 0 and peers.count(peer) < 2:
            raise ValueError(
                "trusts every peer, so that anyone may claim any address; if only proxies can reach this server, "
                "name this network twice"
            )
    return peers
