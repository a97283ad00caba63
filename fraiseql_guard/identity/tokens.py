"""Verifies bearer tokens: from the Authorization header to a user, or a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.extras import Extra, require
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.settings import KEY_OPTIONS, Settings, name_of
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.identity.claims import ClaimRules, any_audience
from fraiseql_guard.identity.jws import MAX_TOKEN_BYTES, Jws, read_jws, read_object

if TYPE_CHECKING:
    from fraiseql_guard.identity.key_material import VerificationKey
    from fraiseql_guard.identity.key_sources import KeyObserver

_PREFIX_CHARACTERS: Final = 8
_DIGEST_BYTES: Final = 32
"""Length of a BLAKE2b digest (RFC 7693), which is as safe as a SHA-256 of that length. It takes a third of the time in
a running app: hashlib asks OpenSSL for SHA-256, whose setup costs more than the hashing."""
_REMEMBERED_SECONDS: Final = 60.0
_REMEMBERED_TOKENS: Final = 10_000
_LONGEST_LINE: Final = MAX_TOKEN_BYTES + 16
_BYTES_PER_TOKEN: Final = 1_600
"""Memory of a cached token, measured with eight claims."""
_BYTES_PER_GOOD: Final = 200


@dataclass(frozen=True, slots=True)
class TokenFailure:
    """Why there is no verified user.

    ``token_prefix`` has the first 8 characters of a text with the three parts of a token, else None: another text may
    be a password. ``claims`` are those of a genuine token that has expired, or of an expired or disabled API key, else
    None: unverified claims are never passed on.
    """

    reason: FailureReason
    token_prefix: str | None = None
    claims: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class KeysMissing:
    """No key at hand fits the credential, but the source of the keys may have a newer one. The caller has not
    failed."""

    retry_after_seconds: float
    flood: bool = False
    """Whether the source is not asked, because the caller has caused too many questions."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    identity: Identity
    since: float
    until: float


KEYS_SECONDS: Final = 2.0
"""Longest wait of a request for the source of the keys."""


