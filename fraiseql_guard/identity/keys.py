"""The HMAC keys that tokens are verified with, through a rotation and while their files change."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from fraiseql_guard.identity.jws import Jws
from fraiseql_guard.secret import Secret
from fraiseql_guard.settings import Settings, SettingsError, name_of

KeyName = Literal["current", "new", "old"]

_MIN_KEY_BYTES: Final = 32
_VARIABLES: Final[Mapping[KeyName, str]] = {
    "current": name_of("jwt_secret"),
    "new": name_of("jwt_secret_new"),
    "old": name_of("jwt_secret_old"),
}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key in force, and which of the configured ones it is."""

    name: KeyName
    material: OctKey


class KeyRing:
    """The current, next and previous HMAC key; each verifies.

    A file that is exchanged for something that cannot be a key (too short, a public key) leaves the last good key in
    force: a half-finished deployment must not lock everybody out. SettingsError if there is no usable key at the start.
    """

    __slots__ = ("_algorithms", "_keys", "_secrets", "_texts")

    def __init__(self, settings: Settings) -> None:
        secrets: dict[KeyName, Secret | None] = {
            "current": settings.jwt_secret,
            "new": settings.jwt_secret_new,
            "old": settings.jwt_secret_old,
        }
        registry = JWSRegistry(algorithms=settings.jwt_algorithms)
        self._algorithms = {name: registry.get_alg(name) for name in settings.jwt_algorithms}
        self._secrets = tuple((name, secret) for name, secret in secrets.items() if secret is not None)
        self._texts = self._reveal()
        self._keys = tuple(_first_key(name, text) for (name, _), text in zip(self._secrets, self._texts, strict=True))
        if not self._keys:
            raise SettingsError(f"No key to verify tokens with is configured. Set {_VARIABLES['current']}")

    def keys(self) -> tuple[VerificationKey, ...]:
        """The keys in force; another tuple if and only if one of them has changed."""
        texts = self._reveal()
        if texts != self._texts:
            self._texts = texts
            renewed = zip(self._keys, texts, strict=True)
            keys = tuple(VerificationKey(key.name, _material(text) or key.material) for key, text in renewed)
            if any(new.material.raw_value != old.material.raw_value for new, old in zip(keys, self._keys, strict=True)):
                self._keys = keys
        return self._keys

    def match(self, jws: Jws) -> KeyName | None:
        """Which key made the signature (RFC 7515, section 5.2), compared in constant time; None if none did."""
        algorithm = self._algorithms[jws.algorithm]
        for key in self._keys:
            if algorithm.verify(jws.signing_input, jws.signature, key.material):
                return key.name
        return None

    def _reveal(self) -> tuple[str, ...]:
        return tuple([secret.reveal() for _, secret in self._secrets])


def _first_key(name: KeyName, text: str) -> VerificationKey:
    material = _material(text)
    if material is None:
        raise SettingsError(
            f"{_VARIABLES[name]}=(secret) cannot be an HMAC key: it is shorter than {_MIN_KEY_BYTES} bytes, "
            f"or a public key, or not UTF-8. Accepted: {_MIN_KEY_BYTES} bytes or more, for example "
            f"{_VARIABLES[name]}=$(openssl rand -base64 48)"
        )
    return VerificationKey(name, material)


def _material(text: str) -> OctKey | None:
    """The key made of a secret's text; None if it cannot be one. Public keys are no secrets: with one as HMAC key,
    everybody could sign."""
    try:
        secret = text.encode()
        if len(secret) < _MIN_KEY_BYTES:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # joserfc only warns about what merely resembles a public key
            return OctKey.import_key(secret)
    except (ValueError, Warning):
        return None
