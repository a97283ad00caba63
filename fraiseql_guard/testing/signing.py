"""Signs tokens with the libraries of the extra jwt; tokens.py loads this with the first token."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey, import_key

from fraiseql_guard.core.key_forms import ALGORITHMS

SigningKey = OctKey | RSAKey | ECKey | OKPKey
"""A key that can sign."""


def sign(claims: Mapping[str, Any], key: str, *, algorithm: str | None = None, kid: str | None = None) -> str:
    """A token (JWT) with these claims and no others, signed as by :func:`fraiseql_guard.testing.make_token`."""
    material = signing_key(key)
    name = algorithm or _algorithm_of(material)
    family = _family_of(material)
    if ALGORITHMS.get(name) != family:
        raise ValueError(f"the key cannot sign by {name}: it is of the family {family}")
    kid = kid or material.kid
    header = {"alg": name, "kid": kid} if kid else {"alg": name}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EdDSA got a second name (RFC 9864), which many verifiers do not know yet
        return jwt.encode(header, dict(claims), material, [name])


def _family_of(material: SigningKey) -> str:
    """The curve of an elliptic key, else the key's type."""
    return str(material.get("crv") or material.key_type)


def _algorithm_of(material: SigningKey) -> str:
    """The algorithm that a JWK names, else the usual one of its family."""
    family = _family_of(material)
    return str(material.get("alg") or _DEFAULT_ALGORITHMS.get(family, family))


def signing_key(text: str) -> SigningKey:
    """The key in a text: a private key in PEM, a JWK, or else a secret. ValueError if it cannot sign."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about weak keys: the verifier decides what it accepts
            if text.lstrip().startswith("{"):
                return _able(import_key(json.loads(text)))
            if "-----BEGIN" in text:
                private: Any = load_pem_private_key(text.encode(), None)
                kinds: tuple[tuple[type, Any], ...] = ((RSAPrivateKey, RSAKey), (EllipticCurvePrivateKey, ECKey))
                # Every other class is an Ed25519 or Ed448 key (OKP).
                kind = next((ours for theirs, ours in kinds if isinstance(private, theirs)), OKPKey)
                return _able(kind.import_key(private))
            return OctKey.import_key(text.encode())
    except (TypeError, JoseError) as error:
        raise ValueError(f"the key cannot sign: {error}") from None


def _able(key: SigningKey) -> SigningKey:
    if not key.is_private:
        raise ValueError("the key cannot sign: it is a public one")
    return key


_DEFAULT_ALGORITHMS: Final = {
    "oct": "HS256",
    "RSA": "RS256",
    "P-256": "ES256",
    "P-384": "ES384",
    "P-521": "ES512",
    "Ed25519": "EdDSA",
}
