"""The app's schema with subscriptions that can be closed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from inspect import signature
from typing import Any, Final

from fraiseql.gql.builders.registry import SchemaRegistry
from fraiseql.utils.naming import snake_to_camel
from graphql import GraphQLField, GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema

SOURCE: Final = "fraiseql_guard.source"
"""Key of the context under which a subscription's own generator is found once it has been made."""


def closable(schema: GraphQLSchema) -> GraphQLSchema:
    """A copy of a schema whose subscriptions are the functions of the app.

    FraiseQL puts a generator around each of them. If that one is closed while it waits at its ``yield``, the app's
    generator is left to the garbage collector, and with it the connection or the place in a list that it holds.
    """
    kind = schema.subscription_type
    if kind is None:
        raise ValueError("the schema has no subscriptions")
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
    """The function as graphql-core calls it: with a root value, and with arguments as the schema spells them."""
    parameters = _spellings(function)

    def begin(_root: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> AsyncGenerator[Any, None]:
        return function(info, **{parameters.get(name, name): value for name, value in arguments.items()})  # type: ignore[no-any-return]

    return begin


def _spellings(function: Callable[..., Any]) -> Mapping[str, str]:
    """Parameters by their names in the schema: in camelCase or not, and ``id`` for ``id_``."""
    names = tuple(signature(function).parameters)
    shorter = {name.rstrip("_"): name for name in names}
    return {**shorter, **{snake_to_camel(name): name for name in names}, **{name: name for name in names}}
