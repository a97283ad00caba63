"""From the Authorization header to a verified user, or the reason why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from fraiseql_guard.context import Identity
from fraiseql_guard.identity.claims import ClaimRules
from fraiseql_guard.identity.jws import MAX_TOKEN_BYTES, read_jws, read_object
from fraiseql_guard.identity.keys import KeyRing
from fraiseql_guard.settings import Settings
from fraiseql_guard.signals import FailureReason

_PREFIX_CHARACTERS: Final = 8
_REMEMBERED_SECONDS: Final = 60.0
_REMEMBERED_TOKENS: Final = 10_000
_BYTES_PER_TOKEN: Final = 1_600
"""Measured, with eight claims."""


@dataclass(frozen=True, slots=True)
class TokenFailure:
    """Why there is no verified user.

    ``token_prefix``: the first 8 characters, and only of something that has the three parts of a token: anything else
    may be a password. ``claims``: only of a genuine token that has expired; no other unverified claim gets out.
    """

    reason: FailureReason
    token_prefix: str | None = None
    claims: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Remembered:
    identity: Identity
    since: float
    until: float


class TokenVerifier:
    """Verifies bearer tokens (RFC 6750, RFC 7519) with the configured HMAC keys.

    ``clock`` tells the seconds since 1970. A verified token is remembered by the SHA-256 of its bytes for up to 60 s
    or until it expires; a change of keys empties that memory. Failures are not remembered. SettingsError at
    construction if no key is configured (see Settings.authenticates) or one cannot be used.
    """

    __slots__ = ("_algorithms", "_clock", "_keys", "_memory", "_ring", "_rules")

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._ring = KeyRing(settings)
        self._keys = self._ring.keys()
        self._rules = ClaimRules.of(settings)
        self._algorithms = frozenset(settings.jwt_algorithms)
        self._clock = clock
        self._memory: dict[bytes, _Remembered] = {}

    @property
    def size_bytes(self) -> int:
        """What the remembered tokens take, estimated by their number."""
        return len(self._memory) * _BYTES_PER_TOKEN

    def forget(self) -> None:
        """Verify every token anew."""
        self._memory.clear()

    def verify(self, authorization: Sequence[str]) -> Identity | TokenFailure:
        """The user whom the values of all Authorization headers of a request name. Never raises.

        No header, or one without a token, is ``missing_token``; several headers, or another scheme than Bearer, are
        ``invalid_token``.
        """
        token = _bearer_token(authorization)
        if isinstance(token, TokenFailure):
            return token
        try:
            return self._verify_token(token)
        except Exception:  # noqa: BLE001 - whatever a library raises on odd bytes, the token is not a good one
            return _failure(FailureReason.INVALID_TOKEN, token)

    def _verify_token(self, token: str) -> Identity | TokenFailure:
        keys = self._ring.keys()
        if keys is not self._keys:
            self._keys = keys
            self._memory.clear()
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            return _failure(FailureReason.INVALID_TOKEN, token)
        now = self._clock()
        digest = sha256(token.encode()).digest()
        known = self._memory.get(digest)
        if known is not None and known.since <= now < known.until:
            return known.identity
        answer = self._check(token, now)
        if isinstance(answer, Identity):
            self._remember(digest, answer, now)
        return answer

    def _check(self, token: str, now: float) -> Identity | TokenFailure:
        jws = read_jws(token, self._algorithms)
        if jws is None:
            return _failure(FailureReason.INVALID_TOKEN, token)
        key = self._ring.match(jws)
        if key is None:
            return _failure(FailureReason.INVALID_SIGNATURE, token)
        claims = read_object(jws.payload)
        if claims is None:
            return _failure(FailureReason.INVALID_TOKEN, token)
        fault = self._rules.fault(claims, now)
        if fault is None:
            return self._rules.identity(claims, key)
        return _failure(fault, token, claims if fault is FailureReason.TOKEN_EXPIRED else None)

    def _remember(self, digest: bytes, identity: Identity, now: float) -> None:
        """Entries leave in the order in which they came, at most two for one that comes: the work stays bounded, and
        the memory shrinks to what is still of use."""
        memory = self._memory
        memory.pop(digest, None)  # so that a token verified anew stands at the end
        for _ in range(2):
            oldest = next(iter(memory), None)
            if oldest is None or (len(memory) < _REMEMBERED_TOKENS and now < memory[oldest].until):
                break
            del memory[oldest]
        until = min(now + _REMEMBERED_SECONDS, self._rules.accepted_until(identity.claims))
        memory[digest] = _Remembered(replace(identity, fresh=False), now, until)


def _bearer_token(authorization: Sequence[str]) -> str | TokenFailure:
    lines = [line.strip(" \t") for line in authorization]
    if not any(lines):
        return TokenFailure(FailureReason.MISSING_TOKEN)
    scheme, _, token = lines[0].partition(" ")
    if len(lines) != 1 or scheme.lower() != "bearer":
        return TokenFailure(FailureReason.INVALID_TOKEN)
    token = token.lstrip(" ")
    return token or TokenFailure(FailureReason.MISSING_TOKEN)


def _failure(reason: FailureReason, token: str, claims: Mapping[str, Any] | None = None) -> TokenFailure:
    prefix = token[:_PREFIX_CHARACTERS] if token.count(".") == 2 else None
    return TokenFailure(reason, prefix, claims)
