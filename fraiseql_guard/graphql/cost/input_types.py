"""Reads a schema's arguments and input types: which of them may be or hold a size, and their costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from fraiseql_guard.graphql.cost.cost_directives import literal, weight
from fraiseql_guard.graphql.cost.schema_table import ANYTHING, NUMBER, ArgumentRule, with_users
from fraiseql_guard.graphql.syntax.values import Absent, Value

_NO_NUMBERS: Final = frozenset({"String", "ID", "Boolean", "Float"})


def argument_rule(argument: GraphQLArgument | GraphQLInputField) -> ArgumentRule:
    """The rule of an argument or an input field, by its definition."""
    return ArgumentRule(
        kind=_kind(argument),
        # `[Int!]!` is a list behind the outer non-null.
        listed=is_list_type(get_nullable_type(argument.type)),
        default=default(argument),
        points=weight(argument) or 0,
    )


def _kind(argument: GraphQLArgument | GraphQLInputField) -> str:
    named = get_named_type(argument.type)
    if isinstance(named, GraphQLInputObjectType):
        return named.name
    # Enums and the scalars of texts cannot be sizes.
    if not isinstance(named, GraphQLScalarType) or named.name in _NO_NUMBERS:
        return ""
    # A custom scalar (JSON, PositiveInt, BigInt) may be a number or hold one.
    return NUMBER if named.name == NUMBER else ANYTHING


def default(argument: GraphQLArgument | GraphQLInputField) -> Value:
    """The default in the definition of an argument or an input field; ABSENT without one."""
    # graphql-core 3.3 has a literal or a value, 3.2 a value or Undefined.
    given = getattr(argument, "default", None)
    if given is not None and given is not Undefined:
        return literal(given.literal) if given.literal is not None else given.value
    return Absent.ABSENT if argument.default_value is Undefined else argument.default_value


def input_types(schema: GraphQLSchema) -> Mapping[str, Mapping[str, str]]:
    """For each input type the kinds of its fields that can be or hold a size."""
    return {
        name: {
            key: kind for key, item in fields.items() if (kind := _kind(item)) and not _is_list_of_numbers(item, kind)
        }
        for name, fields in _inputs(schema).items()
    }


def _is_list_of_numbers(item: GraphQLInputField, kind: str) -> bool:
    # A list of numbers holds ids or the like, never a size.
    return kind == NUMBER and is_list_type(get_nullable_type(item.type))


def weighed_inputs(schema: GraphQLSchema) -> Mapping[str, Mapping[str, ArgumentRule]]:
    """The fields of the input types with @cost at any depth, by type."""
    inputs = _inputs(schema)
    direct = {name for name, fields in inputs.items() if any(map(weight, fields.values()))}
    # Types that use weighed ones are weighed themselves.
    weighed = with_users(direct, {name: _types_in(fields) for name, fields in inputs.items()})
    return {name: _argument_rules(fields) for name, fields in inputs.items() if name in weighed}


def _types_in(fields: Mapping[str, GraphQLInputField]) -> Iterable[str]:
    return [get_named_type(item.type).name for item in fields.values()]


def _argument_rules(fields: Mapping[str, GraphQLInputField]) -> Mapping[str, ArgumentRule]:
    return {name: argument_rule(item) for name, item in fields.items()}


def _inputs(schema: GraphQLSchema) -> dict[str, dict[str, GraphQLInputField]]:
    return {name: kind.fields for name, kind in schema.type_map.items() if isinstance(kind, GraphQLInputObjectType)}
