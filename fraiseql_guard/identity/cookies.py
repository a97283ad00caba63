"""Reads one cookie of a request (RFC 6265): linear in the header's length, and bounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MAX_COOKIE_BYTES: Final = 16_384
"""Longer Cookie headers are not read: browsers send shorter ones, and a token in them does not count."""


def cookie_values(lines: Iterable[bytes], name: bytes) -> list[str]:
    """What all cookies of this name hold, in their order, without quotes; empty ones are none.

    ``lines`` are the values of all Cookie headers: HTTP/2 may split them (RFC 9113, section 8.2.3).
    """
    found: list[str] = []
    left = MAX_COOKIE_BYTES
    for line in lines:
        left -= len(line)
        if left < 0:
            return []
        if name not in line:  # nearly all that have other cookies alone
            continue
        for pair in line.split(b";"):
            key, separator, value = pair.partition(b"=")
            if separator and key.strip(b" \t") == name and (text := _unquoted(value.strip(b" \t"))):
                found.append(text.decode("latin-1"))
    return found


def _unquoted(value: bytes) -> bytes:
    quoted = len(value) > 1 and value[:1] == value[-1:] == b'"'
    return value[1:-1].strip(b" \t") if quoted else value
