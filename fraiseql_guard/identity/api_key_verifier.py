"""Verifies API keys by a file, by the app, or by both: from a key to a user, or a failure."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.identity.api_key_questions import ApiKeyQuestions, Unanswered
from fraiseql_guard.identity.api_keys import ApiKey, digest_of, may_be_key
from fraiseql_guard.identity.api_keys_file import ApiKeysFile, ApiKeyTable
from fraiseql_guard.identity.tokens import KeysMissing, TokenFailure

REMEMBERED_SECONDS: Final = 60.0
FAILURE_SECONDS: Final = 10.0
"""How long a refusal by the app is cached. Short, since the app may create the key in the meantime."""
_REMEMBERED: Final = 10_000
_FAILURES: Final = 2_000
_RETRY_SECONDS: Final = 1.0
_BYTES_PER_KEY: Final = 1_200
_BYTES_PER_DIGEST: Final = 300
_NO_KEYS: Final[ApiKeyTable] = {}
_UNKNOWN: Final = TokenFailure(FailureReason.INVALID_TOKEN)


@dataclass(frozen=True, slots=True)
class _KnownAnswer:
    answer: Identity | TokenFailure
    since: float
    until: float


class ApiKeyVerifier:
    """Verifies API keys by their digests. May outlive the runtime that it serves.

    A key is looked up by its SHA-256, and the digest that is found is compared in constant time. The time of the lookup
    depends on the digest alone, which a caller cannot choose without inverting SHA-256: so it tells nothing about a
    key.

    ``clock`` is Unix time. A good key is cached for up to 60 s or until it expires, and logged at its first use only; a
    change of the file empties the cache. No key itself is kept.
    """

    __slots__ = ("_clock", "_failures", "_file", "_good", "_known", "_questions", "_settings", "_table")

    def __init__(
        self,
        settings: Settings,
        *,
        file: ApiKeysFile | None,
        questions: ApiKeyQuestions | None,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._file, self._questions, self._clock = settings, file, questions, clock
        self._table = _NO_KEYS if file is None else file.table()
        self._known: Lru[str, _KnownAnswer] = Lru(_REMEMBERED)
        self._failures: Lru[str, _KnownAnswer] = Lru(_FAILURES)
        self._good: Lru[str, float] = Lru(_REMEMBERED)

    # --- for operators -----------------------------------------------------------------------------------------------

    @property
    def remembered(self) -> int:
        """Number of cached good keys."""
        return len(self._known)

    @property
    def size_bytes(self) -> int:
        """Bytes of the caches, estimated by their numbers of keys."""
        small = len(self._failures) + len(self._good)
        return len(self._known) * _BYTES_PER_KEY + small * _BYTES_PER_DIGEST

    def forget(self) -> None:
        """Empty the caches, so that every key is looked up anew."""
        self._known.clear()
        self._failures.clear()
        self._good.clear()

    def fingerprints(self) -> dict[str, str]:
        """One fingerprint of all keys in the file, by which workers that have read different files are told apart;
        empty without a file."""
        if self._file is None:
            return {}
        table = self.keys_in_force()
        text = "\n".join(f"{entry.sha256} {entry.key!r}" for _, entry in sorted(table.items()))
        return {"api_keys_file": blake2b(text.encode(), digest_size=6).hexdigest()}

    async def aclose(self) -> None:
        """Cancel the questions to the app."""
        if self._questions is not None:
            await self._questions.aclose()

    # --- for requests ------------------------------------------------------------------------------------------------

    def keys_in_force(self) -> ApiKeyTable:
        """The keys in the file, empty without one; another mapping if and only if the file was read anew."""
        if self._file is not None and (table := self._file.table()) is not self._table:
            self._table = table
            # A key that was taken away must not stay good for another minute.
            self.forget()
        return self._table

    def verify(self, key: str) -> Identity | TokenFailure | KeysMissing:
        """The user of a key, or a failure; KeysMissing if the app has to be asked about it. Never raises."""
        table = self.keys_in_force()
        if not may_be_key(key):
            return _UNKNOWN
        digest, now = digest_of(key), self._clock()
        known = self._known.look(digest) or self._failures.look(digest)
        # A clock that went back must not prolong a key's life.
        if known is not None and known.since <= now < known.until:
            return known.answer
        found = _looked_up(table, digest)
        if found is not None:
            return self._result_of(found, digest, now)
        return _UNKNOWN if self._questions is None else KeysMissing(_RETRY_SECONDS)

    async def complete(self, key: str, caller: str) -> Identity | TokenFailure | KeysMissing:
        """Verify a key and ask the app about it if it is unknown. KeysMissing if the app did not answer. ``caller`` is
        the address whose questions are counted."""
        found, questions = self.verify(key), self._questions  # by now another request may have asked
        if not isinstance(found, KeysMissing) or questions is None:
            return found
        digest = digest_of(key)
        answer = await questions.answer(digest, caller)
        if isinstance(answer, Unanswered):
            return KeysMissing(_RETRY_SECONDS, flood=answer is Unanswered.FLOOD)
        now = self._clock()
        if answer is not None:
            return self._result_of(answer, digest, now)
        self._failures.put(digest, _KnownAnswer(_UNKNOWN, now, now + FAILURE_SECONDS))
        return _UNKNOWN

    def knows(self, key: str) -> bool:
        """Whether exactly this key was good before, and has not expired: then it is no guess."""
        ends_at = self._good.get(digest_of(key)) if may_be_key(key) else None
        return ends_at is not None and self._clock() < ends_at

    def _result_of(self, key: ApiKey, digest: str, now: float) -> Identity | TokenFailure:
        """The user of a known key, or the failure if it is disabled or expired. Caches the result."""
        identity = key.identity(self._settings)
        if key.disabled or now >= key.ends_at:
            reason = FailureReason.USER_DISABLED if key.disabled else FailureReason.TOKEN_EXPIRED
            failure = TokenFailure(reason, claims=identity.claims)
            self._good.pop(digest)
            if self._questions is not None:
                self._failures.put(digest, _KnownAnswer(failure, now, now + FAILURE_SECONDS))
            return failure
        self._failures.pop(digest)
        self._good.put(digest, key.ends_at)
        until = min(now + REMEMBERED_SECONDS, key.ends_at)
        self._known.put(digest, _KnownAnswer(replace(identity, fresh=False), now, until))
        return identity


def _looked_up(table: ApiKeyTable, digest: str) -> ApiKey | None:
    entry = table.get(digest)
    return entry.key if entry is not None and hmac.compare_digest(entry.sha256, digest) else None
