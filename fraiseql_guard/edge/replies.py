"""Refusals and rate-limit headers as bytes: the one shape of every answer that the guard gives itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import orjson

from fraiseql_guard.context import Bucket, Context, Denial
from fraiseql_guard.graphql.media_types import answer_type

Header = tuple[bytes, bytes]

_EXPOSED: Final = b"Retry-After, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID"  # noqa: E501


def refusal(ctx: Context, denial: Denial, cors_origins: Sequence[str], now: float) -> tuple[list[Header], bytes]:
    """Headers and body of a refusal: GraphQL errors on GraphQL paths, problem+json (RFC 9457) elsewhere."""
    extensions = _extensions(ctx, denial)
    if ctx.guarded:
        media_type = answer_type(", ".join(ctx.lines(b"accept"))).encode()
        body = orjson.dumps({"errors": [{"message": denial.code.message, "extensions": extensions}]})
    else:
        media_type = b"application/problem+json"
        body = orjson.dumps(
            {"type": "about:blank", "title": denial.code.message, "status": denial.status, **extensions}
        )
    headers = [
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", ctx.request_id.encode()),
        *denial.headers,
        *rate_limit_headers(ctx.buckets, now),
        *cors_headers(ctx, cors_origins),
    ]
    if denial.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % _whole_seconds(denial.retry_after_seconds)))
    return headers, b"" if ctx.method == "HEAD" else body


def _extensions(ctx: Context, denial: Denial) -> dict[str, Any]:
    """The numbers of a refusal; what is not known is left out."""
    known = {
        "code": denial.code.name,
        "detail": denial.detail or None,
        "limit": denial.limit,
        "actual": denial.actual,
        "path": denial.path,
        "retryAfter": None if denial.retry_after_seconds is None else _whole_seconds(denial.retry_after_seconds),
        "requestId": ctx.request_id,
        **dict(denial.facts),
    }
    return {name: value for name, value in known.items() if value is not None}


def _whole_seconds(seconds: float) -> int:
    """Rounded up, so that who comes back then is admitted; at most a day."""
    return math.ceil(min(max(seconds, 0.0), 86_400.0))


def rate_limit_headers(buckets: Sequence[Bucket], now: float) -> list[Header]:
    """X-RateLimit-* of the bucket with the smallest remaining share (Reset: the Unix time at which it is full again, as
    FraiseQL writes it), and RateLimit-Policy and RateLimit
    (draft-ietf-httpapi-ratelimit-headers-11) of all that carry a name of their own."""
    if not buckets:
        return []
    tightest = buckets[0] if len(buckets) == 1 else min(buckets, key=lambda bucket: bucket.share)
    charge, left, until_full = tightest.charge, max(0, int(tightest.remaining)), tightest.reset_seconds
    limit, policy, name = _constant(charge.policy, charge.limit.tokens, charge.limit.window_seconds)
    state = b"%s%d;t=%d" % (name, left, math.ceil(until_full))
    if len(buckets) > 1:
        named = list({bucket.charge.policy: bucket for bucket in reversed(buckets)}.values())[::-1]
        policy = b"ratelimit-policy", b", ".join([_of(bucket)[1][1] for bucket in named])
        state = b", ".join([_state(bucket) for bucket in named])
    return [
        limit,
        (b"x-ratelimit-remaining", b"%d" % left),
        (b"x-ratelimit-reset", b"%d" % math.ceil(now + until_full)),
        policy,
        (b"ratelimit", state),
    ]


@lru_cache(maxsize=256)
def _constant(policy: str, tokens: int, window_seconds: int) -> tuple[Header, Header, bytes]:
    """What headers say of a charge whatever is left: its limit, its policy, and how its state begins."""
    name = policy.encode()
    return (
        (b"x-ratelimit-limit", b"%d" % tokens),
        (b"ratelimit-policy", b'"%s";q=%d;w=%d' % (name, tokens, window_seconds)),
        b'"%s";r=' % name,
    )


def _of(bucket: Bucket) -> tuple[Header, Header, bytes]:
    charge = bucket.charge
    return _constant(charge.policy, charge.limit.tokens, charge.limit.window_seconds)


def _state(bucket: Bucket) -> bytes:
    left = max(0, int(bucket.remaining))
    return b"%s%d;t=%d" % (_of(bucket)[2], left, math.ceil(bucket.reset_seconds))


def cors_headers(ctx: Context, origins: Sequence[str]) -> list[Header]:
    """CORS headers that let the pages of configured origins read our refusals."""
    origin = ctx.headers.get(b"origin")
    if not origins or origin is None or ("*" not in origins and origin.decode("latin-1") not in origins):
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    ]
