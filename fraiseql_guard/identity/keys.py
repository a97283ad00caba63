"""The ring of keys that tokens are verified with: joins all sources, also while keys are rotated and sources change."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from joserfc.jws import JWSRegistry

from fraiseql_guard.core.key_forms import ALGORITHMS
from fraiseql_guard.core.settings import KEY_OPTIONS, Settings, name_of
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.identity.jws import Jws
from fraiseql_guard.identity.key_material import VerificationKey, pem_key, secret_key
from fraiseql_guard.identity.key_sources import ConfiguredKey, JwksFile, KeyObserver, KeySource, Reader

if TYPE_CHECKING:
    from fraiseql_guard.identity.jwks_url import JwksUrl

MAX_TRIES: Final = 3
"""Most keys that one token is tried with, if no kid tells which one it is."""

_SLOTS: Final[Mapping[str, tuple[str, Reader, str, str]]] = {
    # option: name of the key, how it is read, what is accepted, example
    option: (slot, read, accepts, example)
    for prefix, read, accepts, example in (
        ("jwt_secret", secret_key, "a text of 32 bytes or more", "$(openssl rand -base64 48)"),
        ("jwt_public_key", pem_key, "a public key in PEM", "$(openssl pkey -in private.pem -pubout)"),
    )
    for slot, option in (("current", prefix), ("new", f"{prefix}_new"), ("old", f"{prefix}_old"))
}


class KeyRing:
    """All keys in force, of all sources. SettingsError if no key is configured, or one cannot be used.

    ``clock`` counts seconds for the sources.
    """

    __slots__ = (
        "_keys",
        "_parts",
        "_slots",
        "fixed",
        "remote",
    )  # _parts: the sources that may change, with their last keys

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        # The sources by the options that name them.
        algorithms = _accepted(settings)
        self.remote = _remote(settings, algorithms, clock)
        self._slots: dict[str, KeySource] = {}
        # Current, new and old in this order: most tokens are signed with the current key.
        for option in _SLOTS:
            if getattr(settings, option) is not None:
                self._slots[option] = _configured(option, settings, algorithms)
        if settings.jwks_file is not None:
            self._slots["jwks_file"] = _in_file(settings, algorithms, clock)
        if self.remote is not None:
            self._slots["jwks_url"] = self.remote
        if not self._slots:
            raise SettingsError(f"No key to verify tokens with is configured. Set {name_of(KEY_OPTIONS[0])}")
        self._parts: tuple[tuple[KeySource, tuple[VerificationKey, ...]], ...] = ()
        self._keys: tuple[VerificationKey, ...] = ()
        self._join()
        self.fixed = not self._parts
        """Whether the keys never change."""

    @property
    def algorithms(self) -> frozenset[str]:
        """Algorithms of keys that the remote source may still bring; empty without one."""
        return self.remote.algorithms if self.remote is not None else frozenset()

    def observe(self, observer: KeyObserver) -> None:
        """Report failures and recoveries of the sources to ``observer`` from now on."""
        for source in self._slots.values():
            source.observer = observer

    def keys(self) -> tuple[VerificationKey, ...]:
        """The keys in force; another tuple if and only if one of them has changed."""
        # Called for every token, so only the identities of tuples are compared.
        for source, keys in self._parts:
            if source.keys() is not keys:
                self._join()
                break
        return self._keys

    def _join(self) -> None:
        parts = [(source, source.keys()) for source in self._slots.values()]
        self._keys = tuple(key for _, keys in parts for key in keys)
        # Fixed sources are not asked again.
        self._parts = tuple((source, keys) for source, keys in parts if not source.fixed)

    def set_ages(self) -> dict[str, float]:
        """Seconds since the JWK set in force was written (``file``) or fetched (``url``)."""
        sources = {"file": self._slots.get("jwks_file"), "url": self.remote}
        ages = {name: getattr(source, "age_seconds", None) for name, source in sources.items()}
        return {name: age for name, age in ages.items() if age is not None}

    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each key by its slot: the option that holds it, followed for keys of a set by the kid or
        number."""
        self.keys()
        found: dict[str, str] = {}
        for option, source in self._slots.items():
            keys = source.keys()
            for number, key in enumerate(keys, 1):
                slot = option if option in _SLOTS else f"{option} {key.kid or number}"
                found[slot] = key.fingerprint
        return found


