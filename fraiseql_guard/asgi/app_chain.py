"""What an app shows of what it is made of: the apps that it wraps, its middlewares, its schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

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
    from graphql import (
        GraphQLSchema,  # with an app that shows something there: a guard without a schema needs none of it
    )

    return schema if isinstance(schema, GraphQLSchema) else None


def declared(app: Any) -> Iterator[type]:
    """Middleware classes that a Starlette app will build its own stack from."""
    for each in getattr(app, "user_middleware", ()):
        if isinstance(each.cls, type):
            yield each.cls
