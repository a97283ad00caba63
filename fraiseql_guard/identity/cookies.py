"""Reads one cookie of a request (RFC 6265), in time that is linear in the header's bounded length."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MAX_COOKIE_BYTES: Final = 16_384
"""Most bytes of all Cookie headers together. With more, none is read; browsers send fewer."""


def cookie_values(lines: Iterable[bytes], name: bytes) -> list[str]:
    """The non-empty values of all cookies of this name, in their order and without quotes.

    ``lines`` are the values of all Cookie headers: HTTP/2 may split them (RFC 9113, section 8.2.3).
    """
    found: list[str] = []
    left = MAX_COOKIE_BYTES
    for line in lines:
        left -= len(line)
        if left < 0:
            return []
        if name not in line:  # skip lines with only other cookies quickly
            continue
        for pair in line.split(b";"):
            key, separator, value = pair.partition(b"=")
            if separator and key.strip(b" \t") == name and (text := _unquoted(value.strip(b" \t"))):
                found.append(text.decode("latin-1"))
    return found


def _unquoted(value: bytes) -> bytes:
    quoted = len(value) > 1 and value[:1] == value[-1:] == b'"'
    return value[1:-1].strip(b" \t") if quoted else value
