"""Remembers bad tokens for a while, so that one which is sent without end is one offence and not a hundred."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.lru import Lru

_REMEMBERED_SECONDS: Final = 300.0
_REMEMBERED_TOKENS: Final = 1_000


class RepeatedTokens:
    """The bad tokens of a moment ago: a page that was left open sends the same one without end, and guesses nothing.

    Holds digests alone. The clock counts seconds.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: Lru[bytes, float] = Lru(_REMEMBERED_TOKENS)

    def forget(self) -> None:
        """Forget all of them."""
        self._until.clear()

    def comes_again(self, caller: Subject, token: str) -> bool:
        """Whether this caller has sent this token within five minutes; it is remembered from now on."""
        text = f"{caller.kind}\0{caller.name}\0{token}".encode("utf-8", "replace")
        digest, now = blake2b(text, digest_size=16).digest(), self._clock()
        until = self._until.get(digest)
        if until is not None and now < until:
            return True
        self._until.put(digest, now + _REMEMBERED_SECONDS)
        return False
