"""Finds the type of each selection by the schema, and refuses fields and arguments that the schema does not define.

Source: GraphQL specification, Field Selections (5.3.1) and Argument Names (5.4.1). The type of a selection is static:
the one that the field around it returns, or the innermost type condition, whatever the object is at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fraiseql_guard.graphql.cost.schema_table import FieldRule, SchemaTable
from fraiseql_guard.graphql.syntax.ast import DocumentNode, FieldNode, SelectionNode, StaticTypes

Path = tuple[str, ...]
_Typed = tuple[SelectionNode, str | None, Path]
"""A selection with its type and the path to it."""
_OF_ALL_TYPES: Final = "__typename"
_OF_THE_QUERY_TYPE: Final = frozenset({"__schema", "__type"})


class UnknownFieldError(Exception):
    """A field is selected that the schema does not define on its type ``owner``."""

    def __init__(self, owner: str, name: str, path: Path) -> None:
        self.owner = owner
        self.name = name
        self.path = path


class UnknownArgumentError(Exception):
    """A field is given an argument that the schema does not define: some hosts hand it to the resolver."""

    def __init__(self, path: Path) -> None:
        self.path = path


def static_types(document: DocumentNode, table: SchemaTable, *, judges_fields: bool) -> StaticTypes:
    """The types of all selections; None for one that the schema does not know. UnknownArgumentError; with
    ``judges_fields`` UnknownFieldError as well. Selections of unknown type are not judged."""
    found: dict[SelectionNode, str | None] = {}
    pending: list[_Typed]
    pending = [(item.selection, table.roots.get(item.kind), ()) for item in document.operations]
    pending += [(item.selection, known_type(item.on, table), ()) for item in document.fragments.values()]
    while pending:
        selection, owner, path = pending.pop()
        found[selection] = owner
        if judges_fields and owner:
            _judge_fields(selection, owner, path, table)
        pending += _of_fields(selection, owner, path, table)
        for inline in selection.inlines:
            on = known_type(inline.on, table) if inline.on else owner
            pending.append((inline.selection, on, path))
    return found


def _judge_fields(selection: SelectionNode, owner: str, path: Path, table: SchemaTable) -> None:
    """Raise UnknownFieldError for the first field of a selection that its type lacks. A union has no fields of its
    own."""
    rules: Mapping[str, FieldRule] = table.fields.get(owner, {})
    for field in selection.fields:
        if field.name not in rules and not _is_meta_field(field.name, owner, table):
            raise UnknownFieldError(owner, field.name, (*path, field.key))


def _is_meta_field(name: str, owner: str, table: SchemaTable) -> bool:
    """Whether a field is on the type in every schema, without being defined."""
    return name == _OF_ALL_TYPES or (name in _OF_THE_QUERY_TYPE and owner == table.roots.get("query"))


def _of_fields(selection: SelectionNode, owner: str | None, path: Path, table: SchemaTable) -> list[_Typed]:
    """The subselections of a selection's fields, with types and paths. UnknownArgumentError."""
    below: list[_Typed] = []
    rules: Mapping[str, FieldRule] = table.fields.get(owner, {}) if owner else {}
    for field in selection.fields:
        rule = rules.get(field.name)
        if field.arguments and not _has(rule, field, owner, table):
            raise UnknownArgumentError((*path, field.key))
        if field.selection:
            below.append((field.selection, rule.returns if rule else None, (*path, field.key)))
    return below


def known_type(name: str, table: SchemaTable) -> str | None:
    """The name of a composite type; None if the schema does not have it."""
    return name if name in table.possible else None


def _has(rule: FieldRule | None, field: FieldNode, owner: str | None, table: SchemaTable) -> bool:
    """Whether the schema defines all arguments that a field is given.

    If the type lacks the field, fields of that name on its object types and on the root types must have the arguments:
    hosts that run such a field take one of these.
    """
    if rule is not None:
        return field.arguments.keys() <= rule.arguments.keys()
    others = (*table.possible.get(owner, ()), *table.roots.values()) if owner else ()
    rules = [table.fields[name][field.name] for name in others if field.name in table.fields[name]]
    return all(field.arguments.keys() <= each.arguments.keys() for each in rules)
