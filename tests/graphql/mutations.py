"""Requests that were damaged at random: ten thousand in the tests, a million by ``python -m benchmarks mutations``."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

_TEXT = b'{}[]()"\\:,$@#.!=|&0-9ae \n\xff\xed\x00'
_WORDS = (b"...", b'"""', b"\\u0000", b"\\ud800", b"null", b"NaN", b"1e999", b"-1")
VARIABLES = (1, -1, "x", None, 10**30, [1], {"limit": 2})


def mutated(rng: random.Random, data: bytes, corpus: Sequence[str]) -> bytes:
    """A copy with one to four damages: bytes put in, taken out, repeated or changed, or a part of something else."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, until = sorted((rng.randint(0, len(changed)), rng.randint(0, len(changed))))
        until = min(until, at + 40)
        match rng.randint(0, 5):
            case 0:
                changed[at:at] = bytes(rng.choices(_TEXT, k=rng.randint(1, 6)))
            case 1:
                del changed[at:until]
            case 2:
                changed[at:at] = changed[at:until] * rng.randint(1, 30)
            case 3:
                changed[at:at] = rng.choice(_WORDS)
            case 4 if changed:
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            case _:
                changed[at:at] = rng.choice(corpus).encode()[:60]
    return bytes(changed)


def mutated_request(rng: random.Random, corpus: Sequence[str], payloads: Sequence[bytes]) -> tuple[str, bytes, bytes]:
    """Method, query string and body: damaged JSON, or whole JSON around a damaged document; one of seven by GET."""
    if rng.random() < 2 / 3:
        payload = mutated(rng, rng.choice(payloads), corpus)
    else:
        text = mutated(rng, rng.choice(corpus).encode(), corpus).decode(errors="replace")
        payload = json.dumps({"query": text, "variables": {"n": rng.choice(VARIABLES)}}).encode()
    return ("GET", b"query=" + payload, b"") if rng.random() < 1 / 7 else ("POST", b"", payload)
