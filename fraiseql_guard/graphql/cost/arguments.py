"""Plans the arguments of a field, whatever the variables: which of them may say the size of its list or an offset, and
which cost points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.cost.input_objects import (
    OFFSET_ARGUMENTS,
    SEARCHED,
    InputSearch,
    InputWeights,
    variables_in,
)
from fraiseql_guard.graphql.cost.schema_table import ANYTHING, ArgumentRule, FieldRule
from fraiseql_guard.graphql.cost.slicing_arguments import (
    ListArguments,
    Paths,
    SlicingArgument,
    by_argument,
    is_size,
    slices,
    slices_without_schema,
)
from fraiseql_guard.graphql.json_containers import generations, leaves
from fraiseql_guard.graphql.syntax.ast import FieldNode
from fraiseql_guard.graphql.syntax.values import Value

_NONE: Final[frozenset[str]] = frozenset()


class SizeOrigin(StrEnum):
    """Where the size of a list came from."""

    ONE = "one"  # the field is no list
    ARGUMENT = "argument"
    VARIABLE = "variable"
    DEFAULT = "default"  # of the operation's variable
    SCHEMA = "schema"  # an argument's default, or @listSize
    ASSUMED = "assumed"  # the list multiplier
    NAME = "name"  # the list multiplier, because the field's name is a plural or configured
    GUESSED = "guessed"  # a field of an input object that is called like a size


class SizeRole(Enum):
    """What the slicing arguments of a field mean."""

    NONE = auto()  # nothing: the field is no list and holds none
    SIZES = auto()  # the size of the field's list
    HINTS = auto()  # perhaps a size: the field does not look like a list, or is an object with lists


@dataclass(frozen=True, slots=True)
class ArgumentPlan:
    """What the arguments of a field may ask for.

    ``sizes`` are slicing arguments; ``one_needed``: exactly one of them must be given. ``hints`` may be sizes;
    ``searched`` are input objects that may hold sizes, each with its argument's name and its type. ``weighed`` are
    values whose input fields have a cost, with their types. ``values`` is the number of plain values in the literals.
    ``deciding`` are those of the ``variables`` whose value can change a size or an offset; the others only count if
    they hold many values.
    """

    sizes: tuple[SlicingArgument, ...] = ()
    one_needed: bool = False
    hints: tuple[SlicingArgument, ...] = ()
    searched: tuple[tuple[str, Value, str], ...] = ()
    offsets: tuple[Value, ...] = ()
    points: int = 0
    weighed: tuple[tuple[Value, str], ...] = ()
    values: int = 0
    variables: tuple[str, ...] = ()
    deciding: frozenset[str] = frozenset()


NO_ARGUMENTS: Final = ArgumentPlan()


class ArgumentPlanner:
    """Plans what the arguments of fields may ask for. Frozen after construction."""

    __slots__ = ("_decide", "_lists", "_paths", "_search", "_slicing", "_weights")

    def __init__(self, settings: Settings, search: InputSearch, weights: InputWeights) -> None:
        self._slicing = frozenset(settings.slicing_arguments)
        self._paths = by_argument(self._slicing)
        self._lists = ListArguments(settings.list_arguments)
        self._decide = self._slicing | OFFSET_ARGUMENTS | self._lists.names
        self._search = search
        self._weights = weights

    def is_sliced(self, owner: str | None, name: str, rule: FieldRule) -> bool:
        """Whether a field has a slicing argument."""
        if self._lists.among(rule.arguments, owner, name):
            return True
        paths = self._paths_of(rule)
        named = frozenset(rule.slicing_arguments or ())
        return any(
            is_size(rule.arguments[argument], named=path in named)
            for argument in rule.arguments.keys() & paths.keys()
            for path, _ in paths[argument]
        )

    def _paths_of(self, rule: FieldRule) -> Paths:
        """The slicing arguments that the settings and the schema name for a field, by argument."""
        return by_argument(self._slicing.union(rule.slicing_arguments)) if rule.slicing_arguments else self._paths

    def plan(
        self, field: FieldNode, owner: str | None, rule: FieldRule | None, role: SizeRole, *, writes: bool
    ) -> ArgumentPlan:
        """Plan the arguments of a field, and the schema's defaults of those not given. ``owner`` and ``rule`` are None
        if unknown. ``writes``: the field is a mutation, whose input is data."""
        if not field.arguments and (rule is None or not rule.arguments):
            return NO_ARGUMENTS
        found = tuple(self._slices(field, owner, rule, role, writes=writes))
        # Most fields have only plain literals, which hold nothing to search and do not change with the variables.
        if SEARCHED.isdisjoint(map(type, field.arguments.values())):
            return self._plan_plain(field, rule, role, found)
        return self._plan_holding(field, rule, role, found, writes=writes)

    def _plan_plain(
        self, field: FieldNode, rule: FieldRule | None, role: SizeRole, found: tuple[SlicingArgument, ...]
    ) -> ArgumentPlan:
        """The plan of a field whose arguments are all plain literals."""
        sizes, hints = _by_role(found, rule, role)
        return ArgumentPlan(
            sizes=sizes,
            one_needed=rule is not None and rule.one_needed,
            hints=hints,
            offsets=tuple(_offsets(field, rule, role, sized=bool(found))),
            points=_points(field, rule),
            values=len(field.arguments),
        )

    def _plan_holding(
        self,
        field: FieldNode,
        rule: FieldRule | None,
        role: SizeRole,
        found: tuple[SlicingArgument, ...],
        *,
        writes: bool,
    ) -> ArgumentPlan:
        """The plan of a field with a variable, a list or an object among its arguments."""
        sizes, hints = _by_role(found, rule, role)
        used = tuple([item.name for _, item in variables_in(field.arguments)])
        return ArgumentPlan(
            sizes=sizes,
            one_needed=rule is not None and rule.one_needed,
            hints=hints,
            # A mutation's input is data to be stored: a field called "first" in it is no size.
            searched=() if writes else tuple(self._searched(field, rule, role)),
            offsets=tuple(_offsets(field, rule, role, sized=bool(found))),
            points=_points(field, rule),
            weighed=tuple(self._weighed(field, rule)),
            values=sum([leaves(generations(value)) for value in field.arguments.values()]),
            variables=used,
            deciding=self._deciding(field, rule) if used else _NONE,
        )

    def _slices(
        self, field: FieldNode, owner: str | None, rule: FieldRule | None, role: SizeRole, *, writes: bool
    ) -> Iterator[SlicingArgument]:
        if rule is None:
            # Without a schema an argument of a mutation could as well be data.
            if role is SizeRole.SIZES or not writes:
                yield from slices_without_schema(field, self._slicing, listlike=role is SizeRole.SIZES)
        elif role is not SizeRole.NONE:
            yield from slices(field, rule, self._paths_of(rule))
        # Arguments that the settings name as lists: the field returns an item for each of theirs.
        if not self._lists.names.isdisjoint(field.arguments):
            for name in self._lists.among(field.arguments, owner if rule else None, field.name):
                yield SlicingArgument(name, field.arguments[name], length=True)

    def _searched(self, field: FieldNode, rule: FieldRule | None, role: SizeRole) -> Iterator[tuple[str, Value, str]]:
        """The arguments that may hold sizes: names, values and types."""
        # A leaf returns no items that a size could multiply.
        if role is SizeRole.NONE or field.selection is None:
            return
        for name, value in field.arguments.items():
            kind = rule.arguments[name].kind if rule else ANYTHING
            if type(value) in SEARCHED and name not in self._slicing and self._search.searches(name, kind):
                yield name, value, kind

    def _weighed(self, field: FieldNode, rule: FieldRule | None) -> Iterator[tuple[Value, str]]:
        """The values in which input fields may have a cost, with their types."""
        for argument, value in _with_rules(field, rule):
            if self._weights.counts(argument.kind):
                yield value, argument.kind

    def _deciding(self, field: FieldNode, rule: FieldRule | None) -> frozenset[str]:
        """The variables that stand where a size or an offset is read."""
        decides = self._decide
        if rule is not None and rule.slicing_arguments:
            # @listSize may name a path (input.first): the variable stands under its last key.
            decides = decides.union([name.rpartition(".")[2] for name in rule.slicing_arguments])
        return frozenset(item.name for key, item in variables_in(field.arguments) if key in decides)


_Slices = tuple[SlicingArgument, ...]


def _by_role(found: _Slices, rule: FieldRule | None, role: SizeRole) -> tuple[_Slices, _Slices]:
    """The slicing arguments of a field as a pair (sizes, hints), of which one is empty."""
    # Without a schema, an argument that is called like a size counts as one.
    return (found, ()) if role is SizeRole.SIZES or rule is None else ((), found)


def _with_rules(field: FieldNode, rule: FieldRule | None) -> Iterable[tuple[ArgumentRule, Value]]:
    return [(rule.arguments[name], value) for name, value in field.arguments.items()] if rule else ()


def _points(field: FieldNode, rule: FieldRule | None) -> int:
    """The points that @cost in the schema gives to the arguments of a field."""
    return sum([argument.points for argument, _ in _with_rules(field, rule)])


def _offsets(field: FieldNode, rule: FieldRule | None, role: SizeRole, *, sized: bool) -> Iterator[Value]:
    """The values of arguments that are offsets. ``sized``: the field has a slicing argument."""
    # An offset counts only where a list is: by the schema, by the field's name, or by a size beside it.
    for name in OFFSET_ARGUMENTS & field.arguments.keys():
        if _is_offset(rule.arguments[name], role) if rule else role is SizeRole.SIZES or sized:
            yield field.arguments[name]


def _is_offset(argument: ArgumentRule, role: SizeRole) -> bool:
    return argument.sizes and role is not SizeRole.NONE
