"""Writes ``extensions.cost`` into an answer of the app, if the operator asked for it (SPEC section 5).

Only whole JSON objects of a known and bounded length are touched; whatever is streamed, encoded, signed or not
understood goes by as it is.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from fraiseql_guard.context import Context
from fraiseql_guard.gates.cost_budgets import budget_among
from fraiseql_guard.graphql.raw_json import members

_MOST_BYTES: Final = 262_144
_MEDIA_TYPES: Final = frozenset({b"application/json", b"application/graphql-response+json"})
_BOUND_TO_THE_BYTES: Final = frozenset(
    {b"content-encoding", b"etag", b"digest", b"content-digest", b"repr-digest", b"content-md5", b"signature"}
)
"""Headers of an answer that would be untrue of another body."""


class CostNote:
    """Stands between the app and ``send`` for one request. Holds the head back until the body is complete."""

    __slots__ = ("_body", "_ctx", "_expected", "_head", "_send")

    def __init__(self, ctx: Context, send: Any) -> None:
        self._ctx = ctx
        self._send = send
        self._head: Any = None
        self._body = bytearray()
        self._expected = 0

    async def __call__(self, message: Any) -> None:
        """Pass on what the app sends."""
        if message["type"] == "http.response.start" and self._noted(message):
            self._head = message
        elif self._head is None:
            await self._send(message)
        elif message["type"] != "http.response.body":
            await self._let_go()
            await self._send(message)
        else:
            await self._collect(message)

    def _noted(self, head: Any) -> bool:
        """Whether this answer is one to be held back for its note."""
        headers = dict(head.get("headers", ()))
        length = headers.get(b"content-length", b"")
        self._expected = int(length) if length.isdigit() and len(length) < 10 else 0
        return (
            self._ctx.method != "HEAD"
            and headers.get(b"content-type", b"").partition(b";")[0].strip().lower() in _MEDIA_TYPES
            and _BOUND_TO_THE_BYTES.isdisjoint(headers)
            and not head.get("trailers")
            and 0 < self._expected <= _MOST_BYTES
        )

    async def _collect(self, message: Any) -> None:
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            if len(self._body) > self._expected:  # not what its head says
                await self._let_go()
            return
        body = with_cost(bytes(self._body), cost_of(self._ctx)) if len(self._body) == self._expected else None
        if body is not None:
            lines = [line for line in self._head["headers"] if line[0] != b"content-length"]
            self._head = {**self._head, "headers": [*lines, (b"content-length", b"%d" % len(body))]}
            self._body = bytearray(body)
        await self._let_go(more_body=False)

    async def _let_go(self, *, more_body: bool = True) -> None:
        """Send what was held back."""
        head, self._head = self._head, None
        await self._send(head)
        await self._send({"type": "http.response.body", "body": bytes(self._body), "more_body": more_body})


def cost_of(ctx: Context) -> dict[str, float]:
    """The points asked for, and those of the caller's budget: its size, what is left, what comes back a second."""
    requested = ctx.measured.complexity if ctx.measured else 0
    budget = budget_among(ctx.buckets)
    if budget is None:
        return {"requested": requested}
    return {
        "requested": requested,
        "limit": budget.charge.capacity,
        "remaining": max(0, int(budget.remaining)),
        "restoreRate": round(budget.charge.limit.tokens_per_second, 4),
    }


def with_cost(body: bytes, cost: dict[str, float]) -> bytes | None:
    """The answer with ``extensions.cost``; None if it is not an object that can carry one.

    The note is put in, so that what the app wrote keeps its form (numbers of any size above all).
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(answer, dict):
        return None
    extensions, note = answer.get("extensions"), b'"cost":' + orjson.dumps(cost)
    if extensions is None and "extensions" not in answer:
        end = body.rindex(b"}")
        return body[:end] + (b"," if answer else b"") + b'"extensions":{' + note + b"}" + body[end:]
    if not isinstance(extensions, dict) or "cost" in extensions:
        return None
    inside = body.index(b"{", members(body)["extensions"].start) + 1
    return body[:inside] + note + (b"," if extensions else b"") + body[inside:]
