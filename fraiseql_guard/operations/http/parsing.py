"""Reads the fields of a request: exactly those that its route takes, each checked, or a Problem that names one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from fraiseql_guard.graphql.http.strict_json import JsonLoader, NotStrictError
from fraiseql_guard.operations.http.problems import Problem
from fraiseql_guard.operations.operator.fields import Field

MAX_BODY_BYTES: Final = 262_144
"""Largest body. The longest field (a table of rules, 64 KiB) fits in, however JSON escapes it."""
BODY_SECONDS: Final = 10.0
_MAX_FIELDS: Final = 50
_LOADER: Final = JsonLoader(1_000)


async def read_body(receive: Any, headers: Mapping[bytes, bytes]) -> bytes:
    """The whole body. Problem if it is larger than MAX_BODY_BYTES, takes longer than BODY_SECONDS, or does not end."""
    # A body whose Content-Length is too large is not read.
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and (len(announced) > 10 or int(announced) > MAX_BODY_BYTES):
        raise _too_large()
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Problem(400, "the request ended before its body did")
                body += bytes(message.get("body", b""))
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
                if not message.get("more_body", False):
                    return body
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {BODY_SECONDS:.0f} s") from None


def _too_large() -> Problem:
    return Problem(413, f"the body is larger than {MAX_BODY_BYTES} bytes", limit=MAX_BODY_BYTES)


def json_fields(body: bytes, headers: Mapping[bytes, bytes], fields: Iterable[Field]) -> dict[str, Any]:
    """The fields of a JSON body; {} for an empty body. Problem for a body that is no JSON object of these fields."""
    if not body:
        return checked({}, fields)
    # A form on another site cannot send this media type without a CORS preflight.
    media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if media_type != "application/json" or headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Problem(415, "send the fields as application/json, not compressed")
    try:
        value, (_, nodes, _) = _LOADER.load(body)
    except NotStrictError as error:
        raise Problem(400, f"the body cannot be read as JSON: {error}") from None
    if not isinstance(value, dict) or nodes > _MAX_FIELDS:
        raise Problem(400, "the body is not a JSON object of the fields that this route takes")
    return checked(value, fields)


def query_fields(query: bytes, fields: Iterable[Field]) -> dict[str, Any]:
    """The fields of a query string. Problem for unknown and repeated names, and for text that is not percent-encoded
    UTF-8."""
    try:
        text = query.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:  # a UnicodeDecodeError is one
        raise Problem(400, "the query string is not name=value pairs of percent-encoded UTF-8") from None
    # Repeated names are refused: it would not be clear which value counts.
    given = dict(pairs)
    if len(given) < len(pairs):
        twice = next(name for name in given if sum(each == name for each, _ in pairs) > 1)
        raise Problem(400, f"{_shown(twice)} is given more than once", field=_shown(twice))
    return checked(given, fields)


def checked(given: Mapping[str, Any], fields: Iterable[Field]) -> dict[str, Any]:
    """The given fields, each read in its form. Problem for an unknown, a missing or an unusable field."""
    # An unknown field is a mistake that must not pass unnoticed.
    known = {field.name: field for field in fields}
    for name in given:
        if name not in known:
            names = f": {', '.join(known)}" if known else ""
            raise Problem(400, f"{_shown(name)} is none of the fields that this route takes{names}", field=_shown(name))
    found: dict[str, Any] = {}
    for name, field in known.items():
        if name not in given:
            if field.required:
                raise Problem(400, f"{name} is missing: {field.doc}", field=name)
            continue
        try:
            found[name] = field.form.read(given[name])
        except ValueError as error:
            raise Problem(400, f"{name} {error}", field=name) from None
    return found


def _shown(name: str) -> str:
    """A field's name as the caller wrote it, short and printable."""
    return name[:64].encode("unicode_escape", "surrogatepass").decode()
