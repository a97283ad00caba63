"""Reads keys that verify tokens, from text or a JWK, and checks their strength and purpose.

Libraries accept any key that they can read. Here a key must also be public or a real secret, strong enough, and meant
for signatures; its algorithms are fixed with it, so that no token can choose how its key is used (RFC 8725, 3.1).
"""

from __future__ import annotations

import base64
import hmac
import warnings
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from fraiseql_guard.core.key_forms import ALGORITHMS
from fraiseql_guard.identity.jws import MAX_KID_CHARACTERS

Material = OctKey | RSAKey | ECKey | OKPKey

MIN_SECRET_BYTES: Final = 32
_RSA_BITS: Final = range(2048, 8192 + 1)
_RSA_EXPONENTS: Final = range(65537, 2**32)
_CURVES: Final[Mapping[str, str]] = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_CLASSES: Final[Mapping[str, type[RSAKey | ECKey | OKPKey]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_PUBLIC: Final = ("kty", "n", "e", "crv", "x", "y")
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_FINGERPRINT: Final = b"fraiseql-guard: to tell keys apart"


@dataclass(frozen=True, slots=True, eq=False)
class VerificationKey:
    """A key in force, with its name and the algorithms that it may be used with."""

    name: str
    """current, new or old; ``jwks`` for all keys of sets (a label of a metric must stay bounded)."""
    material: Material
    algorithms: frozenset[str]
    kid: str | None = None

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell keys apart and reveal none: of a keyed digest so short that countless other
        secrets have the same."""
        return hmac.new(_FINGERPRINT, _canonical(self.material), "sha256").hexdigest()[:8]


def kept(old: tuple[VerificationKey, ...], new: tuple[VerificationKey, ...]) -> tuple[VerificationKey, ...]:
    """``old`` if both tuples have equal keys, else ``new``: callers detect a change by identity."""
    return old if [_comparable(key) for key in old] == [_comparable(key) for key in new] else new


def _comparable(key: VerificationKey) -> tuple[object, ...]:
    return key.name, key.kid, key.algorithms, type(key.material), _canonical(key.material)


def secret_key(name: str, text: str, algorithms: Collection[str]) -> VerificationKey:
    """The HMAC key of a secret's text; ValueError if it is too short, or a public key, with which any caller could
    sign.
    """
    try:
        secret = text.encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8 text") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"is shorter than {MIN_SECRET_BYTES} bytes, so it could be guessed")
    # Algorithm confusion (RFC 8725, 2.1): a public key as HMAC secret would let anyone sign.
    if _is_asymmetric(text):
        raise ValueError("is no secret but a key of a key pair, which must not be used with HMAC")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # joserfc only warns about what merely resembles a public key
            material = OctKey.import_key(secret)
    except (ValueError, Warning):
        raise ValueError("is no secret but resembles a public key") from None
    return VerificationKey(name, material, _usable("oct", algorithms))


def pem_key(name: str, pem: str, algorithms: Collection[str]) -> VerificationKey:
    """The public key in a PEM text; ValueError if it is none, or may not verify signatures."""
    try:
        public = load_pem_public_key(pem.encode())
    except Exception:  # noqa: BLE001 - the library raises many kinds
        raise ValueError("is not a public key in PEM") from None
    family = _checked_family(public)
    kind: type[Any] = {"RSA": RSAKey, "Ed25519": OKPKey}.get(family, ECKey)
    return VerificationKey(name, kind.import_key(public), _usable(family, algorithms))


def jwk_key(name: str, jwk: Mapping[str, Any], algorithms: Collection[str]) -> VerificationKey:
    """The public key in a JWK (RFC 7517); ValueError if it is none, or may not verify signatures."""
    if not _PRIVATE.isdisjoint(jwk) or jwk.get("kty") == "oct":
        raise ValueError("is private or a secret: a key set holds public keys alone")
    _check_purpose(jwk)
    material, family = _import_jwk(jwk)
    own = jwk.get("alg")
    if own is None:
        return VerificationKey(name, material, _usable(family, algorithms), jwk.get("kid"))
    if ALGORITHMS.get(str(own)) != family:
        raise ValueError(f"is of the family {family}, and its alg is none of that")
    # The alg of a key narrows what the settings allow, and never widens it.
    wanted = [each for each in algorithms if each == own]
    return VerificationKey(name, material, _usable(family, wanted), jwk.get("kid"))


def _import_jwk(jwk: Mapping[str, Any]) -> tuple[RSAKey | ECKey | OKPKey, str]:
    """The key in the public members of a JWK, and its family. ValueError."""
    kind = _CLASSES.get(str(jwk.get("kty")))
    if kind is None:
        raise ValueError("has a kty other than RSA, EC and OKP")
    # Pass on only the members that make the key: libraries react to others, with many kinds of errors.
    given = {field: jwk[field] for field in _PUBLIC if field in jwk}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the length, which is checked below
            material = kind.import_key(given)
            return material, _checked_family(material.public_key)
    except ValueError as error:
        # Our own sentences begin with "is "; those of libraries are not shown, as they may quote the key.
        raise ValueError(str(error) if str(error).startswith("is ") else "cannot be read") from None
    except Exception:  # noqa: BLE001 - libraries raise many kinds on odd members
        raise ValueError("cannot be read") from None


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    if jwk.get("use", "sig") != "sig":
        raise ValueError("has a use other than sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("has key_ops without verify")
    kid = jwk.get("kid", "")
    if not isinstance(kid, str) or len(kid) > MAX_KID_CHARACTERS:
        raise ValueError(f"has a kid that is no text of at most {MAX_KID_CHARACTERS} characters")


def _checked_family(public: object) -> str:
    """The family of a public key; ValueError if it is weak or of an unknown family."""
    if isinstance(public, RSAPublicKey):
        _check_strength(public)
        return "RSA"
    if isinstance(public, EllipticCurvePublicKey) and (family := _CURVES.get(public.curve.name)) is not None:
        return family
    if isinstance(public, Ed25519PublicKey):
        return "Ed25519"
    raise ValueError("is a key of another kind than RSA, EC (P-256, P-384, P-521) and Ed25519")


def _check_strength(public: RSAPublicKey) -> None:
    numbers = public.public_numbers()
    if public.key_size not in _RSA_BITS:
        raise ValueError(f"is an RSA key of {public.key_size} bits: {_RSA_BITS[0]} to {_RSA_BITS[-1]} are accepted")
    # Small exponents and even ones are signs of a broken or hostile generator.
    if numbers.e not in _RSA_EXPONENTS or not numbers.e & 1:
        raise ValueError("is an RSA key with an unusual public exponent: 65537 is what everybody uses")
    if _is_roca_weak(numbers.n):
        raise ValueError("is an RSA key that can be factored (ROCA, CVE-2017-15361): make a new pair of keys")


def _usable(family: str, algorithms: Iterable[str]) -> frozenset[str]:
    return frozenset(each for each in algorithms if ALGORITHMS[each] == family)


def _is_asymmetric(text: str) -> bool:
    """Whether a text is an asymmetric key in a customary form: PEM, JWK, or DER in base64."""
    if "-----BEGIN" in text or (text.lstrip().startswith("{") and '"kty"' in text):
        return True
    with suppress(Exception):
        # Bad base64, and DER that is no key, raise many kinds of errors.
        load_der_public_key(base64.b64decode(text))
        return True
    return False


def _canonical(material: Material) -> bytes:
    if isinstance(material, OctKey):
        return material.raw_value
    return material.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


# --- ROCA: the primes of a widespread chip lie in a small subgroup (Nemec et al., 2017) ------------------------------

_SMALL_PRIMES: Final = (
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
)  # fmt: skip


@cache
def _subgroup(prime: int) -> frozenset[int]:
    """The powers of 65537 modulo a prime."""
    # Exponents up to the prime run through the whole subgroup (Fermat).
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime))


def _is_roca_weak(modulus: int) -> bool:
    """Whether the modulus lies in the subgroup of every small prime. An honest one does once in 2^27, by chance."""
    return all(modulus % prime in _subgroup(prime) for prime in _SMALL_PRIMES)
