"""Reads JWK sets (RFC 7517, section 5): the public keys of an issuer in one document of bounded size and number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.identity.jws import read_object
from fraiseql_guard.identity.key_material import VerificationKey, jwk_key

MAX_SET_BYTES: Final = 65_536
MAX_KEYS: Final = 20
SET_KEY_NAME: Final = "jwks"
"""The name of every key in a set. Not its kid: that comes from outside, and a metric's label must stay bounded."""


@dataclass(frozen=True, slots=True)
class JwkSet:
    """The usable keys of a set, and a sentence about each key that cannot be used."""

    keys: tuple[VerificationKey, ...]
    problems: tuple[str, ...]


def read_jwk_set(text: bytes, algorithms: Collection[str]) -> JwkSet:
    """Read the keys that may verify signatures made with ``algorithms``; ValueError if the text is no JWK set.

    Two keys of one family with the same kid are both left out, since the kid does not tell them apart (RFC 7517, 4.5).
    """
    found: list[VerificationKey] = []
    problems: list[str] = []
    for number, member in enumerate(_members(text), 1):
        try:
            # One key that cannot be used must not cost the others.
            found.append(_key(member, algorithms))
        except ValueError as error:
            problems.append(f"key {number} {error}")
    usable = _named_apart(found)
    if len(usable) < len(found):
        problems.append("two keys of one kind share a kid, so that it names neither")
    return JwkSet(usable, tuple(problems))


def _named_apart(found: Sequence[VerificationKey]) -> tuple[VerificationKey, ...]:
    """The keys without a kid, and those whose kid is unique in their family."""
    times = Counter(map(_name, found))
    return tuple(key for key in found if key.kid is None or times[_name(key)] == 1)


def _members(text: bytes) -> list[Any]:
    """The members of a set's list of keys; ValueError if the text is no JWK set, or too large."""
    # Checked before the text is parsed, since it comes from another server.
    if len(text) > MAX_SET_BYTES:
        raise ValueError(f"is larger than {MAX_SET_BYTES} bytes")
    document = read_object(text)
    members = document.get("keys") if document is not None else None
    if not isinstance(members, list):
        raise ValueError("is no JWK set (a JSON object with a list of keys)")
    if len(members) > MAX_KEYS:
        raise ValueError(f"holds more than {MAX_KEYS} keys")
    return members


def _key(member: Any, algorithms: Collection[str]) -> VerificationKey:
    if not isinstance(member, dict):
        raise ValueError("is no JSON object")
    key = jwk_key(SET_KEY_NAME, member, algorithms)
    if not key.algorithms:
        raise ValueError("fits none of the accepted algorithms")
    return key


def _name(key: VerificationKey) -> tuple[str | None, str]:
    """The kid and the family of a key, by which a token names it."""
    return key.kid, key.material.key_type
