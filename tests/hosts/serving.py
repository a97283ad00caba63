"""An app that is served in the loop of a test, from the start of its lifespan to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from fraiseql_guard.testing import make_token, samples_of
from tests.conftest import SECRET
from tests.hosts.places import Place
from tests.hosts.table import Host

LONGEST_SECONDS = 60
ADDRESS = "127.0.0.1"
"""Metrics are for this machine."""


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """The lifespan of an app, as a server leads it."""
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    leading = asyncio.create_task(app(scope, to_app.get, from_app.put))
    leading.add_done_callback(from_app.put_nowait)

    async def tell(kind: str) -> None:
        await to_app.put({"type": f"lifespan.{kind}"})
        answer = await asyncio.wait_for(from_app.get(), LONGEST_SECONDS)
        if answer is leading:
            leading.result()
        assert answer == {"type": f"lifespan.{kind}.complete"}

    await tell("startup")
    yield
    await tell("shutdown")
    await leading


@dataclass(frozen=True, kw_only=True)
class Served:
    """A host in its place, and a client of it."""

    host: Host
    place: Place
    client: httpx.AsyncClient
    headers: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, query: str, *, user: str | None = None, **headers: str) -> httpx.Response:
        """POST a document, with a token of ``user``."""
        token = {} if user is None else {"authorization": f"Bearer {make_token(SECRET, sub=user)}"}
        asked = {**self.headers, **token, **headers}
        return await self.client.post(self.place.path, json={"query": query}, headers=asked)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers={**self.headers, **headers})

    async def counted(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        answer = await self.get(f"{self.place.prefix}/metrics")
        assert answer.status_code == 200, answer.text
        found = samples_of(answer.text).get(name, [])
        return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


def client_of(app: Any) -> httpx.AsyncClient:
    """A client of an app in this process."""
    transport = httpx.ASGITransport(app=app, client=(ADDRESS, 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def refusal(answer: httpx.Response) -> dict[str, Any]:
    """The extensions of a refusal."""
    extensions: dict[str, Any] = answer.json()["errors"][0]["extensions"]
    return extensions
