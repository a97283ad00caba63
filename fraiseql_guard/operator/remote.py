"""The operator's interface through the HTTP API of a running guard: each method is one request.

The token's name on the other side is the actor. Redirects are not followed: the token is for the named address alone.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx

from fraiseql_guard.operator.interface import (
    BLOCK_SECONDS,
    Action,
    Allowed,
    Block,
    BlockPage,
    ConflictError,
    Document,
    Done,
    Lifting,
    LimitOverride,
    LimitPage,
    NotAppliedError,
    Offender,
    OperatorError,
    Origin,
    Refusal,
    Status,
    Switch,
    Target,
)
from fraiseql_guard.operator.remote_answers import detail_of, refusal_of, unreached
from fraiseql_guard.operator.shapes import revived
from fraiseql_guard.secret import Secret
from fraiseql_guard.stores.documents import digest_of

TIMEOUT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.5
_MOST: Final = 1_000
_RETRIES: Final = 3

_Value = TypeVar("_Value")
_SWITCHES: Final[Mapping[str, tuple[str, str, str | None]]] = {
    "mode": ("mode", "protection", "mode"),
    "setting": ("settings", "variable", "value"),
    "document": ("document-blocks", "document", None),
    "operation": ("operation-blocks", "operation", None),
}
"""By kind of switch: its path, and the fields that carry name and value."""


class RemoteOperator:
    """An Operator at a distance. ``url`` is where the API is served, as https://host/admin. ``aclose`` it at the end.

    Raises ValueError for a URL that is none.
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

    async def block(
        self,
        target: Target,
        *,
        duration_seconds: float = BLOCK_SECONDS,
        reason: str = "",
        force: bool = False,
        actor: str = "",  # noqa: ARG002 - the token's name acts
        caller: str | None = None,  # noqa: ARG002 - the other side sees it
    ) -> Done:
        """Operator.block."""
        options = {"duration_seconds": duration_seconds, "reason": reason, "force": force}
        return await self._do("POST", "blocks", {**_who(target), **options})

    async def lift(self, target: Target, *, actor: str = "") -> Done:  # noqa: ARG002
        """Operator.lift."""
        return await self._do("DELETE", "blocks", query=_who(target))

    async def lift_all(
        self,
        *,
        origin: Origin | None = Origin.AUTOMATIC,
        actor: str = "",  # noqa: ARG002
        wait_seconds: float | None = None,
    ) -> Done:
        """Operator.lift_all. The other side waits a moment; then it is asked how far it is."""
        loop = asyncio.get_running_loop()
        until = math.inf if wait_seconds is None else loop.time() + wait_seconds
        done, retries = await self._do("POST", "lift", {"origin": _origin(origin)}), _RETRIES
        while done.details.get("running") and loop.time() < until:
            await asyncio.sleep(_LOOK_SECONDS)
            found = await self.lifting(origin=origin)
            if found.state == "stopped":
                if not retries:
                    raise NotAppliedError(found.message)
                retries -= 1
                done = await self._do("POST", "lift", {"origin": _origin(origin)})  # another worker goes on
                continue
            running = {"running": True, "origin": found.origin} if found.state == "running" else {}
            done = Done(message=found.message, changed=found.lifted > 0, affected=found.lifted, details=running)
        return done

    async def lifting(self, *, origin: Origin | None = Origin.AUTOMATIC) -> Lifting:
        """Operator.lifting."""
        return self._read(Lifting, await self._ask("GET", "lift", query={"origin": _origin(origin)}))

    async def blocks(self) -> Sequence[Block]:
        """Operator.blocks."""
        return await self._pages(Block, "blocks")

    async def blocks_page(self, count: int = 100, cursor: str = "", *, logins: bool = False) -> BlockPage:
        """Operator.blocks_page."""
        return self._read(BlockPage, await self._page("lockouts" if logins else "blocks", count, cursor))

    async def unlock(self, identifier: str, *, ip_address: str | None = None, actor: str = "") -> Done:  # noqa: ARG002
        """Operator.unlock."""
        at = {} if ip_address is None else {"ip_address": ip_address}
        return await self._do("DELETE", "lockouts", query={"identifier": identifier, **at})

    async def set_limit(
        self,
        target: Target,
        limit: str,
        *,
        duration_seconds: float = BLOCK_SECONDS,
        actor: str = "",  # noqa: ARG002
    ) -> Done:
        """Operator.set_limit."""
        body = {**_who(target), "limit": limit, "duration_seconds": duration_seconds}
        return await self._do("POST", "rate-limits", body)

    async def clear_limit(self, target: Target, *, actor: str = "") -> Done:  # noqa: ARG002
        """Operator.clear_limit."""
        return await self._do("DELETE", "rate-limits", query=_who(target))

    async def limits(self) -> Sequence[LimitOverride]:
        """Operator.limits."""
        return await self._pages(LimitOverride, "rate-limits")

    async def limits_page(
        self, count: int = 100, cursor: str = "", *, user_id: str | None = None, ip_address: str | None = None
    ) -> LimitPage:
        """Operator.limits_page."""
        asked = {"user_id": user_id, "ip_address": ip_address}
        return self._read(LimitPage, await self._page("rate-limits", count, cursor, **asked))

    async def allow(
        self,
        ip_address: str,
        *,
        reason: str = "",
        duration_seconds: float | None = None,
        actor: str = "",  # noqa: ARG002
    ) -> Done:
        """Operator.allow."""
        lasts = {} if duration_seconds is None else {"duration_seconds": duration_seconds}
        return await self._do("POST", "allow-list", {"ip_address": ip_address, "reason": reason, **lasts})

    async def disallow(self, ip_address: str, *, actor: str = "") -> Done:  # noqa: ARG002
        """Operator.disallow."""
        return await self._do("DELETE", "allow-list", query={"ip_address": ip_address})

    async def allowed(self) -> Sequence[Allowed]:
        """Operator.allowed."""
        return await self._list(Allowed, "allow-list")

    async def switch(
        self,
        kind: str,
        name: str,
        value: str = "",
        *,
        duration_seconds: float,
        reason: str = "",
        actor: str = "",  # noqa: ARG002
    ) -> Done:
        """Operator.switch."""
        path, named, valued = _SWITCHES[kind]
        body = {named: name, "duration_seconds": duration_seconds, "reason": reason}
        return await self._do("PUT", path, body if valued is None else {**body, valued: value})

    async def unswitch(self, kind: str, name: str, *, actor: str = "") -> Done:  # noqa: ARG002
        """Operator.unswitch."""
        path, named, _ = _SWITCHES[kind]
        return await self._do("DELETE", path, query={named: name})

    async def switches(self) -> Sequence[Switch]:
        """Operator.switches."""
        return await self._list(Switch, "switches")

    async def collect_garbage(self, *, actor: str = "") -> Done:  # noqa: ARG002
        """Operator.collect_garbage."""
        return await self._do("POST", "gc")

    async def clear_caches(self, *, actor: str = "") -> Done:  # noqa: ARG002
        """Operator.clear_caches."""
        return await self._do("POST", "caches/clear")

    async def documents(self) -> Sequence[Document]:
        """Operator.documents."""
        return await self._list(Document, "documents")

    async def trust(self, documents: Sequence[Document], *, actor: str = "") -> Done:  # noqa: ARG002
        """Operator.trust, one by one, after a look whether they can be: what is refused all the same ends it, and
        those before it stay."""
        if len(documents) > 1:
            await self._refuse_conflict(documents)
        done, changed = Done(message="There is no document to trust.", changed=False), 0
        for each in documents:
            given = {"id": each.id, "name": each.name, "type": each.type}
            body = {"text": each.text, **{name: value for name, value in given.items() if value}}
            done = await self._do("POST", "documents", body)
            changed += done.affected
        if len(documents) > 1:
            done = replace(done, message=f"{len(documents)} documents are trusted.")
        ids = [each.id for each in documents]
        return replace(done, changed=changed > 0, affected=changed, details={"ids": ids})

    async def _refuse_conflict(self, documents: Sequence[Document]) -> None:
        known = {each.id: each.query_hash for each in await self.documents()}
        for each in documents:
            if known.get(each.id) not in (None, digest_of(each.text)):
                raise ConflictError(f"the id {each.id[:64]} stands for another text: nothing was added", field="id")

    async def distrust(self, id_: str, *, actor: str = "") -> Done:  # noqa: ARG002
        """Operator.distrust."""
        return await self._do("DELETE", "documents", query={"id": id_})

    async def document(self, query_hash: str) -> Document:
        """Operator.document."""
        return self._read(Document, await self._ask("GET", f"documents/{quote(query_hash, safe='')}"))

    async def status(self) -> Status:
        """Operator.status."""
        return self._read(Status, await self._ask("GET", "status"))

    async def offenders(self, count: int = 20) -> Sequence[Offender]:
        """Operator.offenders."""
        return await self._list(Offender, "offenders", count=count)

    async def refusals(self, count: int = 50) -> Sequence[Refusal]:
        """Operator.refusals."""
        return await self._list(Refusal, "refusals", count=count)

    async def why(self, request_id: str) -> Refusal:
        """Operator.why."""
        return self._read(Refusal, await self._ask("GET", f"refusals/{quote(request_id, safe='')}"))

    async def actions(self, count: int = 50) -> Sequence[Action]:
        """Operator.actions."""
        return await self._list(Action, "actions", count=count)

    async def config(self) -> Sequence[Mapping[str, Any]]:
        """Operator.config."""
        return await self._items("config")

    async def _do(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: Mapping[str, str] | None = None
    ) -> Done:
        return self._read(Done, await self._ask(method, path, body, query=query))

    async def _list(self, kind: type[_Value], path: str, **query: Any) -> Sequence[_Value]:
        return [self._read(kind, each) for each in await self._items(path, **query)]

    async def _items(self, path: str, **query: Any) -> Sequence[Any]:
        return self._items_of(await self._ask("GET", path, query=query))

    def _items_of(self, answer: Any) -> Sequence[Any]:
        items = answer.get("items")
        if not isinstance(items, list):
            raise OperatorError(f"{self._url} answered what this version does not understand: a list without items")
        return items

    async def _page(self, path: str, count: int, cursor: str, **asked: str | None) -> Any:
        query = {"limit": count, "cursor": cursor or None, **asked}
        return await self._ask("GET", path, query={name: value for name, value in query.items() if value is not None})

    async def _pages(self, kind: type[_Value], path: str) -> Sequence[_Value]:
        """All items of a list. A guard of an older version has one page."""
        found: list[_Value] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self._page(path, _MOST, cursor)
            found += [self._read(kind, each) for each in self._items_of(page)]
            cursor = page.get("next_cursor")
        return found

    def _read(self, kind: type[_Value], value: Any) -> _Value:
        try:
            return revived(kind, value)
        except ValueError as error:
            raise OperatorError(f"{self._url} answered what this version does not understand: {error}") from None

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            answer = await self._client.request(method, path, json=body, params=query)
        except httpx.HTTPError as error:
            why = unreached(error, self._url, timeout_seconds=self._timeout_seconds)
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                raise NotAppliedError(why) from None
            unknown = "" if method == "GET" else ". Whether it was done is not known: look, and do it again (no harm)"
            raise OperatorError(f"{why}{unknown}") from None
        if not answer.is_success:
            raise refusal_of(answer, self._url)
        return detail_of(answer, self._url)


def base_url(text: str) -> str:
    """The URL without a slash at its end; ValueError if nobody can be asked there."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise ValueError(
            f"--url {text[:200]!r} is no URL of an API. Accepted: for example https://api.example.org/admin"
        )
    return str(url).rstrip("/")


def _origin(origin: Origin | None) -> str:
    return origin.value if origin else "all"


def _who(target: Target) -> dict[str, str]:
    fields = ("user_id", "ip_address", "issuer", "tenant")
    return {name: value for name in fields if (value := getattr(target, name)) is not None}
