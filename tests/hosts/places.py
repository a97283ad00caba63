"""Where an app is put: alone, under a prefix, behind a root path, and behind the middleware that belongs outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount

PLACING = "x-place"
ORIGIN = "https://app.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """``put`` makes the app that is served; what it has at /graphql is then found at ``path``."""

    name: str
    put: Callable[[Any], Any]
    prefix: str = ""

    @property
    def path(self) -> str:
        return f"{self.prefix}/graphql"


def alone(app: Any) -> Any:
    return app


def mounted(app: Any) -> Any:
    return Starlette(routes=[Mount("/api", app)])


def behind_root_path(app: Any) -> Any:
    """As ``uvicorn --root-path /api`` serves an app: the proxy has cut the prefix off, and the path has it again."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        more = {"root_path": "/api", "path": f"/api{scope['path']}"} if scope["type"] == "http" else {}
        await app({**scope, **more}, receive, send)

    return served


def in_order(app: Any) -> Any:
    """What belongs outside the guard, in the order that docs/hosts.md recommends."""
    inner = SessionMiddleware(app, secret_key="a key of the sessions")
    return CORSMiddleware(GZipMiddleware(inner, minimum_size=1), allow_origins=[ORIGIN])


PLACES = (
    Place(name="alone", put=alone),
    Place(name="mounted", put=mounted, prefix="/api"),
    Place(name="root_path", put=behind_root_path),
    Place(name="in_order", put=in_order),
)
