"""Verifies credentials of every kind: tokens, API keys, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.identity.api_keys import API_KEY
from fraiseql_guard.identity.credentials import API_KEY_SCHEME
from fraiseql_guard.identity.tokens import KeysMissing, TokenFailure, TokenVerifier, bearer_token

if TYPE_CHECKING:
    from fraiseql_guard.identity.api_key_verifier import ApiKeyVerifier
    from fraiseql_guard.identity.key_sources import KeyObserver

_BEARER: Final = "bearer"
_JOSE_BEGINNINGS: Final = ("ey", "ew", "e3")
"""How the Base64url of a JSON object begins: with ``{`` and a quote, white space or ``}``."""


class Verifier(Protocol):
    """Verifies credentials. They have the form of Authorization headers, wherever they came from
    (identity/credentials.py)."""

    @property
    def remembered(self) -> int:
        """How many good credentials need not be verified again."""
        ...

    @property
    def size_bytes(self) -> int:
        """What is remembered, estimated."""
        ...

    def forget(self) -> None:
        """Verify everything anew."""
        ...

    def observe(self, observer: KeyObserver) -> None:
        """Tell ``observer`` from now on what happens to the sources of keys."""
        ...

    def fingerprints(self) -> dict[str, str]:
        """A fingerprint of each key in force, by its slot (the option that holds it). It tells keys apart and reveals
        none."""
        ...

    def set_ages(self) -> dict[str, float]:
        """Seconds since the JWK set in force was written (``file``) or fetched (``url``)."""
        ...

    def warm_up(self) -> None:
        """Have keys fetched before the first token comes. To be called in the event loop."""
        ...

    async def aclose(self) -> None:
        """Stop asking others."""
        ...

    def verify(self, credentials: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        """The verified user, or why there is none. Never raises."""
        ...

    async def complete(self, credentials: Sequence[str], caller: str) -> Identity | TokenFailure | KeysMissing:
        """After KeysMissing: ask the source that may know more, for a bounded time, and verify then. ``caller`` is the
        name of the address that asks."""
        ...

    def verify_again(self, credentials: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        """The same for credentials that were good before a change of keys."""
        ...

    def keys_in_force(self) -> object:
        """Another object if and only if one of the keys has changed. Cheap."""
        ...

    def accepted_until(self, identity: Identity) -> float | None:
        """Unix time from which the credential of an identity counts as expired; None for never."""
        ...

    def knows(self, credentials: Sequence[str]) -> bool:
        """Whether this very credential was good before."""
        ...


class CredentialVerifier:
    """Has each credential verified by what it is for: API keys by theirs, all else as tokens, where there are keys for
    these."""

    __slots__ = ("_api_keys", "_in_force", "_parts", "_tokens")

    def __init__(self, tokens: TokenVerifier | None, api_keys: ApiKeyVerifier) -> None:
        self._tokens, self._api_keys = tokens, api_keys
        self._parts: tuple[object, object] = (None, None)
        self._in_force: object = None

    # --- for operators -----------------------------------------------------------------------------------------------

    @property
    def remembered(self) -> int:
        """How many good credentials need not be verified again."""
        return self._api_keys.remembered + (self._tokens.remembered if self._tokens is not None else 0)

    @property
    def size_bytes(self) -> int:
        """What is remembered, estimated."""
        return self._api_keys.size_bytes + (self._tokens.size_bytes if self._tokens is not None else 0)

    def forget(self) -> None:
        """Verify everything anew."""
        self._api_keys.forget()
        if self._tokens is not None:
            self._tokens.forget()

    def observe(self, observer: KeyObserver) -> None:
        """Tell ``observer`` from now on what happens to the sources of keys."""
        if self._tokens is not None:
            self._tokens.observe(observer)

    def fingerprints(self) -> dict[str, str]:
        """A fingerprint of each key in force, by its slot."""
        return {**({} if self._tokens is None else self._tokens.fingerprints()), **self._api_keys.fingerprints()}

    def set_ages(self) -> dict[str, float]:
        """Seconds since the JWK set in force was written or fetched."""
        return {} if self._tokens is None else self._tokens.set_ages()

    def warm_up(self) -> None:
        """Have keys fetched before the first token comes."""
        if self._tokens is not None:
            self._tokens.warm_up()

    async def aclose(self) -> None:
        """Stop asking others."""
        await self._api_keys.aclose()
        if self._tokens is not None:
            await self._tokens.aclose()

    # --- for requests ------------------------------------------------------------------------------------------------

    def verify(self, credentials: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        """The verified user, or why there is none. Never raises."""
        key = self._key_in(credentials)
        return self._token(credentials) if key is None else self._api_keys.verify(key)

    async def complete(self, credentials: Sequence[str], caller: str) -> Identity | TokenFailure | KeysMissing:
        """After KeysMissing: ask the source that may know more, and verify then."""
        key = self._key_in(credentials)
        if key is not None:
            return await self._api_keys.complete(key, caller)
        if self._tokens is not None:
            return await self._tokens.complete(credentials, caller)
        return self._token(credentials)

    def verify_again(self, credentials: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        """The same for credentials that were good before a change of keys."""
        key = self._key_in(credentials)
        if key is None and self._tokens is not None:
            return self._tokens.verify_again(credentials)
        return self.verify(credentials)

    def keys_in_force(self) -> object:
        """Another object if and only if one of the keys has changed."""
        parts = (None if self._tokens is None else self._tokens.keys_in_force(), self._api_keys.keys_in_force())
        if any(one is not other for one, other in zip(parts, self._parts, strict=True)):
            self._parts, self._in_force = parts, object()
        return self._in_force

    def accepted_until(self, identity: Identity) -> float | None:
        """Unix time from which the credential of an identity counts as expired; None for never."""
        if identity.key == API_KEY or self._tokens is None:
            return identity.expires_at
        return self._tokens.accepted_until(identity)

    def knows(self, credentials: Sequence[str]) -> bool:
        """Whether this very credential was good before."""
        key = self._key_in(credentials)
        if key is not None:
            return self._api_keys.knows(key)
        return self._tokens is not None and self._tokens.knows(credentials)

    def _key_in(self, credentials: Sequence[str]) -> str | None:
        """The API key among the credentials: alone under its own scheme, or as a bearer that has not the form of a
        token. None if there is none, or more than one credential."""
        if len(credentials) != 1:
            return None
        scheme, _, text = credentials[0].strip(" \t").partition(" ")
        text, scheme = text.lstrip(" "), scheme.lower()
        if scheme == API_KEY_SCHEME:
            return text or None
        if scheme != _BEARER or (self._tokens is not None and _has_form_of_token(text)):
            return None
        return text or None

    def _token(self, credentials: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        if self._tokens is not None:
            return self._tokens.verify(credentials)
        # What is left is nothing at all, or of another scheme.
        found = bearer_token(credentials)
        assert isinstance(found, TokenFailure)  # noqa: S101 - else it would be a key
        return found


def _has_form_of_token(text: str) -> bool:
    return text.startswith(_JOSE_BEGINNINGS) and text.count(".") == 2
