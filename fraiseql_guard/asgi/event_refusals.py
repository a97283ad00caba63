"""Puts a refusal into the form of server-sent events, where its client asks for these.

Clients of the GraphQL over SSE protocol take an answer with the status 200 for the end of an operation, and ask again
and again after any other: a bad token would be six offences.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.asgi.limit_headers import Header
from fraiseql_guard.asgi.sockets.event_framing import last_events
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.graphql.http.media_types import EVENTS, prefers_events

_OK: Final = 200
_STREAMING: Final = frozenset({"GET", "POST"})
"""Methods whose answers may be streams."""
_COME_BACK: Final = frozenset({429, 503})
"""Statuses of what is refused for the moment: clients shall ask again, after the time in Retry-After."""


def in_asked_form(
    ctx: RequestContext, denial: Denial, headers: list[Header], body: bytes
) -> tuple[int, list[Header], bytes]:
    """The HTTP status, the headers and the body of a refusal as its client asks for it. Batches, and what is refused
    for the moment, stay as they are. Wherever a refusal counts, it counts with the status of its own."""
    if body[:1] != b"{" or not wants_events(ctx, denial):
        return denial.status, headers, body
    events = last_events(body)
    other = {b"content-type": EVENTS.encode(), b"content-length": b"%d" % len(events)}
    return _OK, [(name, other.get(name, value)) for name, value in headers], events


def wants_events(ctx: RequestContext, denial: Denial) -> bool:
    """Whether the client of a refusal asks for server-sent events, and is given them."""
    streams = ctx.guarded and ctx.method in _STREAMING and denial.status not in _COME_BACK
    return streams and prefers_events(", ".join(ctx.lines(b"accept")))
