"""The app that all variants guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

PATH = "/limited"


async def endpoint(request: Request) -> Response:  # a request in the signature is what some peers ask for
    """The least that an endpoint does."""
    return PlainTextResponse("hello")


def plain(function: Callable[..., Any] = endpoint, **options: Any) -> FastAPI:
    """The app with a route of Starlette's: the cheapest, so that what a limiter adds is seen best."""
    app = FastAPI(openapi_url=None, **options)
    app.add_route(PATH, function)
    return app


def client(request: Request) -> str:
    """The key of a caller, for peers that ask for one."""
    return request.client.host if request.client else ""
