"""Finds the operator that an admin token belongs to."""

from __future__ import annotations

import hmac
from hashlib import sha256

from fraiseql_guard.core import parsing
from fraiseql_guard.core.secret import Secret


class AdminTokens:
    """The configured admin tokens, each with its actor's name. A change of their file shows within 5 seconds."""

    def __init__(self, secret: Secret | None) -> None:
        self._secret = secret
        self._text = ""
        self._digests: tuple[tuple[str, bytes], ...] = ()

    @property
    def text(self) -> str:
        """The present text of all tokens, as configured; "" without any."""
        return self._secret.reveal() if self._secret is not None else ""

    def actor(self, token: str) -> str | None:
        """The name of the actor whose token this is; None if it is none. Takes the same time whichever matches."""
        # The text comes from a file that may change.
        if (text := self.text) != self._text:
            pairs = parsing.admin_tokens(text).items()
            self._digests = tuple((name, _digest(known)) for name, known in pairs)
            self._text = text
        given, found = _digest(token), None
        for name, known in self._digests:
            if hmac.compare_digest(given, known):
                found = name
        return found


def _digest(token: str) -> bytes:
    """A digest has one length whatever the token's, so that the time of a comparison does not tell it."""
    return sha256(token.encode(errors="surrogatepass")).digest()
