"""Writes ``extensions.cost`` into an answer of the app, if the operator asked for it."""

from __future__ import annotations

import orjson

from fraiseql_guard.checks.cost_budgets import budget_among
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.graphql.http.raw_json import members


def with_cost(ctx: RequestContext, body: bytes) -> bytes | None:
    """The answer with ``extensions.cost``; None if nothing was measured, or if it is no object that can carry one."""
    return put_cost(body, cost_of(ctx)) if ctx.measured is not None else None


def cost_of(ctx: RequestContext) -> dict[str, float]:
    """The operation's points, and the caller's budget in points: its size, what is left, what comes back a second."""
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


def put_cost(body: bytes, cost: dict[str, float]) -> bytes | None:
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
