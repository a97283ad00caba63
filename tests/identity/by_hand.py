"""Tokens put together by hand, so that tests can sign what no library would write."""

import base64
import hashlib
import hmac
import json

SECRET = "current-secret-of-at-least-32-bytes!"
OLD = "previous-secret-of-at-least-32-bytes"
NEW = "the-next-secret-of-at-least-32-bytes"
NOW = 1_000_000.0
CLAIMS = {"sub": "u1", "exp": NOW + 600}


def changed(**claims):
    """The claims of an honest token, with differences."""
    return {**CLAIMS, **claims}


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def as_bytes(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def sign(payload, *, header=None, secret=SECRET, digest="sha256"):
    """A token with a genuine signature over whatever payload and header: bytes as they are, else JSON."""
    head = {"alg": "HS256"} if header is None else header
    return sign_segments(encode(as_bytes(head)), encode(as_bytes(payload)), secret=secret, digest=digest)


def sign_segments(header, payload, *, secret=SECRET, digest="sha256"):
    """A genuine signature over segments that need not be base64url at all."""
    signing_input = f"{header}.{payload}"
    signature = hmac.new(secret.encode(), signing_input.encode("utf-8", "surrogatepass"), getattr(hashlib, digest))
    return f"{signing_input}.{encode(signature.digest())}"
