"""Notices GraphQL on a path that no setting covers, and warns of it at the first request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import parse_qs

import orjson
from starlette.types import Message, Receive, Scope, Send

from fraiseql_guard.asgi.mounts import MountPrefixes
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import Protection

_MOST_WARNINGS: Final = 10
_LOOK_BYTES: Final = 65_536
_LONGEST_SHOWN: Final = 100
_FAILED: Final = 400
_PROTOCOLS: Final = frozenset({"graphql-transport-ws", "graphql-ws"})
_JSON: Final = (b"application/json", b"application/graphql-response+json")
_DOCUMENT_TYPE: Final = b"application/graphql"
_STREAMS: Final = (b"text/event-stream", b"multipart/mixed")
_FIELD: Final = re.compile(rb'"query"\s*:\s*"((?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*+)')
_PERSISTED: Final = re.compile(rb'"persistedQuery"\s*:\s*\{')
_DOCUMENT: Final = re.compile(r"[\s,]*(#|\{|(query|mutation|subscription|fragment)\b[^{]*[({@$])")
"""The beginning of an executable document. The ``query`` of a search form has other words."""
_RESULT: Final = re.compile(rb'\s*+\[?+\s*+\{\s*+"(data|errors|extensions)"\s*+:')
"""The beginning of a GraphQL response (GraphQL over HTTP)."""


class UncoveredGraphQL:
    """Watches requests on uncovered paths, and warns of the first ten paths that serve GraphQL.

    A path serves GraphQL if a request carries a document as GraphQL clients send one (JSON with a ``query``, a query
    string, the subprotocol of a WebSocket), and the answer is a GraphQL response. ``warn`` gets a sentence. An inner
    guard covers its paths, if it has the ``needed`` protections.
    """

    def __init__(self, warn: Callable[[str], None], needed: frozenset[Protection] = frozenset()) -> None:
        self._warn = warn
        self._needed = needed
        self._warned: set[str] = set()
        self._mounts = MountPrefixes()

    @property
    def looking(self) -> bool:
        """Whether requests are still watched: until the tenth path was warned of."""
        return len(self._warned) < _MOST_WARNINGS

    def watch(self, scope: Scope, receive: Receive, send: Send, ctx: RequestContext) -> tuple[Receive, Send]:
        """``receive`` and ``send`` of one request, watched if it may be GraphQL."""
        asked = _Asked(scope)
        if asked.by_body is None and not asked.found:
            return receive, send
        # The path that the client asked for is read now, because apps may change a scope.
        note = partial(self._note, scope, str(scope["path"]), ctx)
        return asked.watched(receive), _watched(send, asked, note)

    def _note(self, scope: Scope, asked_path: str, ctx: RequestContext) -> None:
        path = (self._mounts.route_of(scope) or asked_path)[:_LONGEST_SHOWN]
        covered_inside = ctx.covered is not None and self._needed <= ctx.covered
        if path in self._warned or not self.looking or covered_inside:
            return
        self._warned.add(path)
        self._warn(
            f"{path} serves GraphQL and is not guarded: queries are not measured there and need no token. Name it in "
            f"{name_of('graphql_paths')}, beside the other paths"
        )


class _Asked:
    """Whether a request asks for GraphQL: ``found`` says so; ``by_body`` is the function that finds out from the body's
    first bytes, None if the head has decided."""

    __slots__ = ("by_body", "found")

    def __init__(self, scope: Scope) -> None:
        self.by_body: Callable[[bytes], bool] | None = None
        if scope["type"] == "websocket":
            self.found = not _PROTOCOLS.isdisjoint(scope.get("subprotocols") or ())
            return
        self.found = _in_query_string(scope.get("query_string") or b"")
        if scope["method"] == "POST" and not self.found:
            media_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"").lower()
            if media_type.startswith(_JSON):
                self.by_body = _in_json
            elif media_type.startswith(_DOCUMENT_TYPE):
                self.by_body = _is_document

    def watched(self, receive: Receive) -> Receive:
        """A ``receive`` that looks at the first bytes of the body."""
        if self.by_body is None:
            return receive

        async def watched_receive() -> Message:
            message = await receive()
            if self.by_body is not None and (beginning := _beginning(message)):
                self.found, self.by_body = self.by_body(beginning), None
            return message

        return watched_receive


def _beginning(message: object) -> bytes:
    """The first bytes of the body in a message; b"" for a malformed message, which the reader of the body refuses."""
    body = message.get("body") if isinstance(message, Mapping) else None
    return bytes(body[:_LOOK_BYTES]) if isinstance(body, bytes | bytearray) else b""


def _watched(send: Send, asked: _Asked, on_graphql: Callable[[], None]) -> Send:
    """A ``send`` that looks at the beginning of the answer, until it is clear whether that is GraphQL."""
    looks = True

    async def watched_send(message: Message) -> None:
        nonlocal looks
        if looks and (speaks := _speaks_graphql(message)) is not None:
            looks = False
            if asked.found and speaks:
                on_graphql()
        await send(message)

    return watched_send


def _speaks_graphql(message: Message) -> bool | None:
    """Whether an answer to a GraphQL request is a GraphQL response; None if a later message decides."""
    kind = message["type"]
    if kind == "websocket.accept":
        return True
    if kind == "http.response.start":
        headers = dict(message.get("headers", ()))
        unreadable = headers.get(b"content-type", b"").startswith(_STREAMS) or b"content-encoding" in headers
        return bool(message["status"] < _FAILED) if unreadable else None  # unreadable, so that the status decides
    body = message.get("body")
    return _RESULT.match(body[:100]) is not None if body else None


def _in_query_string(query: bytes) -> bool:
    if b"query=" not in query:
        return False
    try:
        texts = parse_qs(query[:_LOOK_BYTES].decode("latin-1"), max_num_fields=100).get("query", ())
    except ValueError:
        return False
    return any(_DOCUMENT.match(text) for text in texts)


def _in_json(body: bytes) -> bool:
    """Whether the beginning of a JSON text carries a document, or a document's hash."""
    if _PERSISTED.search(body):
        return True
    found = _FIELD.search(body)
    if found is None:
        return False
    try:
        document = orjson.loads(b'"%b"' % found[1])
    except ValueError:
        return False
    return _DOCUMENT.match(document) is not None


def _is_document(body: bytes) -> bool:
    return _DOCUMENT.match(body.decode("utf-8", "replace")) is not None
