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
        """Number of cached good credentials."""
        ...

    @property
    def size_bytes(self) -> int:
        """Estimated bytes of the caches."""
        ...

    def forget(self) -> None:
        """Empty the caches, so that every credential is verified anew."""
        ...

    def observe(self, observer: KeyObserver) -> None:
        """Report failures and recoveries of the sources of keys to ``observer`` from now on."""
        ...

    def fingerprints(self) -> dict[str, str]:
        """A fingerprint of each key in force, by its slot (the option that holds it). It tells keys apart and reveals
        none."""
        ...

    def set_ages(self) -> dict[str, float]:
        """Seconds since the JWK set in force was written (``file``) or fetched (``url``)."""
        ...

    def warm_up(self) -> None:
        """Start to fetch keys before the first token comes. To be called in the event loop."""
        ...

    async def aclose(self) -> None:
        """Cancel running fetches of keys and questions to the app."""
        ...

    def verify(self, credentials: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        """The verified user, or a failure; KeysMissing if the source of the keys has to be asked. Never raises."""
        ...

    async def complete(self, credentials: Sequence[str], caller: str) -> Identity | TokenFailure | KeysMissing:
        """Verify again after KeysMissing, having asked the source of the keys for a bounded time. ``caller`` is the
        name of the caller's address, whose questions are counted."""
        ...

    def verify_again(self, credentials: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        """Verify credentials that were good before a change of keys."""
        ...

    def keys_in_force(self) -> object:
        """An object that stands for the keys in force: another one if and only if a key has changed. Cheap."""
        ...

    def accepted_until(self, identity: Identity) -> float | None:
        """Unix time from which the credential of an identity counts as expired; None for never."""
        ...

    def knows(self, credentials: Sequence[str]) -> bool:
        """Whether exactly this credential was good before, and has not expired."""
        ...


class CredentialVerifier:
    """Verifies API keys and tokens, each by its own verifier. ``tokens`` is None if no keys for tokens are
    configured."""

    __slots__ = ("_api_keys", "_in_force", "_parts", "_tokens")

    def __init__(self, tokens: TokenVerifier | None, api_keys: ApiKeyVerifier) -> None:
        self._tokens, self._api_keys = tokens, api_keys
        self._parts: tuple[object, object] = (None, None)
        self._in_force: object = None

    # --- for operators -----------------------------------------------------------------------------------------------

    @property
    def remembered(self) -> int:
        """Number of cached good credentials."""
        return self._api_keys.remembered + (self._tokens.remembered if self._tokens is not None else 0)

    @property
    def size_bytes(self) -> int:
        """Estimated bytes of the caches."""
        return self._api_keys.size_bytes + (self._tokens.size_bytes if self._tokens is not None else 0)

    def forget(self) -> None:
        """Empty the caches, so that every credential is verified anew."""
        self._api_keys.forget()
        if self._tokens is not None:
            self._tokens.forget()

    def observe(self, observer: KeyObserver) -> None:
        """Report failures and recoveries of the sources of keys to ``observer`` from now on."""
        if self._tokens is not None:
            self._tokens.observe(observer)

    def fingerprints(self) -> dict[str, str]:
        """A fingerprint of each key in force, by its slot."""
        return {**({} if self._tokens is None else self._tokens.fingerprints()), **self._api_keys.fingerprints()}

    def set_ages(self) -> dict[str, float]:
        """Seconds since the JWK set in force was written or fetched."""
        return {} if self._tokens is None else self._tokens.set_ages()

    def warm_up(self) -> None:
        """Start to fetch keys before the first token comes. To be called in the event loop."""
        if self._tokens is not None:
            self._tokens.warm_up()

    async def aclose(self) -> None:
        """Cancel running fetches of keys and questions to the app."""
        await self._api_keys.aclose()
        if self._tokens is not None:
            await self._tokens.aclose()

    # --- for requests ------------------------------------------------------------------------------------------------

    def verify(self, credentials: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        """The verified user, or a failure; KeysMissing if the source of the keys has to be asked. Never raises."""
        key = self._key_in(credentials)
        return self._verify_token(credentials) if key is None else self._api_keys.verify(key)

    async def complete(self, credentials: Sequence[str], caller: str) -> Identity | TokenFailure | KeysMissing:
        """Verify again after KeysMissing, having asked the source of the keys for a bounded time."""
        key = self._key_in(credentials)
        if key is not None:
            return await self._api_keys.complete(key, caller)
        if self._tokens is not None:
            return await self._tokens.complete(credentials, caller)
        return self._verify_token(credentials)

    def verify_again(self, credentials: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        """Verify credentials that were good before a change of keys."""
        key = self._key_in(credentials)
        if key is None and self._tokens is not None:
            return self._tokens.verify_again(credentials)
        return self.verify(credentials)

    def keys_in_force(self) -> object:
        """An object that stands for the keys in force: another one if and only if a key has changed."""
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
        """Whether exactly this credential was good before, and has not expired."""
        key = self._key_in(credentials)
        if key is not None:
            return self._api_keys.knows(key)
        return self._tokens is not None and self._tokens.knows(credentials)

    def _key_in(self, credentials: Sequence[str]) -> str | None:
        """The API key in a single credential: one with the scheme of API keys, or a bearer that does not have the form
        of a token. None for any other, or several credentials."""
        if len(credentials) != 1:
            return None
        scheme, _, text = credentials[0].strip(" \t").partition(" ")
        text, scheme = text.lstrip(" "), scheme.lower()
        if scheme == API_KEY_SCHEME:
            return text or None
        if scheme != _BEARER or (self._tokens is not None and _has_form_of_token(text)):
            return None
        return text or None

    def _verify_token(self, credentials: Sequence[str]) -> Identity | TokenFailure | KeysMissing:
        if self._tokens is not None:
            return self._tokens.verify(credentials)
        # No credential, or one of another scheme.
        found = bearer_token(credentials)
        assert isinstance(found, TokenFailure)  # noqa: S101 - else it would be a key
        return found


def _has_form_of_token(text: str) -> bool:
    return text.startswith(_JOSE_BEGINNINGS) and text.count(".") == 2
