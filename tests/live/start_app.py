"""A Starlette app that adds the guard by add_middleware: what a server makes of a start that goes wrong."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from fraiseql_guard import Guard, QueryLimitMiddleware, RateLimitMiddleware


async def _page(request: Request) -> JSONResponse:
    return JSONResponse({"data": {"reached": True}})


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def _app(*middlewares: type) -> Starlette:
    made = Starlette(
        routes=[
            Route("/graphql", _page, methods=["GET", "POST"]),
            Route("/page", _page),
            WebSocketRoute("/ws", _socket),
        ]
    )
    for each in middlewares:
        made.add_middleware(each)
    return made


app = _app(Guard)
stacked = _app(RateLimitMiddleware, QueryLimitMiddleware)


def _with_options(middleware: type, **options: object) -> Starlette:
    made = _app()
    made.add_middleware(middleware, **options)
    return made


contradicting = _with_options(RateLimitMiddleware, rate_limit_burst=1)
contradicting.add_middleware(QueryLimitMiddleware, rate_limit_burst=2)
without_schema = _with_options(Guard, schema="nowhere.graphql")
