"""The app's schema with subscriptions that can be closed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from inspect import signature
from typing import Any, Final

from fraiseql.gql.builders.registry import SchemaRegistry
from fraiseql.utils.naming import snake_to_camel
from graphql import GraphQLField, GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema

SOURCE: Final = "fraiseql_guard.source"
"""Key in the context of the app's own generator, once a subscription has made it."""


def closable(schema: GraphQLSchema) -> GraphQLSchema:
    """A copy of a schema whose subscriptions call the app's functions directly.

    FraiseQL puts a generator around each function's. If the outer generator is closed while it waits at its ``yield``,
    the app's generator, and the connection that it may hold, are left to the garbage collector.
    """
    kind = schema.subscription_type
    if kind is None:
        return schema
    functions = {function.__name__: function for function in SchemaRegistry.get_instance().subscriptions.values()}
    own = {spelling: function for name, function in functions.items() for spelling in (name, snake_to_camel(name))}
    fields = {name: _closable(field, own.get(name)) for name, field in kind.fields.items()}
    subscription = GraphQLObjectType(kind.name, fields, description=kind.description)
    members: dict[str, Any] = {**schema.to_kwargs(), "types": _others(schema), "subscription": subscription}
    return GraphQLSchema(**members)


def _others(schema: GraphQLSchema) -> tuple[Any, ...]:
    return tuple(each for each in schema.type_map.values() if each is not schema.subscription_type)


def _closable(field: GraphQLField, function: Callable[..., Any] | None) -> GraphQLField:
    begin = field.subscribe if function is None else _adapted(function)

    def subscribe(root: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        source = begin(root, info, **arguments)  # type: ignore[misc]
        info.context[SOURCE] = source
        return source

    members: dict[str, Any] = {**field.to_kwargs(), "subscribe": subscribe}
    return GraphQLField(**members)


def _adapted(function: Callable[..., Any]) -> Callable[..., AsyncGenerator[Any, None]]:
    """The app's function in the form that graphql-core calls: with a root value, and the schema's argument names."""
    parameters = _spellings(function)

    def begin(_root: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> AsyncGenerator[Any, None]:
        return function(info, **{parameters.get(name, name): value for name, value in arguments.items()})  # type: ignore[no-any-return]

    return begin


def _spellings(function: Callable[..., Any]) -> Mapping[str, str]:
    """The parameters of a function by their possible names in the schema: as they are, in camelCase, ``id`` for
    ``id_``."""
    names = tuple(signature(function).parameters)
    shorter = {name.rstrip("_"): name for name in names}
    return {**shorter, **{snake_to_camel(name): name for name in names}, **{name: name for name in names}}
