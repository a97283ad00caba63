"""Slicing arguments: those arguments of a field that say how long its list is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.cost.list_sizes import NoSize, read_length, read_size
from fraiseql_guard.graphql.cost.schema_table import NUMBER, WRAPPERS, ArgumentRule, FieldRule, SchemaTable
from fraiseql_guard.graphql.syntax.ast import FieldNode
from fraiseql_guard.graphql.syntax.values import Absent, Bindings, Value

_OF_PICTURES: Final = frozenset({"size"})
_FRAISEQL_ERRORS: Final = ("errors", "Error")
"""Name and type of the lists that FraiseQL adds to what a mutation returns."""


@dataclass(frozen=True, slots=True)
class SlicingArgument:
    """One slicing argument. ``inside`` leads to it within an input object."""

    name: str
    value: Value
    strict: bool = False  # anything but a whole number is refused
    length: bool = False  # the length of a list is its size
    default: Value = Absent.ABSENT  # the schema's, where a variable stands for nothing
    inside: tuple[str, ...] = ()
    given: bool = True  # else the schema's default stands for it

    def candidates(self, bindings: Bindings) -> list[Value]:
        """The values that it may have; the schema's default for what was not given."""
        found = list(bindings.candidates(self.value))
        # Each step down may meet a variable, which has several values if operations declare different defaults.
        for name in self.inside:
            found = [item.get(name, Absent.ABSENT) if type(item) is dict else Absent.ABSENT for item in found]
            found = [value for item in found for value in bindings.candidates(item)]
        return [self.default if item is Absent.ABSENT else item for item in found]

    def read(self, value: Value) -> int | NoSize:
        """The size that one of the candidates is."""
        if self.length and (not self.inside or type(value) is list):
            return read_length(value)
        return read_size(value, strict=self.strict)


Paths = Mapping[str, Sequence[tuple[str, tuple[str, ...]]]]
"""By argument: the slicing arguments in it with the way to each. Most are an argument themselves."""


def by_argument(slicing: Iterable[str]) -> Paths:
    """The slicing arguments by the argument that they are, or are in."""
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for path in sorted(slicing):
        name, *inside = path.split(".")
        found.setdefault(name, []).append((path, tuple(inside)))
    return found


class ListArguments:
    """The arguments that the settings name as lists which bring an item for each of theirs."""

    __slots__ = ("_places", "names")

    def __init__(self, names: Iterable[str]) -> None:
        self._places: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            # argument, field.argument or Type.field.argument: what is not given is empty and matches all.
            owner, field, argument = [*[""] * (2 - name.count(".")), *name.split(".")]
            self._places.setdefault(argument, []).append((owner, field))
        self.names: Final = frozenset(self._places)
        """The arguments' names."""

    def among(self, arguments: Iterable[str], owner: str | None, field: str) -> list[str]:
        """Those of the arguments of a field of the type ``owner`` (None if unknown) that are meant."""
        return [name for name in arguments if name in self._places and self._is_meant(name, owner, field)]

    def _is_meant(self, name: str, owner: str | None, field: str) -> bool:
        for of_type, of_field in self._places[name]:
            # A type that is unknown (no schema) matches each, on the safe side.
            if of_field in ("", field) and (not of_type or owner in (None, of_type)):
                return True
        return False


def slices_without_schema(field: FieldNode, slicing: frozenset[str], *, listlike: bool) -> Iterator[SlicingArgument]:
    """The slicing arguments of a field of which only the name and what it selects is known."""
    # Without children it is a leaf: a list of plain values perhaps, but a size is rather that of a picture.
    names = slicing if field.selection is not None else slicing - _OF_PICTURES
    yield from (
        SlicingArgument(name, value, strict=listlike) for name, value in field.arguments.items() if name in names
    )


def slices(field: FieldNode, rule: FieldRule, paths: Paths) -> Iterator[SlicingArgument]:
    """The slicing arguments of a field that the schema knows, and the defaults of those that are not given."""
    for name, argument in rule.arguments.items():
        for path, inside in paths.get(name, ()):
            named = path in (rule.slicing_arguments or ())
            if not is_size(argument, named=named):
                continue
            given = name in field.arguments
            if given or argument.default is not Absent.ABSENT:
                value = field.arguments[name] if given else argument.default
                yield _slice(path, inside, argument, value, named=named, given=given)


def _slice(
    path: str, inside: tuple[str, ...], argument: ArgumentRule, value: Value, *, named: bool, given: bool
) -> SlicingArgument:
    return SlicingArgument(
        path,
        value,
        strict=bool(inside) or (argument.kind == NUMBER and not argument.listed),
        length=named and (argument.listed or bool(inside)),
        default=argument.default if given else Absent.ABSENT,
        inside=inside,
        given=given,
    )


def unsliced_fields(table: SchemaTable, settings: Settings) -> tuple[str, ...]:
    """Fields (``Type.field``) that return lists of which no argument and no directive says how long they are. The lists
    of errors that FraiseQL adds to the results of mutations are not among them: the app cannot change them."""
    slicing, lists = frozenset(settings.slicing_arguments), ListArguments(settings.list_arguments)
    return tuple(
        f"{type_name}.{name}"
        for type_name, fields in table.fields.items()
        # The introspection types are bounded by limits of their own.
        if not type_name.startswith("__")
        for name, rule in fields.items()
        if name not in WRAPPERS and _is_unsliced(rule, slicing) and not lists.among(rule.arguments, type_name, name)
        if not (table.of_fraiseql and (name, rule.returns) == _FRAISEQL_ERRORS)
    )


def _is_unsliced(rule: FieldRule, slicing: frozenset[str]) -> bool:
    """Whether a field is a list of which neither the schema nor an argument says how long it is."""
    if not rule.many or rule.assumed_size is not None or rule.slicing_arguments:
        return False
    return not any(rule.arguments[name].sizes for name in rule.arguments.keys() & slicing)


def is_size(argument: ArgumentRule, *, named: bool) -> bool:
    """Whether an argument of a slicing argument's name can say a size; what @listSize names always can."""
    return named or argument.sizes