def matching_key(jws: Jws, keys: Iterable[VerificationKey]) -> VerificationKey | None:
    """The key that made the signature (RFC 7515, section 5.2), compared in constant time; None if none did.

    Keys that carry the token's kid come first, then keys without one; a key with another kid is never tried.
    """
    kid = jws.header.get("kid")
    fitting = [key for key in keys if jws.algorithm in key.algorithms]
    if kid is not None:
        fitting = [key for key in fitting if key.kid == kid] + [key for key in fitting if key.kid is None]
    # Bounded, since each verification costs CPU.
    verify = _VERIFY[jws.algorithm]
    for key in fitting[:MAX_TRIES]:
        if verify(jws.signing_input, jws.signature, key.material):
            return key
    return None


_VERIFY: Final = {name: JWSRegistry.algorithms[name].verify for name in ALGORITHMS}


def _accepted(settings: Settings) -> Collection[str]:
    """The accepted algorithms: those of the setting, else HS256 for secrets and all for public keys."""
    if settings.jwt_algorithms is not None:
        return settings.jwt_algorithms
    hmacs = [name for name, family in ALGORITHMS.items() if family == "oct"]
    # Of the HMAC algorithms only the first in the table, HS256.
    return tuple(name for name in ALGORITHMS if name not in hmacs[1:])


def _configured(option: str, settings: Settings, algorithms: Collection[str]) -> ConfiguredKey:
    slot, read, accepts, example = _SLOTS[option]
    variable = name_of(option)
    try:
        source = ConfiguredKey(slot, getattr(settings, option), read, algorithms)
    except ValueError as error:
        # A public key in the place of the secret is the usual mistake.
        elsewhere = f"; a public key goes to {name_of('jwt_public_key')}" if read is secret_key else ""
        raise SettingsError(
            f"{variable}=(secret) {error}. Accepted: {accepts}{elsewhere}, for example {variable}={example}"
        ) from None
    if not source.keys()[0].algorithms:
        raise SettingsError(
            f"{name_of('jwt_algorithms')}={','.join(algorithms)!r} names no algorithm for the key in {variable}. "
            f"Accepted: {', '.join(ALGORITHMS)}, for example {name_of('jwt_algorithms')}={_fitting(source, read)}"
        )
    return source


def _fitting(source: ConfiguredKey, read: Reader) -> str:
    if read is secret_key:
        return "HS256"
    material = source.keys()[0].material
    # An elliptic key's family is its curve; RSA keys have none.
    family = getattr(material, "curve_name", "RSA")
    return next(name for name, each in ALGORITHMS.items() if each == family)


def _in_file(settings: Settings, algorithms: Collection[str], clock: Callable[[], float]) -> JwksFile:
    variable, path = name_of("jwks_file"), settings.jwks_file
    assert path is not None  # noqa: S101 - the caller has looked
    try:
        return JwksFile(path, algorithms, clock=clock)
    except (OSError, ValueError) as error:
        cause = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise SettingsError(
            f"{variable}={str(path)!r} {cause}. Accepted: a JWK set with public keys alone, at most 20 keys and "
            f"64 KiB, for example {variable}=/etc/fraiseql/jwks.json"
        ) from None


def _remote(settings: Settings, algorithms: Collection[str], clock: Callable[[], float]) -> JwksUrl | None:
    if settings.jwks_url is None:
        return None
    from fraiseql_guard.identity.jwks_url import (
        JwksUrl,  # imported only where a set is fetched: it loads an HTTP client
    )

    return JwksUrl(settings.jwks_url, algorithms, refresh_seconds=settings.jwks_refresh_seconds, clock=clock)
