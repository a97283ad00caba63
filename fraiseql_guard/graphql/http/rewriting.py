"""Puts the text into requests that only name their document, and removes every other name of a document.

All other members keep their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode

import orjson

from fraiseql_guard.graphql.http.envelope import DOCUMENT_NAMES, Envelope
from fraiseql_guard.graphql.http.raw_json import elements, members

_HASH: Final = "persistedQuery"
_DROPPED: Final = frozenset({"query", *DOCUMENT_NAMES})
"""Keys that the text replaces: to the app each of them could name another document."""


def rewrite_body(body: bytes, named: Sequence[Envelope | None]) -> bytes:
    """A JSON body with the texts of its documents. ``named`` has the envelope of each operation that named its
    document, and None for each that carried the text."""
    # The guard has read the body as valid JSON: a bracket at its beginning makes it a batch.
    if body.lstrip()[:1] != b"[":
        return _with_text(body, named[0])
    parts = [body[where] for where in elements(body)]
    return b"[%s]" % b",".join(map(_with_text, parts, named))


def rewrite_query_string(query_string: bytes, envelope: Envelope) -> bytes:
    """A query string with the text of the envelope's document."""
    pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    kept = [(name, value) for name, value in pairs if name not in _DROPPED]
    shown = [
        (name, _extensions(value.encode(), envelope).decode() if name == "extensions" and value else value)
        for name, value in kept
    ]
    return urlencode([("query", envelope.query or ""), *shown]).encode()


def _with_text(part: bytes, envelope: Envelope | None) -> bytes:
    if envelope is None:
        return part
    raw = {key: part[where] for key, where in members(part).items() if key not in _DROPPED}
    if "extensions" in raw:
        raw["extensions"] = _extensions(raw["extensions"], envelope)
    # The text comes first, and every other member keeps its bytes and its order.
    return _object({"query": orjson.dumps(envelope.query), **raw})


def _extensions(raw: bytes, envelope: Envelope) -> bytes:
    """The JSON of the extensions, without persistedQuery unless its hash is that of the text."""
    # The envelope has kept persistedQuery only if its hash is that of the text.
    if _HASH in envelope.extensions or not raw.lstrip().startswith(b"{"):  # null, or what stands for it
        return raw
    return _object({key: raw[where] for key, where in members(raw).items() if key != _HASH})


def _object(raw: Mapping[str, bytes]) -> bytes:
    return b"{%s}" % b",".join(orjson.dumps(key) + b":" + value for key, value in raw.items())
