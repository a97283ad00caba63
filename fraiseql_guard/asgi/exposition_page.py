"""The page of metrics, in the format and the encoding that its reader prefers (RFC 9110, section 12.5)."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import Scope, Send

from fraiseql_guard.graphql.http.media_types import MediaType, accepted_ranges, preference
from fraiseql_guard.telemetry.metrics import openmetrics
from fraiseql_guard.telemetry.metrics.exposition import CONTENT_TYPE

_TEXT: Final = "text/plain"
_OPENMETRICS: Final = "application/openmetrics-text"
_VERSIONS: Final = ("1.0.0", "0.0.1")
"""Versions of OpenMetrics that a reader may name, newest first. The page is the same for all."""
_NAMED: Final = 3
"""Precision of a preference that names the media type exactly."""
_WORTHWHILE_BYTES: Final = 1_024
_AT_ONCE_BYTES: Final = 16_384
"""Largest page that is compressed in the event loop, in a third of a millisecond. A thread compresses larger ones
without the GIL."""
_LEVEL: Final = 5
_LONGEST: Final = 1_000
_CODING: Final = re.compile(r"[ \t]*+([A-Za-z0-9-]++|\*)[ \t]*+(?:;[ \t]*+[qQ]=([01](?:\.[0-9]{0,3})?)[ \t]*+)?+")


async def send_exposition(scope: Scope, send: Send, page: Callable[..., Awaitable[bytes]]) -> None:
    """Answer with what ``page(as_openmetrics=...)`` returns."""
    # 1. The format, and the page in it.
    version = openmetrics_version(_lines(scope, b"accept"))
    body = await page(as_openmetrics=version is not None)
    media_type = CONTENT_TYPE if version is None else openmetrics.content_type(version)
    headers = [
        (b"content-type", media_type.encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept, Accept-Encoding"),
    ]
    # 2. The encoding, where it saves something.
    if len(body) >= _WORTHWHILE_BYTES and takes_gzip(_lines(scope, b"accept-encoding")):
        body = await _compressed(body)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def openmetrics_version(accept: str) -> str | None:
    """The version of OpenMetrics to answer with; None for the text format.

    Only a reader that names OpenMetrics, and does not prefer the text, gets it.
    """
    wanted, text = preference(accept, _OPENMETRICS), preference(accept, _TEXT)
    if not wanted.weight or wanted.precision != _NAMED or wanted.weight < text.weight:
        return None
    known = {_version(each) for each in accepted_ranges(accept) if each.name == _OPENMETRICS and _wanted(each)}
    return next((version for version in _VERSIONS if known & {version, ""}), None)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a reader accepts gzip, and does not prefer the plain text."""
    weights: dict[str, float] = {}
    for part in accept_encoding[:_LONGEST].split(","):
        if (found := _CODING.fullmatch(part)) is not None:
            weights[found[1].lower()] = min(1.0, float(found[2] or 1))
    packed = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return packed > 0 and packed >= weights.get("identity", 0.0)


async def _compressed(body: bytes) -> bytes:
    if len(body) <= _AT_ONCE_BYTES:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)


def _lines(scope: Scope, name: bytes) -> str:
    return ",".join([value.decode("latin-1") for key, value in scope["headers"] if key == name])


def _version(accepted: MediaType) -> str:
    return next((value for name, value in accepted.parameters if name == "version"), "")


def _wanted(accepted: MediaType) -> bool:
    given = next((value for name, value in accepted.parameters if name == "q"), "1")
    return given.strip("0.") != ""
