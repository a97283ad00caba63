"""Key pairs to sign with, made once a run; and their public halves as PEM and JWK."""

from __future__ import annotations

import json
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

FAMILIES = ("RSA", "P-256", "P-384", "P-521", "Ed25519")
_CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}


@cache
def private(family: str, number: int = 0, bits: int = 2048) -> str:
    """PEM of a private key; another number is another key."""
    if family == "RSA":
        key = rsa.generate_private_key(65537, bits)
    elif family == "Ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = ec.generate_private_key(_CURVES[family]())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public(pem: str) -> str:
    """PEM of the public half."""
    return _key(pem).as_pem(private=False).decode()


def jwk(pem: str, **members: object) -> dict[str, object]:
    """The public half as a JWK."""
    return {**_key(pem).as_dict(private=False), **members}


def jwk_set(*members: object) -> str:
    return json.dumps({"keys": list(members)})


def der(pem: str) -> bytes:
    return _key(pem).public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@cache
def _key(pem: str):
    from fraiseql_guard.testing import signing_key

    return signing_key(pem)
