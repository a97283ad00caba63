"""Reads the structure that an app shows: the apps that it wraps, its middlewares, its schema."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Scope

if TYPE_CHECKING:
    from graphql import GraphQLSchema


def chain(app: Any) -> Iterator[Any]:
    """An app and the apps that it wraps, as far as it shows them in the customary attribute ``app``."""
    for _ in range(50):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)


def schema_of(app: Any) -> GraphQLSchema | None:
    """The schema that a FraiseQL app shows in its state, if this is one."""
    schema = getattr(getattr(app, "state", None), "graphql_schema", None)
    if schema is None:
        return None
    # With an app that shows something there: a guard without a schema needs none of graphql-core.
    from graphql import GraphQLSchema

    return schema if isinstance(schema, GraphQLSchema) else None


def middleware_names(app: Any) -> Iterator[str]:
    """The names of the middlewares inside an app: those in place, those that Starlette has yet to build, and those that
    Litestar and Django build from their settings."""
    for each in chain(app):
        yield type(each).__name__
        yield from (cls.__name__ for cls in declared(each))
        module = type(each).__module__
        if module.startswith("litestar."):
            yield from (name for attribute, name in _OF_LITESTAR.items() if getattr(each, attribute, None))
        elif module.startswith("django."):
            settings = getattr(sys.modules.get("django.conf"), "settings", None)
            yield from (str(path).rpartition(".")[2] for path in getattr(settings, "MIDDLEWARE", ()))


_OF_LITESTAR: Final = {"compression_config": "CompressionMiddleware", "cors_config": "CORSMiddleware"}


def made_for_one_route(app: Any, scope: Scope) -> bool:
    """Whether a guard around ``app`` is in a list of Litestar's middlewares, which makes another for every route."""
    module = getattr(app, "__module__", None) or type(app).__module__
    return "litestar_app" in scope and str(module).startswith("litestar.")


def declared(app: Any) -> Iterator[type]:
    """Middleware classes that a Starlette app will build its own stack from."""
    for each in getattr(app, "user_middleware", ()):
        if isinstance(each.cls, type):
            yield each.cls
