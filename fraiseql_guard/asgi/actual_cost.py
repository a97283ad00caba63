"""Reads the actual cost of an operation from the app's answer: from a header, or from GraphQL's extensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import orjson
from starlette.types import Message

from fraiseql_guard.asgi.answer_editor import Edit
from fraiseql_guard.core.context import RequestContext

_LONGEST_NUMBER: Final = 32


class CostHeader:
    """Reads the cost from a header of the answer. ``hidden``: whether the header is removed before clients see it."""

    __slots__ = ("_hidden", "_name")

    def __init__(self, name: str, *, hidden: bool) -> None:
        self._name = name.encode()
        self._hidden = hidden

    def read(self, ctx: RequestContext, message: Message) -> Message:
        """Set ``ctx.actual_cost`` from the head of an answer; return the head as the client gets it."""
        lines = message.get("headers", ())
        found = [value for name, value in lines if name.lower() == self._name]
        if not found:
            return message
        ctx.actual_cost = _number(found[0])
        # A guard further outside reads it as well, and is the one that hides it.
        if not self._hidden or ctx.outer is not None:
            return message
        return {**message, "headers": [line for line in lines if line[0].lower() != self._name]}


def extension_reader(path: str) -> Edit:
    """Notes the cost that a whole answer names under ``extensions``, ``cost.actualQueryCost`` for one; changes nothing.

    That of a batch is the sum over all its answers, and unknown unless each of them names one. A header comes first.
    """
    keys = path.split(".")

    def read(ctx: RequestContext, body: bytes) -> None:
        if ctx.actual_cost is None and b'"extensions"' in body:
            ctx.actual_cost = _named_in(orjson.loads(body), keys)

    return read


def _named_in(answer: Any, keys: Sequence[str]) -> float | None:
    if not isinstance(answer, list):
        return _at(answer, ["extensions", *keys])
    costs = [_at(each, ["extensions", *keys]) for each in answer]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known and len(known) == len(costs) else None


def _at(value: Any, keys: Sequence[str]) -> float | None:
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return _usable(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number(text: bytes) -> float | None:
    if len(text) > _LONGEST_NUMBER:
        return None
    try:
        return _usable(float(text))
    except ValueError:
        return None


def _usable(number: float) -> float | None:
    return number if math.isfinite(number) and number >= 0 else None
