"""Loads a schema from its sources: objects of GraphQL libraries, SDL text, files, and callables."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from graphql import (
    DefinitionNode,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    ObjectTypeDefinitionNode,
    ObjectTypeExtensionNode,
    build_ast_schema,
    parse,
)

from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.graphql.cost.schema_table import SchemaSource


def read_schema(source: SchemaSource) -> GraphQLSchema:
    """Load the schema of a source. SettingsError if it has no schema, or one without a query type."""
    schema = _schema_of(source)
    if not isinstance(schema, GraphQLSchema):  # a callable may return anything
        raise SettingsError(f"schema={type(schema).__name__} is no GraphQLSchema. Accepted: {_ACCEPTED}")
    if schema.query_type is None:
        name = _name(source)
        raise SettingsError(f"schema={name} has no type Query, so that nothing can be asked. Accepted: {_ACCEPTED}")
    return schema


def _schema_of(source: SchemaSource) -> object:
    """The schema of a source, or whatever a callable returned in its place. SettingsError if it cannot be read or
    called.
    """
    if isinstance(source, str | Path):
        return _parsed(source)
    if (held := _held(source)) is not None:
        return held
    if not callable(source):
        return source
    try:
        returned = source()
    except TypeError as error:  # an app that shows no schema is callable, too
        raise SettingsError(
            f"schema={_name(source)} holds no schema, and cannot be called for one: {error}. Accepted: {_ACCEPTED}"
        ) from error
    return _held(returned) or returned


def _held(source: object, levels: int = 2) -> GraphQLSchema | None:
    """The GraphQLSchema that an object is, or that it or one of its attributes holds; None if there is none."""
    if isinstance(source, GraphQLSchema):
        return source
    if source is None or levels == 0:
        return None
    held = (_held(getattr(source, name, None), levels - 1) for name in _HOLDING)
    return next((each for each in held if each is not None), None)


_HOLDING: Final = ("_schema", "schema", "graphql_schema", "http_handler", "state")
"""Attributes in which objects and apps of Strawberry, Ariadne, Graphene and FraiseQL hold their schema."""
_ACCEPTED: Final = (
    "a GraphQLSchema (of graphql-core or Ariadne), a strawberry.Schema, SDL text, the path of an SDL file, or a "
    "callable that returns a schema"
)


def _name(source: SchemaSource) -> str:
    """The name of a source in a message: its path or its class; "(text)" for SDL."""
    if isinstance(source, str | Path):
        return "(text)" if _is_text(source) else str(source)
    return type(source).__name__


def _is_text(source: str | Path) -> bool:
    """Whether a source is SDL itself, and no path."""
    return isinstance(source, str) and ("{" in source or not source.strip())


def _parsed(source: str | Path) -> GraphQLSchema:
    try:
        text = str(source) if _is_text(source) else Path(source).read_text(encoding="utf-8")
        # Directives of other tools need not be defined.
        return build_ast_schema(_with_extensions_defined(parse(text)), assume_valid_sdl=True)
    except (OSError, ValueError, TypeError, GraphQLError) as error:
        cause = str(error).splitlines()[0].rstrip(".")
        raise SettingsError(f"schema={_name(source)} cannot be read: {cause}. Accepted: {_ACCEPTED}") from error


def _with_extensions_defined(document: DocumentNode) -> DocumentNode:
    """The document with a definition in place of the first extension of an object type that it does not define:
    subgraphs of federation 1 write ``extend type Query``, and graphql-core would leave out such fields."""
    defined = {node.name.value for node in document.definitions if isinstance(node, ObjectTypeDefinitionNode)}
    definitions: list[DefinitionNode] = []
    for node in document.definitions:
        if isinstance(node, ObjectTypeExtensionNode) and node.name.value not in defined:
            defined.add(node.name.value)
            parts = {name: getattr(node, name) for name in ("name", "interfaces", "directives", "fields", "loc")}
            definitions.append(ObjectTypeDefinitionNode(**parts))
        else:
            definitions.append(node)
    return DocumentNode(definitions=tuple(definitions), loc=document.loc)
