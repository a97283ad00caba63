"""Ends requests: sends refusals, adds rate limit headers to answers, and records outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from starlette.types import Message, Scope, Send

from fraiseql_guard.asgi import replies
from fraiseql_guard.asgi.batches import batch_size
from fraiseql_guard.asgi.describe import endpoint
from fraiseql_guard.asgi.event_refusals import in_asked_form
from fraiseql_guard.asgi.limit_headers import RATE_LIMIT_NAMES, Header
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.core.context import RequestContext, outers
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.outcomes import is_for_authentication
from fraiseql_guard.core.signals import SLOW_CONSUMER, UNKNOWN, FailureReason
from fraiseql_guard.telemetry.spans import active_span

_MULTIPLEXED: Final = ("2", "3")
"""Versions of HTTP in which a connection outlives an answer that was cut."""
_REQUEST_ID: Final = b"x-request-id"
_OURS: Final = RATE_LIMIT_NAMES | {_REQUEST_ID}
"""Headers that the guard adds to answers of callers who are counted. The outermost guard writes them for all."""


async def refuse(runtime: Runtime, ctx: RequestContext, denial: Denial, send: Send) -> None:
    """Record a refusal, and send it."""
    ctx.denial = denial
    tell_outside(ctx)
    silent = runtime.tell(runtime.recorder.refused, ctx, denial)
    headers, body = refusal(runtime, ctx, denial)
    # Two batches of different lengths may have the same head.
    ctx.body = ctx.rewritten = None  # its memory was given back
    if silent and ctx.repeated and ctx.outer is None and body[:1] != b"[" and _is_steady(runtime, ctx, denial, body):
        runtime.tell(runtime.refusal_cache.remember, ctx, denial, headers, body)
    await send_refusal(ctx, denial, headers, body, send)


def refusal(runtime: Runtime, ctx: RequestContext, denial: Denial) -> tuple[list[Header], bytes]:
    """Headers and body of a refusal."""
    origins = () if ctx.for_operator else runtime.settings.cors_origins
    batch = runtime.tell(batch_size, ctx, runtime.settings) if ctx.guarded else 0
    told = runtime.disclosure
    bodies, sent = runtime.own_bodies, batch or 0
    own = None if bodies is None else bodies.answer(ctx, denial, numbers=told.numbers, batch=sent)
    headers, body = replies.refusal(ctx, denial, origins, runtime.now(), disclosure=told, batch=sent, own=own)
    return headers if ctx.outer is None else _for_outside(ctx, ctx.outer, headers), body


def refusal_error(runtime: Runtime, ctx: RequestContext, denial: Denial) -> dict[str, Any]:
    """A refusal as one GraphQL error, for answers that have no head."""
    numbers = runtime.disclosure.numbers
    error = replies.graphql_error(ctx, denial, numbers=numbers)
    return error if runtime.own_bodies is None else runtime.own_bodies.error(ctx, denial, error, numbers=numbers)


def _is_steady(runtime: Runtime, ctx: RequestContext, denial: Denial, body: bytes) -> bool:
    """Whether the answer holds for the next request with the same head too, but for the request's id."""
    if runtime.own_bodies is None:
        return ctx.request_id.encode() in body or not body  # else there is no place for the id of another request
    return runtime.own_bodies.is_steady(ctx, denial, body, numbers=runtime.disclosure.numbers)


def tell_outside(ctx: RequestContext) -> None:
    """Tell outer guards that this guard has refused the request: the answer is not their app's own."""
    for outer in outers(ctx):
        outer.refused_inside = True
        outer.auth_failed = outer.auth_failed or (ctx.denial is not None and is_for_authentication(ctx.denial))


def _for_outside(ctx: RequestContext, outer: RequestContext, headers: list[Header]) -> list[Header]:
    """The headers of a refusal that passes outer guards. If a bucket of this guard has refused, its state alone is
    shown; else the outer guards show theirs as well."""
    if any(bucket.retry_after_seconds > 0 for bucket in ctx.buckets):
        for each in outers(ctx):
            each.shown = ()
        return headers
    _hand_on(ctx, outer)
    return [line for line in headers if line[0] not in _OURS]


