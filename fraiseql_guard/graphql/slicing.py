"""Slicing arguments: those of a field's arguments that say how long its list is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.graphql.schema import FieldRule
from fraiseql_guard.graphql.tree import Field
from fraiseql_guard.graphql.values import Absent, Value

_OF_PICTURES: Final = frozenset({"size"})


@dataclass(frozen=True, slots=True)
class Slice:
    """One slicing argument. ``inside`` leads to it within an input object."""

    name: str
    value: Value
    strict: bool  # anything but a whole number is refused
    default: Value = Absent.ABSENT  # the schema's, where a variable stands for nothing
    inside: tuple[str, ...] = ()
    given: bool = True  # else the schema's default stands for it


Paths = Mapping[str, Sequence[tuple[str, tuple[str, ...]]]]
"""By argument: the slicing arguments in it with the way to each. Most are an argument themselves."""


def by_argument(slicing: Iterable[str]) -> Paths:
    """The slicing arguments by the argument that they are, or are in."""
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for path in sorted(slicing):
        name, *inside = path.split(".")
        found.setdefault(name, []).append((path, tuple(inside)))
    return found


def slices_without_schema(field: Field, slicing: frozenset[str]) -> Iterator[Slice]:
    """The slicing arguments of a field of which only the name is known."""
    # Without children it is a leaf: a list of plain values perhaps, but a size is rather that of a picture.
    strict = field.selection is not None
    names = slicing if strict else slicing - _OF_PICTURES
    yield from (Slice(name, value, strict) for name, value in field.arguments.items() if name in names)


def slices(field: Field, rule: FieldRule, paths: Paths) -> Iterator[Slice]:
    """The slicing arguments of a field that the schema knows, and the defaults of those that are not given."""
    for name, argument in rule.arguments.items() if rule.countable else ():
        if name not in paths:
            continue
        for path, inside in paths[name]:
            if name in field.arguments:
                yield Slice(path, field.arguments[name], argument.sizes or bool(inside), argument.default, inside)
            elif argument.default is not Absent.ABSENT:
                yield Slice(path, argument.default, argument.sizes or bool(inside), inside=inside, given=False)
