"""Reads compact JWS (RFC 7515) strictly, before any cryptography.

Libraries are lenient in different places and raise more kinds of errors than they document. So only tokens in the form
that honest issuers write reach them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

MAX_TOKEN_BYTES: Final = 8192
MAX_KID_CHARACTERS: Final = 256
_MAX_NESTING: Final = 20

_FORBIDDEN: Final = frozenset({"crit", "jku", "x5u", "jwk", "b64"})
"""Header parameters that change how a token is read, or bring the key to verify it with."""
_TEXTS: Final = ("alg", "kid", "typ", "cty")
"""Header parameters that are text (RFC 7515, section 4.1)."""


@dataclass(frozen=True, slots=True)
class Jws:
    """A well-formed token whose signature is not checked yet."""

    header: Mapping[str, Any]
    algorithm: str
    payload: bytes
    signing_input: bytes
    signature: bytes


def read_jws(token: str, algorithms: Container[str]) -> Jws | None:
    """The parts of a compact token signed with one of ``algorithms``; None for any other text.

    Refused are: more than 8 KiB, any number of segments but three, any spelling of base64url but the canonical one
    without padding (RFC 4648, 3.5), a header that is not strict JSON, and header parameters that bring a key or
    name an extension.
    """
    # The cheapest tests come first, since forged tokens reach this line.
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        return None
    segments = token.split(".")
    if len(segments) != 3:
        return None
    head, payload, signature = map(_decode, segments)
    # A token without a signature (alg none) ends here; the check of the claims refuses an empty payload.
    if not head or payload is None or not signature:
        return None
    header = _read_header(head)
    if header is None or header.get("alg") not in algorithms:
        return None
    # The signing input is the token's own text, not a new encoding of it (RFC 7515, 5.2).
    return Jws(header, header["alg"], payload, token.rpartition(".")[0].encode(), signature)


def _read_header(text: bytes) -> Mapping[str, Any] | None:
    """The header of a token; None if it is not strict JSON, has no alg or a wrong type, or a forbidden parameter."""
    header = read_object(text)
    if header is None or not header.keys().isdisjoint(_FORBIDDEN):
        return None
    texts = [header[name] for name in _TEXTS if name in header]
    if "alg" not in header or not all(isinstance(each, str) for each in texts):
        return None
    return header if len(header.get("kid", "")) <= MAX_KID_CHARACTERS else None


def read_object(text: bytes) -> dict[str, Any] | None:
    """Read a JSON object strictly: UTF-8, no byte order mark, no NaN, no lone surrogates, no duplicate keys at any
    level, at most 20 levels. None for any other text."""
    try:
        orjson.loads(text)  # strict about everything but duplicate keys, which it merges
        value = json.loads(text.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and _is_shallow(value, text) else None


def _decode(segment: str) -> bytes | None:
    """Decode canonical base64url; None for any other spelling. Encoding the result again must give the same text, which
    rules out padding, foreign characters and stray trailing bits at once."""
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        return None
    return decoded if base64.urlsafe_b64encode(decoded).rstrip(b"=") == segment.encode() else None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _is_shallow(value: object, text: bytes) -> bool:
    # With so few brackets the value cannot be too deep.
    if text.count(b"[") + text.count(b"{") <= _MAX_NESTING:
        return True
    # Level by level, without recursion.
    level = [value]
    for _ in range(_MAX_NESTING):
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
    return not level


def _children(container: object) -> list[object]:
    if isinstance(container, dict):
        return list(container.values())
    return container if isinstance(container, list) else []