def _hand_on(ctx: RequestContext, outer: RequestContext) -> None:
    """Have the next outer guard show this guard's buckets beside its own, the scarcest first."""
    if ctx.shown != () and not ctx.socket:  # else a guard further inside has told all that is to be told
        buckets = (*(ctx.shown or ctx.buckets), *outer.buckets)
        outer.shown = tuple(sorted(buckets, key=lambda bucket: bucket.share))


async def send_refusal(ctx: RequestContext, denial: Denial, headers: list[Header], body: bytes, send: Send) -> None:
    """Send a refusal, in the form that its client asks for."""
    status, headers, body = in_asked_form(ctx, denial, headers, body)
    ctx.status = denial.status
    ctx.response_bytes = len(body)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if status != denial.status:
        for outer in outers(ctx):
            outer.status = denial.status  # what it counts with there, too
    await send({"type": "http.response.body", "body": body})


async def end_cut_answer(runtime: Runtime, scope: Scope, ctx: RequestContext, send: Send) -> None:
    """End the cut answer of an operation where its server would leave it open for ever: an HTTP/2 connection carries
    many answers. Clients of JSON, events or multipart notice that the last part is missing."""
    slow = (
        ctx.denial is not None and ctx.denial.code is SLOW_CONSUMER
    )  # this would wait as long as what it did not take
    if slow or scope.get("http_version", "")[:1] not in _MULTIPLEXED:
        return
    with suppress(Exception):
        async with asyncio.timeout(runtime.settings.socket_send_seconds):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def with_headers(runtime: Runtime, ctx: RequestContext, message: Message) -> Message:
    """The head of the app's answer with the guard's headers, which replace the app's of the same names. The app's
    Retry-After stays."""
    ctx.span = active_span() or ctx.span or ""  # also an instrumentation's inside: its span is active around this call
    lines: Iterable[Header] = message.get("headers", ())
    shown = ctx.shown
    buckets = () if ctx.socket else ctx.buckets if shown is None else shown  # that of upgrades is no client's budget
    disclosure = runtime.disclosure
    ours = _OURS if buckets else disclosure.always_ours
    kept = [line for line in lines if line[0].lower() not in ours]
    if ctx.outer is not None:
        _hand_on(ctx, ctx.outer)
        return {**message, "headers": kept}
    kept.append((_REQUEST_ID, ctx.request_id.encode()))
    if buckets:
        kept += disclosure.headers(buckets, runtime.now())
    return {**message, "headers": kept}


def record_outcome(
    runtime: Runtime,
    scope: Scope,
    ctx: RequestContext,
    seconds: float,
    refused_by_app: FailureReason | None = None,
    query_seconds: float | None = None,
    failed: bool = False,
) -> None:
    """Record the metrics and log lines of a request that is over (RequestRecorder.account)."""
    recorder, identity = runtime.recorder, ctx.identity
    if runtime.what_counts is not None:
        runtime.tell(partial(runtime.what_counts.ended, ctx, failed=failed))
    if ctx.endpoint == UNKNOWN:
        # Only what is counted or written names an endpoint, which takes a look at the app's route.
        told = runtime.counts or identity is not None or ctx.would_refuse or refused_by_app is not None
        ctx.endpoint = endpoint(scope, ctx, runtime.mounts) if told else UNKNOWN
    for denial in ctx.would_refuse:
        recorder.would_refuse(ctx, denial)
    if identity is not None and identity.fresh and ctx.token_failure is None:
        recorder.authenticated(ctx)
    if refused_by_app is not None:
        recorder.refused_by_app(ctx, refused_by_app)
    recorder.account(ctx, seconds, counted=runtime.counts, query_seconds=query_seconds, failed=failed)
