"""Refusals and rate-limit headers as bytes: the one form of every answer that the guard gives itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from fraiseql_guard.asgi.deciding_setting import detail
from fraiseql_guard.asgi.limit_headers import Disclosure, Header
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.request import at_work
from fraiseql_guard.graphql.http.media_types import JSON, answer_type, preference

READS: Final = HeadReads(headers=frozenset({b"accept", b"origin"}))
"""What the form of a refusal depends on."""
_REMEMBERED_CHARS: Final = 256
"""Length of an Accept header that is remembered: browsers send up to about 140."""
_COME_BACK: Final = frozenset({429, 503})
"""Statuses of what is refused for the moment, before it is executed."""


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """A body that the app gives a refusal, and headers that are added to it."""

    media_type: bytes
    body: bytes
    headers: tuple[Header, ...] = ()


def refusal(
    ctx: RequestContext,
    denial: Denial,
    cors_origins: Sequence[str],
    now: float,
    *,
    disclosure: Disclosure,
    batch: int = 0,
    own: OwnAnswer | None = None,
) -> tuple[list[Header], bytes]:
    """Headers and body of a refusal: GraphQL errors on GraphQL paths, problem+json (RFC 9457) elsewhere, or the app's
    ``own``.

    ``batch`` is how many operations were sent in a list, and want a list of as many answers; 0 for one by itself.
    """
    # 1. When to come back, and the numbers of the refusal.
    waits = _waits(ctx, denial)
    seconds = None if waits is None else _whole_seconds(waits.seconds)
    # 2. The body.
    if own is not None:
        media_type, body = own.media_type, own.body
    elif ctx.guarded:
        extensions = _extensions(ctx, denial, seconds, numbers=disclosure.numbers)
        media_type = graphql_media_type(ctx, denial).encode()
        body = orjson.dumps({"errors": [{"message": denial.code.message, "extensions": extensions}]})
        if batch:
            body = b"[%s]" % b",".join([body] * batch)
    else:
        extensions = _extensions(ctx, denial, seconds, numbers=disclosure.numbers)
        media_type = b"application/problem+json"
        body = orjson.dumps(
            {"type": "about:blank", "title": denial.code.message, "status": denial.status, **extensions}
        )
    # 3. The headers.
    headers = [
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", ctx.request_id.encode()),
        *denial.headers,
        *disclosure.headers(() if ctx.socket else ctx.buckets, now, None if waits is None else waits.of_buckets),
        *cors_headers(ctx, cors_origins, disclosure.exposed),
        *(() if own is None else own.headers),
    ]
    if seconds is not None:
        headers.append((b"retry-after", b"%d" % seconds))
    return headers, b"" if ctx.method == "HEAD" else body


def graphql_error(ctx: RequestContext, denial: Denial, disclosure: Disclosure) -> dict[str, Any]:
    """A refusal as one GraphQL error, for answers that have no head."""
    return {"message": denial.code.message, "extensions": extensions_of(ctx, denial, numbers=disclosure.numbers)}


def extensions_of(ctx: RequestContext, denial: Denial, *, numbers: bool) -> dict[str, Any]:
    """What a refusal tells beside its message, by the names that clients know; ``numbers`` of limits if that is so."""
    waits = _waits(ctx, denial)
    return _extensions(ctx, denial, None if waits is None else _whole_seconds(waits.seconds), numbers=numbers)


def graphql_media_type(ctx: RequestContext, denial: Denial) -> str:
    """The media type of a refusal on a GraphQL path.

    Plain JSON where the server has no room or the client is too fast, if the client accepts it at all: clients take
    whatever comes as graphql-response+json for a result, so that what would wait and ask again never gets to see it.
    An app that is at work has begun to execute the operation: then it is a result.
    """
    accept = ", ".join(ctx.lines(b"accept"))
    if denial.status in _COME_BACK and not at_work(ctx) and _takes_json(accept):
        return JSON
    return answer_type(accept)


def _takes_json(accept: str) -> bool:
    """Whether a client accepts plain JSON. Found out once for each usual header: reading one takes longer than all
    else about a refusal."""
    return _known_to_take_json(accept) if len(accept) <= _REMEMBERED_CHARS else preference(accept, JSON).weight > 0


@lru_cache(maxsize=256)
def _known_to_take_json(accept: str) -> bool:
    return preference(accept, JSON).weight > 0


def _extensions(ctx: RequestContext, denial: Denial, retry_after: int | None, *, numbers: bool) -> dict[str, Any]:
    """The numbers of a refusal, if clients are told them; what is not known is left out."""
    if not numbers:
        told = {"code": denial.code.name, "retryAfter": retry_after, "requestId": ctx.request_id}
        words = {name: value for name, value in denial.facts if isinstance(value, str)}
        return {name: value for name, value in told.items() if value is not None} | words
    known = {
        "code": denial.code.name,
        "detail": detail(denial.code, denial.detail) or None,
        "limit": denial.limit,
        "actual": denial.actual,
        "path": denial.path,
        "retryAfter": retry_after,
        "requestId": ctx.request_id,
        **dict(denial.facts),
    }
    return {name: value for name, value in known.items() if value is not None}


def _whole_seconds(seconds: float) -> int:
    """Rounded up, so that a request which comes back then is admitted."""
    return math.ceil(max(seconds, 0.0))


@dataclass(frozen=True, slots=True)
class _Waits:
    """How long to wait until the same request can be admitted, in all and for each bucket."""

    seconds: float
    of_buckets: tuple[float, ...]


def _waits(ctx: RequestContext, denial: Denial) -> _Waits | None:
    """None if coming back is of no use. A refusal for another reason than the rate may have emptied a bucket."""
    seconds = denial.retry_after_seconds
    if seconds is None or math.isinf(seconds):
        return None
    buckets, measured = ctx.buckets, ctx.measured
    if any(bucket.retry_after_seconds for bucket in buckets):  # nothing was taken
        waits = tuple([bucket.retry_after_seconds for bucket in buckets])
    else:
        tokens = 1 if measured is None else max(1, measured.mutation_root_fields)
        waits = tuple([bucket.wait_for(tokens) for bucket in buckets])
    return _Waits(max(seconds, *waits) if waits else seconds, waits)


def cors_headers(ctx: RequestContext, origins: Sequence[str], exposed: bytes) -> list[Header]:
    """CORS headers that let the pages of configured origins read our refusals. Those that are configured by name may
    send their visitors' cookies along; all together (``*``) may not."""
    origin = ctx.headers.get(b"origin")
    if origin is None or not ctx.from_origin_of(origins):
        return []
    named = origin.decode("latin-1") in origins
    return [
        (b"access-control-allow-origin", origin if named else b"*"),
        (b"access-control-expose-headers", exposed),
        *([(b"access-control-allow-credentials", b"true")] if named else ()),
        (b"vary", b"Origin"),
    ]
