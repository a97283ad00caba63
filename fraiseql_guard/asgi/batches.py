"""Finds the number of operations in a refused request, since a batch is answered with a list of as many results.

Apollo's BatchHttpLink hides any other answer, so that its developers would never see why they were refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from fraiseql_guard.asgi.body_reading import announced_excess, look_at_body
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.http.envelope import is_json
from fraiseql_guard.graphql.http.strict_json import JsonLoader, NotStrictError

_ARRAY: Final = re.compile(rb"[ \t\r\n]*+\[")
_NO_ARRAY: Final = re.compile(rb"[^\[]")
_OTHER_VALUES: Final = 1_000
"""Room for what stands beside the variables of an operation."""


def batch_size(ctx: RequestContext, settings: Settings) -> int:
    """The number of operations in the batch of a request's body; 0 if the body is no batch, too large a batch,
    unreadable or not known."""
    body = ctx.body
    if not body or ctx.method != "POST":
        return 0
    if ctx.upload:
        from fraiseql_guard.graphql.http.multipart import read_form

        form = read_form(ctx.header(b"content-type"), body, settings.max_body_bytes)
        body = b"" if isinstance(form, Denial) else body[form.operations]
    if _ARRAY.match(body) is None:
        return 0
    most = settings.max_batch_size
    try:
        found, _ = _loader(most * (settings.max_variables_nodes + _OTHER_VALUES)).load(body)
    except NotStrictError:
        return 0
    return len(found) if isinstance(found, list) and len(found) <= most else 0


@lru_cache(maxsize=8)
def _loader(max_values: int) -> JsonLoader:
    return JsonLoader(max_values)


async def look_for_batch(runtime: Runtime, ctx: RequestContext, body: RequestBody, denial: Denial) -> None:
    """Read the body of a request that was refused before it was read, if it may hold a batch. The usual bounds hold; a
    body that is no batch is read only until that shows."""
    if not _may_be_batch(runtime.settings, ctx, body) or announced_excess(runtime, ctx, buffered=True) is not None:
        return
    body.buffer_bytes = runtime.settings.max_body_bytes
    try:
        content = await look_at_body(runtime, ctx, body, denial, unless=_NO_ARRAY)
    except Exception as error:  # noqa: BLE001 - the refusal stands, whatever a server makes of its body
        runtime.tell(runtime.recorder.fault, "receive", error)
        return
    if isinstance(content, bytes):
        ctx.body = content


def _may_be_batch(settings: Settings, ctx: RequestContext, body: RequestBody) -> bool:
    """Whether a body that was not read yet may hold a batch."""
    if ctx.body is not None or body.received_bytes or body.complete or body.disconnected:
        return False  # it was read already, as far as it can be
    return settings.batching and ctx.method == "POST" and is_json(ctx.header(b"content-type"))
