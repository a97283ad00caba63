"""Finds the key that limits count a request by (FRAISEQL_GUARD_RATE_LIMIT_KEY, or a function of the app).

A request without a value for some part of the key is counted for its user, else its address, as without a key. Requests
without a value never share one bucket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.limit_key import MAX_VALUE_BYTES, KeyPart, RateLimitKey, joined, key_of_function

AskLimitKey = Callable[[RequestContext], Awaitable[str | None] | str | None]
"""The app's function: given the request (with its user, if any), it returns the text to count it by; None counts it for
its user or address."""

FUNCTION_SECONDS: Final = 1.0
"""Longest wait for the key of an asynchronous function."""

_ADDRESS: Final = KeyPart("address")
_USER: Final = KeyPart("user")


class ConfiguredKeys:
    """Counts requests by the key of a setting. ``tenant_claim`` is the claim for the part ``tenant``."""

    def __init__(self, key: RateLimitKey, tenant_claim: str) -> None:
        self._by_address = key.parts == (_ADDRESS,)
        self._parts = key.parts
        self._claims = {part: tenant_claim if part.kind == "tenant" else part.name for part in key.parts}

    async def assign(self, ctx: RequestContext) -> None:
        """Set ``ctx.keyed``, the subject whose buckets pay for the request; None for the ordinary ones."""
        if self._by_address:
            ctx.keyed = None if ctx.subject is ctx.address_subject else ctx.address_subject
            return
        found: list[str] = []
        for part in self._parts:
            one = self._part_of(ctx, part)
            if one is None:
                ctx.keyed = None
                return
            found.append(one)
        ctx.keyed = Subject("key", joined(found))

    def _part_of(self, ctx: RequestContext, part: KeyPart) -> str | None:
        if part.kind == "header":
            value = ctx.headers.get(part.name.encode(), b"")
            return part.of(value.decode("latin-1")) if 0 < len(value) <= MAX_VALUE_BYTES else None
        if part.kind == "address":
            return part.of(ctx.address_subject.name)
        if part.kind == "user":
            subject = ctx.subject
            return (_USER if subject.kind == "user" else _ADDRESS).of(subject.name)
        user, claim = ctx.verified, self._claims[part]
        said = _text_of(user.claims.get(claim)) if user is not None else ""
        return part.of(said) if _is_usable(said) else None


class AskedKeys:
    """Counts requests by the keys that a function of the app returns. ``on_fault`` is given what it raised."""

    def __init__(
        self, ask: AskLimitKey, *, on_fault: Callable[[BaseException], None], timeout_seconds: float = FUNCTION_SECONDS
    ) -> None:
        self._ask = ask
        self._on_fault = on_fault
        self._timeout_seconds = timeout_seconds

    async def assign(self, ctx: RequestContext) -> None:
        """Set ``ctx.keyed``, the subject whose buckets pay for the request; None for the ordinary ones, also if the
        function fails."""
        ctx.keyed = None
        try:
            text: Any = self._ask(ctx)
            if isawaitable(text):
                async with asyncio.timeout(self._timeout_seconds):
                    text = await text
            if text is None:
                return
            if not isinstance(text, str) or not _is_usable(text):
                raise ValueError(f"rate_limit_key said no text of 1 to {MAX_VALUE_BYTES} bytes")
        except Exception as error:  # noqa: BLE001 - the function is the app's: it may raise anything
            self._on_fault(error)
        else:
            ctx.keyed = Subject("key", key_of_function(text))


LimitKeys = ConfiguredKeys | AskedKeys


def _text_of(claim: object) -> str:
    """A claim that is text or a number, as text; "" for any other."""
    if isinstance(claim, str):
        return claim
    return str(claim) if isinstance(claim, int | float) and not isinstance(claim, bool) else ""


def _is_usable(text: str) -> bool:
    return 0 < len(text) <= MAX_VALUE_BYTES and len(text.encode(errors="surrogatepass")) <= MAX_VALUE_BYTES
