"""What is known of a schema's fields, arguments and types, in plain tables: all that costs and limits ask of a schema.

``cost/schema.py`` makes them of a schema; a guard without one does not load what reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.measured import OperationKind
from fraiseql_guard.graphql.syntax.values import Value

NUMBER: Final = "Int"
"""A field of an input type that is a whole number."""
ANYTHING: Final = "*"
"""One of a scalar that the schema does not explain: a number, or an object of unknown fields."""
SchemaSource = object
"""A GraphQLSchema, an object of a library that holds one, SDL text, a path, or a callable that returns a GraphQLSchema:
what it is is found out when it is read."""
WRAPPERS: Final = frozenset({"edges", "nodes", "items"})
"""Fields that hold the items of their parent's list."""


@dataclass(frozen=True, slots=True)
class ArgumentRule:
    """An argument, or a field of an input type.

    ``kind`` is NUMBER, ANYTHING, the name of an input type, or empty for what is no size and holds none; ``listed``
    tells lists of these. ``default`` is ABSENT if there is none; ``points`` are those of @cost.
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
    weight: int | None  # of @cost on the field or on the type that it returns
    assumed_size: int | None  # of @listSize
    slicing_arguments: tuple[str, ...] | None
    sized_fields: frozenset[str]
    one_needed: bool  # exactly one of its slicing arguments has to be given


@dataclass(frozen=True, slots=True)
class SchemaTable:
    """``fields`` of every composite type; ``possible`` object types of every composite type (of an object itself), in
    order, and as sets (``members``). Equal rules are one object, so that identity tells types which cost the same.

    ``inputs`` are the fields of those input types in which @cost stands somewhere, ``input_types`` by input type the
    kinds of those fields that can be or hold a size. Without ``nested_switches`` the host
    looks at @skip and @include at the root of an operation alone. ``authoritative``: the host runs this very schema and
    validates documents, so that it refuses a field that is not in ``fields``.
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
    """The types, and all types that use one of them, however far inside. ``used`` are those that each type uses."""
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
