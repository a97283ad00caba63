"""API keys: their data, and the users that they stand for.

The guard keeps no key, but its SHA-256 digest. A slow hash would add nothing, because a key is no password: one that
``fraiseql-guard api-key`` has made has 256 random bits, which no list of guesses reaches.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from fraiseql_guard.core.callers import Identity, Subject
from fraiseql_guard.core.expiry import expiry_of
from fraiseql_guard.core.settings import Settings

API_KEY: Final = "api_key"
"""``Identity.key`` of a user with an API key, and the label in the metrics."""
API_KEY_ISSUER: Final = "fraiseql-guard:api-key"
"""The issuer in the subject of an API key. Tokens that claim it are refused
(identity/claims.py), so that no token shares limits or sanctions with a key."""
TENANT: Final = "tenant"
"""The claim with a key's tenant, if the settings name no claim for tenants."""
MAX_KEY_CHARACTERS: Final = 512
_MAX_NAME_CHARACTERS: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """The data of one key, from the app or the file of API keys.

    ``name`` is its user: the ``user_id`` in logs, metrics and limits. Two keys of one name (and tenant) are one caller,
    so that a key can be exchanged for another. ``tier`` and ``scopes`` mean the same as in a token. ``expires_at`` is
    in seconds since 1970, a datetime (UTC without a zone) or its RFC 3339 text; None for never. ValueError for anything
    else.
    """

    name: str
    tier: str | None = None
    scopes: Iterable[str] = ()
    tenant: str | int | None = None
    expires_at: float | date | str | None = None
    disabled: bool = False

    def __post_init__(self) -> None:
        if not _is_name(self.name):
            raise ValueError(f"name is not printable text of 1 to {_MAX_NAME_CHARACTERS} characters")
        if self.tier is not None and not _is_name(self.tier):
            raise ValueError("tier is not printable text")
        if not (self.tenant is None or _is_name(self.tenant) or type(self.tenant) is int):
            raise ValueError("tenant is neither text nor a whole number")
        if not isinstance(self.disabled, bool):
            raise ValueError("disabled is neither true nor false")
        # Normalized, so that equal keys compare equal in whatever form they were given.
        object.__setattr__(self, "scopes", _scopes(self.scopes))
        object.__setattr__(self, "expires_at", _moment(self.expires_at))

    @property
    def ends_at(self) -> float:
        """The expiry in seconds since 1970; infinity for never."""
        return math.inf if self.expires_at is None else float(self.expires_at)  # type: ignore[arg-type]

    def identity(self, settings: Settings) -> Identity:
        """The verified user that the key stands for, with the claims that a token of the same user would have."""
        said = {"sub": self.name, settings.tenant_claim or TENANT: self.tenant, settings.tier_claim: self.tier}
        claims: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        if self.scopes:
            claims["scope"] = " ".join(self.scopes)
        if self.expires_at is not None:
            claims["exp"] = self.ends_at
        return Identity(
            user_id=self.name,
            subject=subject_of(self.name, self.tenant),
            claims=MappingProxyType(claims),
            key=API_KEY,
            scopes=tuple(self.scopes),
            tier=self.tier,
            expires_at=None if self.expires_at is None else self.ends_at,
        )


def subject_of(name: str, tenant: str | int | None = None) -> Subject:
    """The subject of an API key, in the form of a token's (identity/claims.py)."""
    return Subject("user", json.dumps([API_KEY_ISSUER, tenant, name], separators=(",", ":")))


def digest_of(key: str) -> str:
    """The hex SHA-256 of a key, by which the file and the app know it."""
    return sha256(key.encode()).hexdigest()


def may_be_key(text: str) -> bool:
    """Whether a text has the length and the characters of a key."""
    return 0 < len(text) <= MAX_KEY_CHARACTERS and text.isascii() and text.isprintable()


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= _MAX_NAME_CHARACTERS and value.isprintable()


def _scopes(given: object) -> tuple[str, ...]:
    """Scopes from a list, or from text with spaces between them (RFC 8693, section 4.2)."""
    found = given.split() if isinstance(given, str) else given
    if not isinstance(found, Iterable):
        raise ValueError("scopes is neither a list nor text")
    scopes = tuple(found)
    if not all(_is_name(each) for each in scopes):
        raise ValueError("scopes holds something that is no name of a scope")
    return scopes


def _moment(given: object) -> float | None:
    if isinstance(given, int | float) and not isinstance(given, bool):
        if not math.isfinite(given):
            raise ValueError("expires_at is no moment")
        return float(given)
    return expiry_of(given)
