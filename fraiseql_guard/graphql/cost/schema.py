"""Reads a schema once into plain tables of everything that costs and limits need.

``@cost`` and ``@listSize`` are read from the definitions (IBM GraphQL cost directives specification). A schema that was
built in code has no definitions, so that only its types count.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)

from fraiseql_guard.core.measured import OperationKind
from fraiseql_guard.graphql.cost.cost_directives import directive, names, points, weight
from fraiseql_guard.graphql.cost.input_types import argument_rule, default, input_types, weighed_inputs
from fraiseql_guard.graphql.cost.schema_sources import read_schema
from fraiseql_guard.graphql.cost.schema_table import FieldRule, SchemaSource, SchemaTable


def load_schema(source: SchemaSource | None) -> SchemaTable | None:
    """The tables of a schema; None for None. ``source`` is a GraphQLSchema (of graphql-core or Ariadne), an object that
    holds one (strawberry.Schema, the ASGI app of Strawberry or Ariadne), SDL text, the path of an SDL file, or a
    callable that returns a schema.

    SettingsError if it cannot be loaded: without a schema the limits would silently be others.
    """
    return None if source is None else _table(read_schema(source))


def _table(schema: GraphQLSchema) -> SchemaTable:
    roots: dict[OperationKind, GraphQLObjectType | None] = {
        "query": schema.query_type,
        "mutation": schema.mutation_type,
        "subscription": schema.subscription_type,
    }
    possible, fraiseql = _possible_types(schema), _is_fraiseql(schema)
    return SchemaTable(
        roots={kind: root.name for kind, root in roots.items() if root},
        fields=_field_rules(schema),
        possible=possible,
        members={name: frozenset(objects) for name, objects in possible.items()},
        inputs=weighed_inputs(schema),
        input_types=input_types(schema),
        nested_switches=not fraiseql,
        authoritative=_is_executable(schema) and not fraiseql,
        of_fraiseql=fraiseql,
    )


def _field_rules(schema: GraphQLSchema) -> Mapping[str, Mapping[str, FieldRule]]:
    """The rules of all fields, by type and field. Equal rules are one object."""
    found: dict[str, Mapping[str, FieldRule]] = {}
    known: dict[str, FieldRule] = {}
    one_needed = _one_needed_by_default(schema)
    for name, kind in schema.type_map.items():
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            rules = {key: _field_rule(item, one_needed) for key, item in kind.fields.items()}
            found[name] = {key: known.setdefault(repr(rule), rule) for key, rule in rules.items()}
    return found


def _possible_types(schema: GraphQLSchema) -> Mapping[str, tuple[str, ...]]:
    """The possible object types of every composite type, in the order of the schema."""
    found: dict[str, tuple[str, ...]] = {}
    for name, kind in schema.type_map.items():
        if isinstance(kind, GraphQLObjectType):
            found[name] = (name,)
        elif isinstance(kind, GraphQLInterfaceType | GraphQLUnionType):
            found[name] = tuple(item.name for item in schema.get_possible_types(kind))
    return found


def _is_fraiseql(schema: GraphQLSchema) -> bool:
    """Whether a schema is FraiseQL's, which lets PostgreSQL build everything below a root field. It ignores @skip and
    @include there, and does not validate all documents that it answers."""
    roots = [root for root in (schema.query_type, schema.mutation_type) if root]
    resolvers = [item.resolve for root in roots for item in root.fields.values()]
    return any(getattr(each, "__module__", "").startswith("fraiseql.") for each in resolvers)


def _is_executable(schema: GraphQLSchema) -> bool:
    """Whether a schema has resolvers, as that of a running app does. A parsed schema may be older than the app."""
    own = [kind for name, kind in schema.type_map.items() if not name.startswith("__")]
    return any(_holds_code(kind) for kind in own)


def _holds_code(kind: GraphQLNamedType) -> bool:
    """Whether the fields of a type are resolved, or its objects told apart, by a function."""
    if isinstance(kind, GraphQLInterfaceType | GraphQLUnionType):
        return kind.resolve_type is not None
    if isinstance(kind, GraphQLObjectType):
        resolved = any(item.resolve or item.subscribe for item in kind.fields.values())
        return resolved or kind.is_type_of is not None
    return False


def _one_needed_by_default(schema: GraphQLSchema) -> bool:
    """The default of requireOneSlicingArgument in the schema's definition of @listSize. False if the schema does not
    define the argument or the directive, although the specification says true: such hosts do not require it."""
    definition = schema.get_directive("listSize")
    argument = definition.args.get("requireOneSlicingArgument") if definition else None
    return argument is not None and default(argument) is True


def _field_rule(item: GraphQLField, one_needed: bool) -> FieldRule:
    named = get_named_type(item.type)
    composite = is_composite_type(named)
    many = is_list_type(get_nullable_type(item.type))
    sizes = directive(item, "listSize")
    slicing = names(sizes.get("slicingArguments"))
    return FieldRule(
        returns=named.name if composite else None,
        many=many and composite,
        listed=many,
        arguments={name: argument_rule(argument) for name, argument in item.args.items()},
        weight=weight(item),
        assumed_size=points(sizes.get("assumedSize")),
        slicing_arguments=slicing,
        sized_fields=frozenset(names(sizes.get("sizedFields")) or ()),
        one_needed=bool(slicing) and sizes.get("requireOneSlicingArgument", one_needed) is True,
    )
