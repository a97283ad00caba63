"""The fields, arguments and types of a schema as plain tables: everything that costs and limits need of a schema.

``cost/schema.py`` reads them from a schema. It loads graphql-core, which a guard without a schema does not need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.measured import OperationKind
from fraiseql_guard.graphql.syntax.values import Value

NUMBER: Final = "Int"
"""The kind of a whole number."""
ANYTHING: Final = "*"
"""The kind of a scalar that the schema does not explain: a number, or an object of unknown fields."""
SchemaSource = object
"""A GraphQLSchema, an object of a library that holds one, SDL text, a path, or a callable that returns a GraphQLSchema.
Its kind is checked when it is read."""
WRAPPERS: Final = frozenset({"edges", "nodes", "items"})
"""Fields that hold the items of their parent's list."""


@dataclass(frozen=True, slots=True)
class ArgumentRule:
    """An argument, or a field of an input type.

    ``kind`` is NUMBER, ANYTHING, the name of an input type, or empty for a type that neither is nor holds a size;
    ``listed``: a list of these. ``default`` is ABSENT if there is none; ``points`` is the weight by @cost.
    """

    kind: str
    listed: bool
    default: Value
    points: int

    @property
    def sizes(self) -> bool:
        """Whether the value itself can be a size."""
        return self.kind in (NUMBER, ANYTHING) and not self.listed


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field of one type. ``returns`` names a composite type, or is None for a leaf."""

    returns: str | None
    many: bool  # a list of composites
    listed: bool  # a list of anything
    arguments: Mapping[str, ArgumentRule]
    weight: int | None  # of @cost on the field or on the type that it returns; None without it
    assumed_size: int | None  # of @listSize; None without it
    slicing_arguments: tuple[str, ...] | None  # of @listSize, as paths (input.first); None without it
    sized_fields: frozenset[str]  # of @listSize
    one_needed: bool  # exactly one of its slicing arguments has to be given


@dataclass(frozen=True, slots=True)
class SchemaTable:
    """The tables of one schema.

    ``roots`` names the type of each kind of operation. ``fields`` has the rules of each object type and interface;
    equal rules are one object, so that identity tells types which cost the same. ``possible`` has the object types of
    each composite type in order (of an object type itself), ``members`` the same as sets. ``inputs`` has the fields of
    the input types with @cost at any depth, ``input_types`` for each input type the kinds of its fields that can be or
    hold a size. ``nested_switches``: the host obeys @skip and @include everywhere; else only at the root of an
    operation. ``authoritative``: the host runs this very schema and validates documents, so that it refuses fields that
    are not in ``fields``.
    """

    roots: Mapping[OperationKind, str]
    fields: Mapping[str, Mapping[str, FieldRule]]
    possible: Mapping[str, tuple[str, ...]]
    members: Mapping[str, frozenset[str]]
    inputs: Mapping[str, Mapping[str, ArgumentRule]]
    input_types: Mapping[str, Mapping[str, str]]
    nested_switches: bool
    authoritative: bool
    of_fraiseql: bool = False

    def applies(self, owner: str, on: str | None) -> bool:
        """Whether a condition on the type ``on`` may hold for an object of the type ``owner``."""
        return on is None or on not in self.members or owner in self.members[on]

    def holds_items(self, type_name: str | None) -> bool:
        """Whether a type is a page of a list: one of its fields is edges, nodes or items, and a list."""
        own = self.fields.get(type_name or "", {})
        return any(name in own and own[name].listed for name in WRAPPERS)

    def holds_lists(self, type_name: str | None) -> bool:
        """Whether some field of a type is a list of composites."""
        return any(rule.many for rule in self.fields.get(type_name or "", {}).values())


def with_users(types: Iterable[str], used: Mapping[str, Iterable[str]]) -> set[str]:
    """The types, and all types that use one of them, directly or through others. ``used`` has the types that each type
    uses."""
    users: dict[str, set[str]] = {}
    for name, kinds in used.items():
        for kind in kinds:
            users.setdefault(kind, set()).add(name)
    found = set(types)
    pending = list(found)
    for kind in pending:  # it grows: the users of a type are searched for users of their own
        more = users.get(kind, set()) - found
        found |= more
        pending += more
    return found
