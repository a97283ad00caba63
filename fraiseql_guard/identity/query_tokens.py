"""Reads tokens from the query string of a WebSocket's upgrade, to which browsers cannot add a header."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

_SCHEME: Final = "bearer "


def query_tokens(query: bytes, parameter: str) -> list[str]:
    """The non-empty values of the parameter, each in the form of an Authorization header (RFC 6750, section 2.1)."""
    if not query:
        return []
    pairs = parse_qsl(query.decode("latin-1"))
    return [as_header(value.strip()) for name, value in pairs if name == parameter and value.strip()]


def as_header(value: str) -> str:
    """A token in the form of an Authorization header: with the scheme Bearer, unless the value names it already."""
    return value if value[: len(_SCHEME)].lower() == _SCHEME else f"Bearer {value}"
