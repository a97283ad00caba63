"""Reads @cost and @listSize in a schema's definitions (IBM GraphQL cost directives specification)."""

from __future__ import annotations

import math
from typing import Any

from graphql import GraphQLArgument, GraphQLField, GraphQLInputField, get_named_type
from graphql.language import ast

from fraiseql_guard.graphql.syntax.values import Value, VariableNode, Word, number, unique


def directive(item: Any, name: str) -> dict[str, Value]:
    """The arguments of a directive on a definition; empty if the definition does not have it."""
    # A schema built in code has no ast_node, and so no directives to read.
    for found in getattr(getattr(item, "ast_node", None), "directives", None) or ():
        if found.name.value == name:
            return {argument.name.value: literal(argument.value) for argument in found.arguments or ()}
    return {}


def weight(item: GraphQLField | GraphQLArgument | GraphQLInputField) -> int | None:
    """The weight by @cost on the definition, else on its type; None without any. A negative weight is 0."""
    return points(directive(item, "cost").get("weight", directive(get_named_type(item.type), "cost").get("weight")))


def points(given: Value) -> int | None:
    """A weight or a size as a whole number, rounded up and at least 0; None if it is no finite number."""
    try:
        found = float(given)
    except (TypeError, ValueError):
        return None
    # Rounded up, so that a weight of 0.5 is not free.
    return max(0, math.ceil(found)) if math.isfinite(found) else None


def names(value: Value) -> tuple[str, ...] | None:
    """A list of names, or a single name as a list; None for any other value."""
    if isinstance(value, str):
        return (value,)
    return tuple(str(name) for name in value) if isinstance(value, list) else None


def literal(node: ast.ValueNode) -> Value:
    """The value of a literal in a schema that was parsed by graphql-core. GivenTwiceError for repeated keys."""
    match node:
        case ast.VariableNode():
            return VariableNode(node.name.value)
        case ast.IntValueNode() | ast.FloatValueNode():
            return number(node.value)
        case ast.StringValueNode() | ast.BooleanValueNode():
            return node.value
        case ast.EnumValueNode():
            return Word(node.value)
        case ast.ListValueNode():
            return [literal(item) for item in node.values]
        case ast.ObjectValueNode():
            return unique((item.name.value, literal(item.value)) for item in node.fields)
    return None
