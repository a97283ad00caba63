"""The token that a client sends with connection_init, because browsers send no headers with an upgrade."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

_KEYS: Final = ("authorization", "token", "authtoken", "accesstoken")
_Headers = list[tuple[bytes, bytes]]


def with_token(headers: Iterable[tuple[bytes, bytes]], payload: Any) -> _Headers:
    """The headers, with an ``Authorization`` made of the payload's token if they have none.

    An auth provider of the app finds the token there, as in a request.
    """
    found = list(headers)
    if any(name.lower() == b"authorization" for name, _ in found):
        return found
    token = _token(payload)
    return found if token is None else [*found, (b"authorization", token.encode("latin-1"))]


def _token(payload: Any) -> str | None:
    """``Bearer`` and the token of a payload, from the usual places; None if there is none that a header can carry."""
    if not isinstance(payload, Mapping):
        return None
    members = {name.lower(): value for name, value in payload.items() if isinstance(name, str)}
    for name in _KEYS:
        value = members.get(name)
        if isinstance(value, str) and value.isascii() and value.isprintable() and value:
            return value if " " in value else f"Bearer {value}"
    return _token(members.get("headers"))
