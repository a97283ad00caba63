"""Signed tokens for tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fraiseql_guard.core.extras import Extra, require
from fraiseql_guard.core.settings import VARIABLES

if TYPE_CHECKING:
    from fraiseql_guard.testing.signing import SigningKey


def make_token(
    key: str,
    *,
    sub: str,
    expires_in_seconds: float | None = None,
    algorithm: str | None = None,
    kid: str | None = None,
    clock: Callable[[], float] = time.time,
    **claims: Any,
) -> str:
    """A token (JWT) for user ``sub``, signed with ``key``: a secret (HS256), or a private key as PEM or JWK text.

    It is valid from now on, for FRAISEQL_TOKEN_LIFETIME_SECONDS (3600) unless ``expires_in_seconds`` is given; a
    negative number makes an expired token. ``algorithm`` is another one that the key can make, ``kid`` the key's name
    in the header (a JWK has its own). Further keywords are claims, ``exp`` and ``iat`` included. ValueError for a key
    that cannot sign, SettingsError without the packages for tokens.
    """
    now = int(clock())
    lifetime = _lifetime_seconds() if expires_in_seconds is None else expires_in_seconds
    return sign({"sub": sub, "iat": now, "exp": now + lifetime, **claims}, key, algorithm=algorithm, kid=kid)


def sign(claims: Mapping[str, Any], key: str, *, algorithm: str | None = None, kid: str | None = None) -> str:
    """A token (JWT) with these claims and no others, signed as by :func:`make_token`."""
    require(Extra.JWT, "make_token")
    from fraiseql_guard.testing import signing

    return signing.sign(claims, key, algorithm=algorithm, kid=kid)


def signing_key(text: str) -> SigningKey:
    """The key in a text: a private key in PEM, a JWK, or else a secret. ValueError if it cannot sign, SettingsError
    without the packages for tokens."""
    require(Extra.JWT, "signing_key")
    from fraiseql_guard.testing import signing

    return signing.signing_key(text)


def _lifetime_seconds() -> int:
    row = next(row for row in VARIABLES if row.option == "token_lifetime_seconds")
    # From the table of settings, so that a test's token lives as long as the configured issuer's.
    seconds: int = row.read(os.environ.get(row.name, "").strip() or row.default, row.name)
    return seconds
