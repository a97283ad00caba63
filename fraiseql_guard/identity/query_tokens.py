"""Tokens in the query string of a WebSocket's upgrade, to which browsers can add no header."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

_SCHEME: Final = "bearer "


def query_tokens(query: bytes, parameter: str) -> list[str]:
    """What the parameter holds, each in the form of an Authorization header (RFC 6750, section 2.1).

    An empty value is none.
    """
    if not query:
        return []
    pairs = parse_qsl(query.decode("latin-1"))
    return [as_header(value.strip()) for name, value in pairs if name == parameter and value.strip()]


def as_header(value: str) -> str:
    """The form of an Authorization header, whether or not the value names its scheme."""
    return value if value[: len(_SCHEME)].lower() == _SCHEME else f"Bearer {value}"
