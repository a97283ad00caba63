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
    """One slicing argument. ``inside`` is its path within an input object; empty for an argument itself."""

    name: str
    value: Value
    strict: bool = False  # a value that is no whole number is invalid
    length: bool = False  # the argument is a list, whose length is the size
    default: Value = Absent.ABSENT  # the schema's default, for a variable without a value
    inside: tuple[str, ...] = ()
    given: bool = True  # the request gives it; else value is the schema's default

    def candidates(self, bindings: Bindings) -> list[Value]:
        """The values that it may have in a request, with the schema's default in place of an absent one."""
        found = list(bindings.candidates(self.value))
        # Each step down may meet a variable, which has several values if operations declare different defaults.
        for name in self.inside:
            found = [item.get(name, Absent.ABSENT) if type(item) is dict else Absent.ABSENT for item in found]
            found = [value for item in found for value in bindings.candidates(item)]
        return [self.default if item is Absent.ABSENT else item for item in found]

    def read(self, value: Value) -> int | NoSize:
        """The size that one of the candidates says."""
        if self.length and (not self.inside or type(value) is list):
            return read_length(value)
        return read_size(value, strict=self.strict)


Paths = Mapping[str, Sequence[tuple[str, tuple[str, ...]]]]
"""By argument: the slicing arguments that it is or holds, each as a dotted path and the keys inside the argument."""


def by_argument(slicing: Iterable[str]) -> Paths:
    """Slicing arguments, given as dotted paths, by their argument."""
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for path in sorted(slicing):
        name, *inside = path.split(".")
        found.setdefault(name, []).append((path, tuple(inside)))
    return found


class ListArguments:
    """The arguments that the settings name as lists, for each of whose items the field returns one."""

    __slots__ = ("_places", "names")

    def __init__(self, names: Iterable[str]) -> None:
        self._places: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            # argument, field.argument or Type.field.argument: what is not given is empty and matches all.
            owner, field, argument = [*[""] * (2 - name.count(".")), *name.split(".")]
            self._places.setdefault(argument, []).append((owner, field))
        self.names: Final = frozenset(self._places)
        """The names of the arguments, whatever their fields and types."""

    def among(self, arguments: Iterable[str], owner: str | None, field: str) -> list[str]:
        """The list arguments among the arguments of a field of the type ``owner`` (None if unknown)."""
        return [name for name in arguments if name in self._places and self._is_meant(name, owner, field)]

    def _is_meant(self, name: str, owner: str | None, field: str) -> bool:
        for of_type, of_field in self._places[name]:
            # A type that is unknown (no schema) matches each, on the safe side.
            if of_field in ("", field) and (not of_type or owner in (None, of_type)):
                return True
        return False


def slices_without_schema(field: FieldNode, slicing: frozenset[str], *, listlike: bool) -> Iterator[SlicingArgument]:
    """The slicing arguments of a field that no schema describes. ``listlike``: it looks like a list."""
    # A leaf may be a list of plain values, but its argument size is rather that of a picture.
    names = slicing if field.selection is not None else slicing - _OF_PICTURES
    yield from (
        SlicingArgument(name, value, strict=listlike) for name, value in field.arguments.items() if name in names
    )


def slices(field: FieldNode, rule: FieldRule, paths: Paths) -> Iterator[SlicingArgument]:
    """The slicing arguments of a field in the schema: those that are given, and the defaults of the others."""
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
    """The fields (``Type.field``) that return lists without a slicing argument, @listSize or a list argument. Without
    the lists of errors that FraiseQL adds to the results of mutations, which the app cannot change."""
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
    """Whether a field is a list without @listSize and without a slicing argument."""
    if not rule.many or rule.assumed_size is not None or rule.slicing_arguments:
        return False
    return not any(rule.arguments[name].sizes for name in rule.arguments.keys() & slicing)


def is_size(argument: ArgumentRule, *, named: bool) -> bool:
    """Whether an argument with the name of a slicing argument can say a size. One that @listSize names always can."""
    return named or argument.sizes
