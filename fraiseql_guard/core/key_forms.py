"""The forms of settings that bring keys: algorithms, public keys, and the address of a key set.

Parsers raise ``ValueError`` whose text completes the sentence "NAME='value' ...".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from fraiseql_guard.core.parsing import items, text

ALGORITHMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), "oct"),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    **dict.fromkeys(("EdDSA", "Ed25519"), "Ed25519"),
}
"""JWS algorithms (RFC 7518, RFC 8037, RFC 9864) by name, each with the one family of keys that it may be used with: the
key type, or the curve. An algorithm is never tried with a key of another family."""


def algorithms(value: object) -> tuple[str, ...]:
    """JWS algorithms that signatures may be made with."""
    found = items(value)
    if not found or not set(found) <= ALGORITHMS.keys():
        raise ValueError("is not a list of signature algorithms")
    return found


def https_url(value: object) -> str:
    """An address to fetch keys from: https, or http on this machine."""
    url = text(value)
    parts = urlsplit(url)
    host = parts.hostname
    # Errors and logs show the address, so that it must not hold a password.
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("is not a plain address: it holds a password or a fragment")
    # Over plain HTTP an attacker in the network could give keys of their own.
    if not host or not _is_safe(parts.scheme, host):
        raise ValueError("is not an https address")
    return url


def _is_safe(scheme: str, host: str) -> bool:
    """Whether nothing between here and there can change what is fetched."""
    return scheme == "https" or (scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    try:
        # The name is not resolved: what it stands for may change after this check.
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def public_key(pem: str) -> str:
    """PEM text of a public key. The verifier that uses it checks its kind and strength."""
    if "PRIVATE KEY-----" in pem:
        raise ValueError(
            "is a private key, and must be a public one: openssl pkey -in private.pem -pubout prints the public one"
        )
    if "-----BEGIN" not in pem or "PUBLIC KEY-----" not in pem:
        raise ValueError("is not a public key in PEM")
    return pem
