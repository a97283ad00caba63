"""Apps of five frameworks with the same routes: /graphql, and below /private data, a file and a socket."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECRET_TEXT = "what only a caller with a token may see"
PRIVATE = ("/graphql", "/private/data", "/private/deep/er/data")
FILE = "/private/secret.txt"


def starlette_app(files: Path) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route, WebSocketRoute
    from starlette.staticfiles import StaticFiles

    async def secret(request: Any) -> Any:
        return PlainTextResponse(SECRET_TEXT)

    async def socket(websocket: Any) -> None:
        await websocket.accept()
        await websocket.close()

    methods = ["GET", "POST"]
    return Starlette(
        routes=[
            Route("/graphql", secret, methods=methods),
            Route("/private/data", secret, methods=methods),
            Route("/private/{rest:path}/data", secret, methods=methods),
            WebSocketRoute("/graphql", socket),
            WebSocketRoute("/private/data", socket),
            Mount("/private/deep/er", routes=[Route("/data", secret, methods=methods)]),
            Mount("/", StaticFiles(directory=files)),
        ]
    )


def fastapi_app(files: Path) -> Any:
    from fastapi import APIRouter, FastAPI, WebSocket
    from fastapi.responses import PlainTextResponse
    from fastapi.staticfiles import StaticFiles

    app, router = FastAPI(), APIRouter(prefix="/private")

    async def secret() -> PlainTextResponse:
        return PlainTextResponse(SECRET_TEXT)

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    app.api_route("/graphql", methods=["GET", "POST"])(secret)
    router.api_route("/data", methods=["GET", "POST"])(secret)
    router.api_route("/{name}/er/data", methods=["GET", "POST"])(secret)
    app.include_router(router)
    app.websocket("/graphql")(socket)
    app.websocket("/private/data")(socket)
    app.mount("/", StaticFiles(directory=files))
    return app


def litestar_app(files: Path) -> Any:
    from litestar import Litestar, MediaType, WebSocket, route, websocket
    from litestar.static_files import create_static_files_router

    @route(list(PRIVATE), http_method=["GET", "POST"], media_type=MediaType.TEXT, status_code=200)
    async def secret() -> str:
        return SECRET_TEXT

    @websocket(["/graphql", "/private/data"])
    async def socket(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.close()

    return Litestar([secret, socket, create_static_files_router(path="/", directories=[files])], openapi_config=None)


def quart_app(files: Path) -> Any:
    from quart import Quart, websocket

    app = Quart("routers", static_folder=str(files), static_url_path="/")

    async def secret(**_: str) -> str:
        return SECRET_TEXT

    for number, path in enumerate((*PRIVATE, "/private/<path:rest>/data")):
        app.add_url_rule(path, f"secret{number}", secret, methods=["GET", "POST"])

    async def socket() -> None:
        await websocket.accept()

    for number, path in enumerate(("/graphql", "/private/data")):
        app.add_websocket(path, f"socket{number}", socket)
    return app


def configure_django() -> None:
    """What a process may do once."""
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF="tests_django_urls",
            SECRET_KEY="not a secret",
            MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
            USE_TZ=True,
        )
        import django

        django.setup()


def django_app(files: Path) -> Any:
    configure_django()
    from django.core.handlers.asgi import ASGIHandler
    from django.http import HttpResponse
    from django.urls import path, re_path

    async def secret(request: Any, **_: str) -> Any:
        return HttpResponse(SECRET_TEXT)

    urls = types.ModuleType("tests_django_urls")
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("graphql", secret),
        path("private/data", secret),
        re_path(r"^private/(?P<rest>.+)/data$", secret),
    ]
    sys.modules["tests_django_urls"] = urls
    return ASGIHandler()


ROUTERS: dict[str, Callable[[Path], Any]] = {
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "litestar": litestar_app,
    "quart": quart_app,
    "django": django_app,
}