class TokenVerifier:
    """Verifies bearer tokens (RFC 6750, RFC 7519) with the configured keys. May outlive the runtime that it serves.

    ``clock`` is Unix time; ``keys_clock`` counts seconds for the sources of keys. A verified token is cached by a
    digest of its bytes for up to 60 s or until it expires, and at most ``most_remembered`` are; a change of keys
    empties the cache. Failures are not cached. ``on_problem`` is told once when a good token names an audience and none
    is required. SettingsError at construction if no key is configured (see Settings.authenticates), one cannot be used,
    or the packages for tokens are not installed.
    """

    __slots__ = (
        "_algorithms",
        "_audience_warning",
        "_clock",
        "_find_key",
        "_good",
        "_keys",
        "_memory",
        "_on_problem",
        "_ring",
        "_rules",
    )

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        keys_clock: Callable[[], float] = time.monotonic,
        on_problem: Callable[[str], None] = lambda _: None,
        most_remembered: int = _REMEMBERED_TOKENS,
    ) -> None:
        require(Extra.JWT, name_of(next((each for each in KEY_OPTIONS if getattr(settings, each)), KEY_OPTIONS[0])))
        # Imported only to verify tokens, since it loads the cryptography.
        from fraiseql_guard.identity.keys import KeyRing, matching_key

        self._find_key = matching_key
        self._audience_warning = any_audience(settings)
        self._on_problem = on_problem
        self._ring = KeyRing(settings, clock=keys_clock)
        self._keys: tuple[VerificationKey, ...] = ()
        self._algorithms: frozenset[str] = frozenset()
        self._rules = ClaimRules.of(settings)
        self._clock = clock
        self._memory: Lru[bytes, _Remembered] = Lru(most_remembered)
        self._good: Lru[bytes, float] = Lru(most_remembered)
        self._take_over(self._ring.keys())

    # --- for operators -------------------------------------------------------------------------------

    @property
    def remembered(self) -> int:
        """Number of cached verified tokens."""
        return self._memory.count()

    @property
    def size_bytes(self) -> int:
        """Bytes of the cached tokens, estimated by their number."""
        return len(self._memory) * _BYTES_PER_TOKEN + len(self._good) * _BYTES_PER_GOOD

    def forget(self) -> None:
        """Empty the cache, so that every token is verified anew."""
        self._memory.clear()
        self._good.clear()

    def observe(self, observer: KeyObserver) -> None:
        """Report failures and recoveries of the sources of keys to ``observer`` from now on."""
        self._ring.observe(observer)

    def fingerprints(self) -> dict[str, str]:
        """A fingerprint of each key in force, by its slot (the option that holds it). It tells keys apart and reveals
        none."""
        return self._ring.fingerprints()

    def set_ages(self) -> dict[str, float]:
        """Seconds since the JWK set in force was written (``file``) or fetched (``url``)."""
        return self._ring.set_ages()

    async def aclose(self) -> None:
        """Cancel the running fetch of keys."""
        if self._ring.remote is not None:
            await self._ring.remote.aclose()

    # --- for requests --------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Start to fetch keys before the first token comes. To be called in the event loop."""
        if self._ring.remote is not None:
            self._ring.remote.warm_up()

    async def complete(
        self,
        authorization: Sequence[str],
        caller: str,  # noqa: ARG002 - who asks decides only about API keys
    ) -> Identity | TokenFailure | KeysMissing:
        """Verify again after :class:`KeysMissing`, having waited for the source of the keys for at most 2 s."""
        remote = self._ring.remote
        fetched = remote is not None and await remote.fetch(KEYS_SECONDS)
        return self.verify(authorization, fetched=fetched)

    def verify(self, authorization: Sequence[str], *, fetched: bool = False) -> Identity | TokenFailure | KeysMissing:
        """The user of a token, or a failure. ``authorization`` has the values of all Authorization headers. Never
        raises.

        No header, or one without a token, is ``missing_token``; several headers, or another scheme than Bearer, are
        ``invalid_token``. ``fetched``: the source of the keys was just asked, so KeysMissing is not returned.
        """
        # 1. Other keys may be in force since the last token.
        if not self._ring.fixed and (keys := self._ring.keys()) is not self._keys:
            self._take_over(keys)
        # 2. Look up a line that was good before by its digest, since no token is kept in memory.
        now, digest = self._clock(), b""
        if len(authorization) == 1 and len(authorization[0]) <= _LONGEST_LINE:
            digest = blake2b(authorization[0].encode(errors="replace"), digest_size=_DIGEST_BYTES).digest()
            known = self._memory.look(digest)  # of the whole line, so that it need not be parsed
            # A clock that went back must not prolong a token's life.
            if known is not None and known.since <= now < known.until:
                return known.identity
        # 3. Verify any other.
        return self._verify_anew(authorization, digest, now, fetched)

    def _verify_anew(
        self, authorization: Sequence[str], digest: bytes, now: float, fetched: bool
    ) -> Identity | TokenFailure | KeysMissing:
        """Verify a token that is not cached; cache it by ``digest``, unless that is empty."""
        token = bearer_token(authorization)
        if isinstance(token, TokenFailure):
            return token
        if not _may_be_token(token):
            return _failure(FailureReason.INVALID_TOKEN, token)
        try:
            answer = self._check(token, now, fetched)
        except Exception:  # noqa: BLE001 - libraries raise many kinds on odd bytes
            return _failure(FailureReason.INVALID_TOKEN, token)
        if isinstance(answer, Identity) and digest:
            self._remember(digest, token, answer, now)
        return answer

    def verify_again(self, authorization: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        """Verify a token that was good before a change of keys. If the source of the keys has some, a key that it does
        not list is not waited for."""
        remote = self._ring.remote
        return self.verify(authorization, fetched=remote is not None and bool(remote.keys()))

    def keys_in_force(self) -> tuple[VerificationKey, ...]:
        """The keys in force; another tuple if and only if one of them has changed. Cheap."""
        return self._ring.keys()

    def accepted_until(self, identity: Identity) -> float:
        """Unix time from which the token of an identity counts as expired, leeway and grace included."""
        return self._rules.accepted_until(identity.claims)

    def knows(self, authorization: Sequence[str]) -> bool:
        """Whether exactly this token was good before, and has not expired: then it is no forgery."""
        token = bearer_token(authorization)
        if isinstance(token, TokenFailure) or not _may_be_token(token):
            return False
        accepted_until = self._good.get(_digest_of(token))
        return accepted_until is not None and self._clock() < accepted_until

    def _take_over(self, keys: tuple[VerificationKey, ...]) -> None:
        """Put other keys in force. Tokens with algorithms that they do not have are refused before any cryptography."""
        self._keys = keys
        self._algorithms = self._ring.algorithms.union(*(key.algorithms for key in keys))
        # A token signed with a removed key must not stay good for another minute.
        self._memory.clear()
        self._good.clear()

    def _check(self, token: str, now: float, fetched: bool) -> Identity | TokenFailure | KeysMissing:
        jws = read_jws(token, self._algorithms)
        if jws is None:
            return _failure(FailureReason.INVALID_TOKEN, token)
        # Nothing that the token claims is read before its signature is verified.
        key = self._find_key(jws, self._keys)
        if key is None:
            remote = self._ring.remote
            # The keys' source may have been rotated; the caller waits for it outside of the checks.
            if remote is not None and not fetched and remote.may_know(jws):
                return KeysMissing(remote.retry_after_seconds)
            return _failure(FailureReason.INVALID_SIGNATURE, token)
        return self._check_claims(jws, key, token, now)

    def _check_claims(self, jws: Jws, key: VerificationKey, token: str, now: float) -> Identity | TokenFailure:
        """The user of a token with a genuine signature, or the failure of its claims."""
        claims = read_object(jws.payload)
        if claims is None:
            return _failure(FailureReason.INVALID_TOKEN, token)
        fault = self._rules.fault(claims, now)
        if fault is not None:
            return _failure(fault, token, claims if fault is FailureReason.TOKEN_EXPIRED else None)
        if self._audience_warning is not None and "aud" in claims:
            self._warn_of_audience(self._audience_warning)
        return self._rules.identity(claims, key.name)

    def _warn_of_audience(self, sentence: str) -> None:
        self._audience_warning = None
        with suppress(Exception):  # signals are no reason to fail a request
            self._on_problem(sentence)

    def _remember(self, digest: bytes, token: str, identity: Identity, now: float) -> None:
        """Cache a verified token. Each new entry removes up to two of the oldest that have ended, so that the work is
        bounded and the cache shrinks to entries in use."""
        accepted_until = self._rules.accepted_until(identity.claims)
        # Keyed by the token alone, until it expires: by this knows() tells a good token from a forged one.
        self._good.put(_digest_of(token), accepted_until)
        until = min(now + _REMEMBERED_SECONDS, accepted_until)
        self._memory.put(digest, _Remembered(replace(identity, fresh=False), now, until))
        for oldest, remembered in self._memory.oldest(2):
            if remembered.until <= now:
                self._memory.pop(oldest)


def _digest_of(token: str) -> bytes:
    return blake2b(token.encode(), digest_size=_DIGEST_BYTES).digest()


def _may_be_token(text: str) -> bool:
    """Whether a text has the length and the characters of a token."""
    return len(text) <= MAX_TOKEN_BYTES and text.isascii()


def bearer_token(authorization: Sequence[str]) -> str | TokenFailure:
    """The token in the values of all Authorization headers (RFC 6750, section 2.1), or a failure."""
    lines = [line.strip(" \t") for line in authorization]
    if not any(lines):
        return TokenFailure(FailureReason.MISSING_TOKEN)
    scheme, _, token = lines[0].partition(" ")
    # RFC 9110, 11.1: the scheme's case does not matter. Of two headers the app might read the other one.
    if len(lines) != 1 or scheme.lower() != "bearer":
        return TokenFailure(FailureReason.INVALID_TOKEN)
    token = token.lstrip(" ")
    return token or TokenFailure(FailureReason.MISSING_TOKEN)


def _failure(reason: FailureReason, token: str, claims: Mapping[str, Any] | None = None) -> TokenFailure:
    prefix = token[:_PREFIX_CHARACTERS] if token.count(".") == 2 else None
    return TokenFailure(reason, prefix, claims)
