"""The types that a schema gives to the selections of a document, and arguments that fields of these types lack.

Source: GraphQL specification, Argument Names (5.4.1). The type of a selection is that of the text: what the field
around it returns, or the innermost type condition. What an object really is plays no part.
"""

from __future__ import annotations

from collections.abc import Mapping

from fraiseql_guard.graphql.cost.schema import FieldRule, SchemaTable
from fraiseql_guard.graphql.syntax.ast import DocumentNode, FieldNode, SelectionNode, StaticTypes

Path = tuple[str, ...]
_Typed = tuple[SelectionNode, str | None, Path]
"""A selection with its type and the path to it."""


class UnknownArgumentError(Exception):
    """A field is given an argument that the schema does not define: some hosts hand it to the resolver."""

    def __init__(self, path: Path) -> None:
        self.path = path


def static_types(document: DocumentNode, table: SchemaTable) -> StaticTypes:
    """The types of all selections, in one pass over what is written. UnknownArgumentError."""
    found: dict[SelectionNode, str | None] = {}
    pending: list[_Typed]
    pending = [(item.selection, table.roots.get(item.kind), ()) for item in document.operations]
    pending += [(item.selection, known_type(item.on, table), ()) for item in document.fragments.values()]
    while pending:
        selection, owner, path = pending.pop()
        found[selection] = owner
        pending += _of_fields(selection, owner, path, table)
        for inline in selection.inlines:
            on = known_type(inline.on, table) if inline.on else owner
            pending.append((inline.selection, on, path))
    return found


def _of_fields(selection: SelectionNode, owner: str | None, path: Path, table: SchemaTable) -> list[_Typed]:
    """What the fields of a selection select. UnknownArgumentError."""
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
    """The name of a composite type that the schema has."""
    return name if name in table.possible else None


def _has(rule: FieldRule | None, field: FieldNode, owner: str | None, table: SchemaTable) -> bool:
    """Whether a field has the arguments that it is given.

    A field that its type lacks is an error of its own. Hosts that run it all the same take that of an object, or of the
    root, so these must have the arguments.
    """
    if rule is not None:
        return field.arguments.keys() <= rule.arguments.keys()
    others = (*table.possible.get(owner, ()), *table.roots.values()) if owner else ()
    rules = [table.fields[name][field.name] for name in others if field.name in table.fields[name]]
    return all(field.arguments.keys() <= each.arguments.keys() for each in rules)
