"""The operator's interface over the HTTP API of a running guard: each method sends the request of its route.

The actor is the name that the token has on the other side. Redirects are not followed: the token is for the given
address alone.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import quote

import httpx

from fraiseql_guard.core.secret import Secret
from fraiseql_guard.operations.operator.interface import (
    Block,
    BlockPage,
    ConflictError,
    Document,
    Done,
    LimitOverride,
    LimitPage,
    NotAppliedError,
    Operator,
    OperatorError,
    Origin,
)
from fraiseql_guard.operations.operator.json_values import from_json
from fraiseql_guard.operations.operator.remote_answers import detail_of, refusal_of, unreached
from fraiseql_guard.operations.operator.route import Arguments, Route
from fraiseql_guard.operations.operator.routes import ROUTES
from fraiseql_guard.stores.documents import digest_of

TIMEOUT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.5
_MOST: Final = 1_000
_RETRIES: Final = 3

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


def _request(
    method: Callable[Concatenate[Any, _Asked], Coroutine[Any, Any, _Answer]],
) -> Callable[Concatenate[RemoteOperator, _Asked], Coroutine[Any, Any, _Answer]]:
    """A method of the Operator, with its signature, that sends the request which the table of routes has for it."""
    signature = inspect.signature(method)

    @wraps(method)
    async def request(self: RemoteOperator, /, *values: _Asked.args, **options: _Asked.kwargs) -> _Answer:
        bound = signature.bind(self, *values, **options)
        bound.apply_defaults()
        answer: _Answer = await self._call(method.__name__, bound.arguments)
        return answer

    return request


class RemoteOperator:
    """An Operator over HTTP. ``url`` is where the API is served, as https://host/admin. Call ``aclose`` at the end.

    ValueError for a URL that cannot be one of an API.
    """

    def __init__(self, url: str, *, token: Secret, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = base_url(url)
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(
            base_url=self._url,
            headers={"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"},
            timeout=timeout_seconds,
        )

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    block = _request(Operator.block)
    lift = _request(Operator.lift)
    lifting = _request(Operator.lifting)
    blocks_page = _request(Operator.blocks_page)
    unlock = _request(Operator.unlock)
    set_limit = _request(Operator.set_limit)
    clear_limit = _request(Operator.clear_limit)
    limits_page = _request(Operator.limits_page)
    allow = _request(Operator.allow)
    disallow = _request(Operator.disallow)
    allowed = _request(Operator.allowed)
    switch = _request(Operator.switch)
    unswitch = _request(Operator.unswitch)
    switches = _request(Operator.switches)
    collect_garbage = _request(Operator.collect_garbage)
    clear_caches = _request(Operator.clear_caches)
    sockets = _request(Operator.sockets)
    close_sockets = _request(Operator.close_sockets)
    drain_sockets = _request(Operator.drain_sockets)
    documents = _request(Operator.documents)
    distrust = _request(Operator.distrust)
    document = _request(Operator.document)
    status = _request(Operator.status)
    limits_advice = _request(Operator.limits_advice)
    offenders = _request(Operator.offenders)
    refusals = _request(Operator.refusals)
    why = _request(Operator.why)
    actions = _request(Operator.actions)
    config = _request(Operator.config)

    # Methods that take more than one request:

    async def blocks(self) -> Sequence[Block]:
        """Operator.blocks."""
        return await _all_of(self.blocks_page)

    async def limits(self) -> Sequence[LimitOverride]:
        """Operator.limits."""
        return await _all_of(self.limits_page)

    async def lift_all(
        self,
        *,
        origin: Origin | None = Origin.AUTOMATIC,
        actor: str = "",  # noqa: ARG002 - the token's name acts
        wait_seconds: float | None = None,
    ) -> Done:
        """Operator.lift_all. The other side waits a moment; after that, this asks it how far the job is."""
        loop = asyncio.get_running_loop()
        until = math.inf if wait_seconds is None else loop.time() + wait_seconds
        # Begin, then look again and again until it is over.
        done, retries = await self._lift_all(origin), _RETRIES
        while done.details.get("running") and loop.time() < until:
            await asyncio.sleep(_LOOK_SECONDS)
            found = await self.lifting(origin=origin)
            if found.state == "stopped":
                if not retries:
                    raise NotAppliedError(found.message)
                retries -= 1
                done = await self._lift_all(origin)  # another worker goes on
                continue
            running = {"running": True, "origin": found.origin} if found.state == "running" else {}
            done = Done(message=found.message, changed=found.lifted > 0, affected=found.lifted, details=running)
        return done

    async def _lift_all(self, origin: Origin | None) -> Done:
        done: Done = await self._call("lift_all", {"origin": origin})
        return done

    async def trust(self, documents: Sequence[Document], *, actor: str = "") -> Done:  # noqa: ARG002
        """Operator.trust, one request for each document, after a look whether none contradicts what is there. If one is
        refused all the same, those before it stay trusted."""
        if len(documents) > 1:
            await self._refuse_conflict(documents)
        done, changed = Done(message="There is no document to trust.", changed=False), 0
        for each in documents:
            done = await self._call("trust", {"documents": [each]})
            changed += done.affected
        if len(documents) > 1:
            done = replace(done, message=f"{len(documents)} documents are trusted.")
        ids = [each.id for each in documents]
        return replace(done, changed=changed > 0, affected=changed, details={"ids": ids})

    async def _refuse_conflict(self, documents: Sequence[Document]) -> None:
        # An id never stands for another text than before.
        known = {each.id: each.query_hash for each in await self.documents()}
        for each in documents:
            if known.get(each.id) not in (None, digest_of(each.text)):
                raise ConflictError(f"the id {each.id[:64]} stands for another text: nothing was added", field="id")

    # How a call becomes a request, and its answer a value:

    async def _call(self, name: str, arguments: Arguments) -> Any:
        """Send the request of a method, and read its answer."""
        # Fields of the path are part of the URL; the others are the body or the query.
        route = _route_of(name, arguments)
        fields, path = route.fields_of(arguments), route.path
        for each in route.in_path:
            path = path.replace(f"{{{each.name}}}", quote(str(fields.pop(each.name)), safe=""))
        carried = {"json": fields} if route.body else {"params": fields}
        return self._read(route, await self._ask(route.method, path, **carried))

    def _read(self, route: Route, answer: Mapping[str, Any]) -> Any:
        if (route.many or route.result in (BlockPage, LimitPage)) and not isinstance(answer.get("items"), list):
            raise OperatorError(f"{self._url} answered what this version does not understand: a list without items")
        try:
            if route.many:
                return [each if route.result is None else from_json(route.result, each) for each in answer["items"]]
            return answer if route.result is None else from_json(route.result, answer)
        except ValueError as error:
            raise OperatorError(f"{self._url} answered what this version does not understand: {error}") from None

    async def _ask(self, method: str, path: str, **carried: Any) -> Mapping[str, Any]:
        try:
            answer = await self._client.request(method, path, **carried)
        except httpx.HTTPError as error:
            why = unreached(error, self._url, timeout_seconds=self._timeout_seconds)
            # Without a connection nothing was sent: nothing has changed.
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                raise NotAppliedError(why) from None
            unknown = "" if method == "GET" else ". Whether it was done is not known: look, and do it again (no harm)"
            raise OperatorError(f"{why}{unknown}") from None
        if not answer.is_success:
            raise refusal_of(answer, self._url)
        return detail_of(answer, self._url)


def _route_of(name: str, arguments: Arguments) -> Route:
    """The first route that calls this method with these arguments. OperatorError if there is none."""
    for route in ROUTES:
        if route.calls == name and all(arguments[each] == value for each, value in route.fixed.items()):
            return route
    raise OperatorError(f"the HTTP API has no request for {name} with {str(dict(arguments))[:200]}")


async def _all_of(page_of: Callable[[int, str], Awaitable[Any]]) -> Sequence[Any]:
    """The items of all pages. A guard of an older version has one page."""
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await page_of(_MOST, cursor)
        found += page.items
        cursor = page.next_cursor
    return found


def base_url(text: str) -> str:
    """The URL without a slash at its end. ValueError unless it is an http(s) URL without credentials, query and
    fragment."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise ValueError(
            f"--url {text[:200]!r} is no URL of an API. Accepted: for example https://api.example.org/admin"
        )
    return str(url).rstrip("/")
