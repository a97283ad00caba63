"""Bodies of refusals that the app gives in place of the guard's own: by a function, or by a template.

They change what a refusal says, never what it is: its status and the headers that clients act by stay. Whatever is
wrong with such a body, the guard's own is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from fraiseql_guard.asgi.event_refusals import wants_events
from fraiseql_guard.asgi.mount_options import MountOptions
from fraiseql_guard.asgi.replies import OwnAnswer, extensions_of, graphql_media_type
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.refusal_facts import RefusalBody, RefusalFacts, RenderRefusal
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import PERSISTED_QUERY_NOT_FOUND, PERSISTED_QUERY_NOT_SUPPORTED
from fraiseql_guard.core.variables import SettingsError

_BY_PROTOCOL: Final = (PERSISTED_QUERY_NOT_FOUND, PERSISTED_QUERY_NOT_SUPPORTED)
"""Refusals that are steps of a protocol: clients recognise their messages."""
_OTHER_ID: Final = "f" * 32
_JSON: Final = "application/json"


class OwnBodies:
    """Asks ``render`` for the body of each refusal. ``on_fault`` is told what it raises, and what cannot be sent."""

    reads: Final = HeadReads(headers=frozenset({b"accept", b"accept-language"}))
    """What a body may depend on."""

    def __init__(self, render: RenderRefusal, *, on_fault: Callable[[BaseException], None]) -> None:
        self._render = render
        self._on_fault = on_fault

    def answer(self, ctx: RequestContext, denial: Denial, *, numbers: bool, batch: int = 0) -> OwnAnswer | None:
        """The body of an HTTP answer, and what it has of headers; None for the guard's own. ``numbers`` if callers are
        told those of their refusals; ``batch`` is how many operations were sent in a list."""
        if _is_ours(ctx, denial):
            return None
        try:
            return self._answer(ctx, denial, facts_of(ctx, denial, numbers=numbers), batch)
        except Exception as error:  # noqa: BLE001 - the function is the app's: it may raise anything
            self._on_fault(error)
            return None

    def error(self, ctx: RequestContext, denial: Denial, own: dict[str, Any], *, numbers: bool) -> dict[str, Any]:
        """The GraphQL error of an answer that has no head, as over a socket: message and extensions of the first error
        of the app's body, else ``own``."""
        if _is_ours(ctx, denial):
            return own
        try:
            first = _first_error(self._rendered(facts_of(ctx, denial, numbers=numbers)))
            if first is None:
                return own
            told = {name: first[name] for name in ("message", "extensions") if name in first}
            orjson.dumps(told)
        except Exception as error:  # noqa: BLE001 - as above
            self._on_fault(error)
            return own
        return told

    def is_steady(self, ctx: RequestContext, denial: Denial, body: bytes, *, numbers: bool) -> bool:
        """Whether ``body`` is the answer to the next request like this one too, but for the request's id: a function
        may put the time or a number of its own into each."""
        if _is_ours(ctx, denial):
            return True
        facts = facts_of(ctx, denial, numbers=numbers)
        extensions = {**facts.extensions, "requestId": _OTHER_ID} if facts.extensions else facts.extensions
        try:
            one = self._answer(ctx, denial, facts, 0)
            other = self._answer(ctx, denial, replace(facts, request_id=_OTHER_ID, extensions=extensions), 0)
        except Exception as error:  # noqa: BLE001 - as above
            self._on_fault(error)
            return False
        if one is None or other is None:
            return one is other
        patched = one.body.replace(ctx.request_id.encode(), _OTHER_ID.encode())
        return body in (one.body, b"") and other == replace(one, body=patched)

    def _rendered(self, facts: RefusalFacts) -> RefusalBody | None:
        found: Any = self._render(facts)
        if found is None or isinstance(found, RefusalBody):
            return found
        if hasattr(found, "close"):  # a coroutine would tell by a warning that it was never awaited
            found.close()
        return RefusalBody(found)

    def _answer(self, ctx: RequestContext, denial: Denial, facts: RefusalFacts, batch: int) -> OwnAnswer | None:
        found = self._rendered(facts)
        # An event carries one result: what is none cannot be sent as one.
        if found is None or (wants_events(ctx, denial) and _first_error(found) is None):
            return None
        content = found.content
        if isinstance(content, str | bytes):
            body = content.encode() if isinstance(content, str) else content
        else:
            body = orjson.dumps(content)
            if batch and ctx.guarded:
                body = b"[%s]" % b",".join([body] * batch)
        media_type = found.media_type or (graphql_media_type(ctx, denial) if ctx.guarded else _JSON)
        headers = tuple([(name.lower().encode(), value.encode()) for name, value in found.headers.items()])
        return OwnAnswer(media_type.encode(), body, headers)


def own_bodies(mount_options: MountOptions, on_fault: Callable[[BaseException], None]) -> OwnBodies | None:
    """What gives refusals bodies of the app's, if anything does. SettingsError for a template that cannot be used, and
    where two things want to give them."""
    render: RenderRefusal | None = mount_options.app_hooks.render_refusal
    path = mount_options.settings.refusal_template_file
    if path is not None:
        if render is not None:
            raise SettingsError(
                f"{name_of('refusal_template_file')}={str(path)!r} and Guard(app, render_refusal=...) both give "
                "refusals a body. Remove one of them"
            )
        from fraiseql_guard.asgi.refusal_template import load_template

        render = load_template(path)
    return None if render is None else OwnBodies(render, on_fault=on_fault)


def _is_ours(ctx: RequestContext, denial: Denial) -> bool:
    """Whether the words of a refusal are a part of an interface of ours."""
    return ctx.for_operator or denial.code in _BY_PROTOCOL


def facts_of(ctx: RequestContext, denial: Denial, *, numbers: bool) -> RefusalFacts:
    """What is known of a refusal, as its caller hears of it: with ``numbers`` if callers are told those."""
    extensions = extensions_of(ctx, denial, numbers=numbers)
    return RefusalFacts(
        code=denial.code.name,
        status=denial.status,
        message=denial.code.message,
        detail=extensions.get("detail"),
        limit=extensions.get("limit"),
        actual=extensions.get("actual"),
        path=extensions.get("path"),
        retry_after_seconds=extensions.get("retryAfter"),
        request_id=ctx.request_id,
        protection=denial.owner.value,
        graphql=ctx.guarded,
        accept=", ".join(ctx.lines(b"accept")),
        accept_language=", ".join(ctx.lines(b"accept-language")),
        extensions=extensions,
    )


def _first_error(body: RefusalBody | None) -> Mapping[str, Any] | None:
    """The first error of a GraphQL result; None of what is no result with errors."""
    content = body.content if body is not None else None
    errors = content.get("errors") if isinstance(content, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    return first if isinstance(first, dict) and isinstance(first.get("message"), str) else None
