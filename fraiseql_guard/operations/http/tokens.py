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
        """The configured text of all tokens, as it is now; "" without any."""
        return self._secret.reveal() if self._secret is not None else ""

    def actor(self, token: str) -> str | None:
        """The name of the actor with this token; None if no actor has it. Takes the same time whichever token
        matches."""
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
    """The SHA-256 of a token: it has one length, so that the time of a comparison does not reveal the token's
    length."""
    return sha256(token.encode(errors="surrogatepass")).digest()
