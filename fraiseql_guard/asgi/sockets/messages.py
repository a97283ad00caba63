"""Reads the messages of a GraphQL WebSocket: the client's strictly, the app's as little as possible."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from fraiseql_guard.asgi.sockets.dialects import AppMessage, ClientMessage, Dialect
from fraiseql_guard.graphql.http.raw_json import members
from fraiseql_guard.graphql.http.strict_json import JsonLoader, NotStrictError

_LONGEST_ID: Final = 128
_WITH_ID: Final = frozenset({ClientMessage.START, ClientMessage.STOP})
_USUAL: Final = re.compile(rb'\{"id":"([^"\\\x00-\x1f]{1,128})","type":"([a-z_]+)","payload":(?=\{)')
"""The beginning of a message that asks for an operation, as JavaScript clients write it."""
_UNBOUNDED: Final = JsonLoader(2**31)
"""Reads without a bound of its own: messages have a largest size, and payloads are bounded where they are read."""
_NO_JSON: Final = "The message is not valid JSON."
_LOOKED_AT_CHARS: Final = 65_536
_APPS_BEGINNING: Final = re.compile(
    r'\{\s*"(?:id"\s*:\s*"([^"\\]*)"\s*,\s*"type"\s*:\s*"(\w+)"|type"\s*:\s*"(\w+)"\s*,\s*"id"\s*:\s*"([^"\\]*)")'
)
"""The beginning of nearly every message of an app: the rest need not be read."""


class MalformedMessageTextError(ValueError):
    """A client's message breaks the rules of the subprotocol; its text says which."""


@dataclass(slots=True)
class ClientSays:
    """One message of a client. ``id`` is ``""`` without one; ``payload`` is the slice of the message that holds the
    payload, None without one."""

    kind: ClientMessage
    id: str
    payload: slice | None


@dataclass(slots=True)
class AppSays:
    """One message of an app, as far as it was read. ``kind`` is None for a message without meaning to the guard."""

    kind: AppMessage | None
    id: str


def read_client_message(text: bytes, dialect: Dialect) -> ClientSays:
    """Read a client's message. MalformedMessageTextError if hosts would read it differently, or not at all.

    The payload of an operation is not checked here: a repeated key, or a value that is no object, is refused as over
    HTTP.
    """
    usual = _USUAL.match(text)
    if usual is not None and text.endswith(b"}"):
        kind = dialect.from_client.get(usual[2].decode())
        payload = slice(usual.end(), len(text) - 1)
        if kind is ClientMessage.START and _is_json(text[payload]):
            return ClientSays(kind, usual[1].decode(), payload)
    return _read_unusual(text, dialect)


def _read_unusual(text: bytes, dialect: Dialect) -> ClientSays:
    raw = _members_of(text)
    name = _value(text, raw, "type")
    kind = dialect.from_client.get(name) if isinstance(name, str) else None
    if kind is None:
        raise MalformedMessageTextError("The message has no type of this subprotocol.")
    operation_id = ""
    if kind in _WITH_ID:
        operation_id = _value(text, raw, "id")
        if not isinstance(operation_id, str) or not 0 < len(operation_id) <= _LONGEST_ID:
            raise MalformedMessageTextError(f"id must be a string of 1 to {_LONGEST_ID} characters.")
    payload = raw.get("payload")
    if kind is ClientMessage.START:
        if payload is None:
            raise MalformedMessageTextError("payload is missing.")
    elif payload is not None:
        _strictly(text[payload])
    return ClientSays(kind, operation_id, payload)


def _members_of(text: bytes) -> dict[str, slice]:
    """The slices of a message that hold its members, by key."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # A message that is nested too deeply is left to the payload's checks, whose refusal tells the client more.
        reason = str(error).lower()
        if not ("depth" in reason or "recursion" in reason) or not _is_whole(text):
            raise MalformedMessageTextError(_NO_JSON) from None
        value = {}
    if type(value) is not dict:
        raise MalformedMessageTextError("The message must be an object.")
    try:
        found = members(text)
    except (ValueError, TypeError):  # only where it was too deep to be read
        raise MalformedMessageTextError(_NO_JSON) from None
    if _repeats(text, found):
        raise MalformedMessageTextError("The message repeats a key.")
    return found


def _is_whole(text: bytes) -> bool:
    """Whether a text that is too deep to be read is an object, by its outermost brackets."""
    stripped = text.strip(b" \t\r\n")
    return stripped[:1] == b"{" and stripped[-1:] == b"}"


def _repeats(text: bytes, found: dict[str, slice]) -> bool:
    """Whether the outermost object has a key twice, of which only the last was found."""
    bare = bytearray(text)
    for where in sorted(found.values(), key=lambda each: each.start, reverse=True):
        bare[where] = b"0"
    try:
        return _UNBOUNDED.load(bytes(bare))[1][2] != len(found)
    except NotStrictError:
        return True


def _value(text: bytes, raw: dict[str, slice], key: str) -> Any:
    where = raw.get(key)
    if where is None:
        return None
    try:
        return orjson.loads(text[where])
    except orjson.JSONDecodeError:
        return None


def _strictly(text: bytes) -> Any:
    try:
        return _UNBOUNDED.load(text)[0]
    except NotStrictError as error:
        raise MalformedMessageTextError(f"The payload {error}.") from None


def read_payload(text: bytes, says: ClientSays) -> Any:
    """The payload of a message that was read; None without one."""
    return None if says.payload is None else orjson.loads(text[says.payload])


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def read_app_message(text: str, dialect: Dialect) -> AppSays:
    """Read the type and id of an app's message. A message that is too long to be read is taken for a result."""
    usual = _APPS_BEGINNING.match(text)
    if usual is not None:
        first_id, first, second, second_id = usual.groups()
        return AppSays(dialect.from_app.get(first or second), first_id if second is None else second_id)
    if len(text) > _LOOKED_AT_CHARS:
        return AppSays(AppMessage.RESULT, "")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return AppSays(None, "")
    if type(value) is not dict:
        return AppSays(None, "")
    name, operation_id = value.get("type"), value.get("id")
    kind = dialect.from_app.get(name) if isinstance(name, str) else None
    return AppSays(kind, operation_id if isinstance(operation_id, str) else "")
