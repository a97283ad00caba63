"""CPU per request that a token costs: verified for the first time, remembered, and refused, for each algorithm.

Beside it PyJWT and joserfc used directly, as an app would: signature, expiry and subject. They remember nothing, so
a token costs them the same every time. All columns verify the same tokens, interleaved, several rounds; printed are
the median and the spread.
"""

from __future__ import annotations

import argparse
import platform
import secrets
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt as pyjwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, import_key

from benchmarks.results import Clock
from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.key_forms import ALGORITHMS as ALGORITHM_FAMILIES
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.identity.tokens import TokenVerifier
from fraiseql_guard.testing import signing_key

ALGORITHMS: Final = tuple("HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA".split())
EXPIRES_SECONDS: Final = 3600
_CURVES: Final = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
_KINDS: Final[Mapping[str, Any]] = {"RSA": "RSA", **dict.fromkeys(_CURVES, "EC"), "Ed25519": "OKP"}

Verify = Callable[[str], bool]
"""Whether a token is good."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Tokens of one algorithm and key, by what is to become of them. ``key`` verifies: a secret, or a public key."""

    algorithm: str
    key: str
    good: Sequence[str]
    refused: Mapping[str, Sequence[str]]


def pair(algorithm: str) -> tuple[str, str]:
    """A key to sign with and the key to verify with: the same secret, or the halves of a pair, as PEM."""
    if algorithm.startswith("HS"):
        secret = secrets.token_urlsafe(64)
        return secret, secret
    family = ALGORITHM_FAMILIES[algorithm]
    if family == "RSA":
        key: Any = rsa.generate_private_key(65537, 2048)
    else:
        key = ec.generate_private_key(_CURVES[family]()) if family in _CURVES else ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def sample(algorithm: str, count: int) -> Sample:
    """Fresh tokens: good ones, forged ones, expired ones, and what is no token at all."""
    (private, key), (other, _) = (pair(algorithm) for _ in range(2))

    def signed(key: str, lifetime: float) -> list[str]:
        now, material = int(time.time()), signing_key(key)
        claims = ({"sub": f"user-{n}", "jti": secrets.token_hex(8), "iat": now} for n in range(count))
        return [
            jwt.encode({"alg": algorithm}, {**each, "exp": now + lifetime}, material, [algorithm]) for each in claims
        ]

    refused = {
        "wrong signature": signed(other, EXPIRES_SECONDS),
        "expired": signed(private, -EXPIRES_SECONDS),
        "not a token": [secrets.token_urlsafe(96) for _ in range(count)],
        "alg none": [f"eyJhbGciOiJub25lIn0.{token.split('.')[1]}." for token in signed(private, EXPIRES_SECONDS)],
    }
    return Sample(algorithm, key, signed(private, EXPIRES_SECONDS), refused)


def ours(given: Sample) -> Verify:
    """The guard's verifier, with nothing remembered yet."""
    option = "jwt_secret" if given.algorithm.startswith("HS") else "jwt_public_key"
    verifier = TokenVerifier(Settings.load({}, **{option: given.key, "jwt_algorithms": given.algorithm}))
    return lambda token: isinstance(verifier.verify((f"Bearer {token}",)), Identity)


def with_pyjwt(given: Sample) -> Verify:
    """PyJWT, with the claims that we need required."""
    options: Any = {"require": ["exp", "sub"]}
    key = pyjwt.get_algorithm_by_name(given.algorithm).prepare_key(given.key)

    def verify(token: str) -> bool:
        try:
            return bool(pyjwt.decode(token, key, algorithms=[given.algorithm], options=options))
        except pyjwt.InvalidTokenError:
            return False

    return verify


def with_joserfc(given: Sample) -> Verify:
    """joserfc, with the claims that we need required."""
    family = ALGORITHM_FAMILIES[given.algorithm]
    key = OctKey.import_key(given.key) if given.algorithm.startswith("HS") else import_key(given.key, _KINDS[family])
    rules = jwt.JWTClaimsRegistry(exp={"essential": True}, sub={"essential": True})

    def verify(token: str) -> bool:
        try:
            rules.validate(jwt.decode(token, key, algorithms=[given.algorithm]).claims)
        except (JoseError, ValueError):
            return False
        return True

    return verify


COLUMNS: Final[Mapping[str, Callable[[Sample], Verify]]] = {
    "guard": ours, "PyJWT": with_pyjwt, "joserfc": with_joserfc
}  # fmt: skip
Figures = dict[str, dict[str, list[float]]]
"""Microseconds of each round, by row and column."""


def timed(verify: Verify, tokens: Sequence[str], *, good: bool) -> float:
    """CPU microseconds a token; a wrong answer ends the benchmark."""
    began = time.process_time()
    answers = [verify(token) for token in tokens]
    spent = time.process_time() - began
    if any(answer is not good for answer in answers):
        raise SystemExit("a token was judged wrongly: the figures would be worthless")
    return spent / len(tokens) * 1e6


def measure(given: Sample, figures: Figures) -> None:
    """One round of every column."""
    for column, make in COLUMNS.items():
        verify = make(given)

        def note(what: str, value: float, column: str = column) -> None:
            figures.setdefault(f"{given.algorithm} {what}", {}).setdefault(column, []).append(value)

        note("verified", timed(verify, given.good, good=True))
        note("verified again", timed(verify, given.good, good=True))
        for what, tokens in given.refused.items():
            note(what, timed(verify, tokens, good=False))


def main() -> int:
    """Print the table; ``--json FILE`` writes it."""
    clock = Clock("tokens")
    parser = argparse.ArgumentParser(prog="python -m benchmarks tokens", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=300, help="different tokens a round and row")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # EdDSA got a second name (RFC 9864)
    figures: Figures = {}
    samples = [sample(algorithm, options.tokens) for algorithm in ALGORITHMS]
    for _ in range(options.rounds):
        for given in samples:
            measure(given, figures)
    print(f"CPU microseconds a token, median of {options.rounds} rounds (spread), Python {platform.python_version()}")
    print(f"{'':28}" + "".join(f"{column:>24}" for column in COLUMNS))
    for row, by_column in figures.items():
        cells = [f"{statistics.median(v):8.2f} ({min(v):.2f}-{max(v):.2f})" for v in by_column.values()]
        print(f"{row:28}" + "".join(f"{cell:>24}" for cell in cells))
    clock.save(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
