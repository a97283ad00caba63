"""What the arguments of a field ask for: the size of its list, an offset, and points for large values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.cost.input_objects import (
    OFFSET_ARGUMENTS,
    SEARCHED,
    GuessedSizes,
    InputSearch,
    InputWeights,
    variables_in,
)
from fraiseql_guard.graphql.cost.input_types import ANYTHING, ArgumentRule
from fraiseql_guard.graphql.cost.list_sizes import NoSize, read_offset
from fraiseql_guard.graphql.cost.schema import FieldRule, SchemaTable
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
from fraiseql_guard.graphql.syntax.values import Absent, Bindings, Value

_VALUES_PER_POINT: Final = 50
_NONE: Final[frozenset[str]] = frozenset()


class SizeOrigin(StrEnum):
    """Where the size of a list came from."""

    ONE = "one"  # it is no list
    ARGUMENT = "argument"
    VARIABLE = "variable"
    DEFAULT = "default"  # of the operation's variable
    SCHEMA = "schema"  # an argument's default, or @listSize
    ASSUMED = "assumed"  # the list multiplier
    NAME = "name"  # the list multiplier, because the field's name is a plural or configured
    GUESSED = "guessed"  # a field of an input object that is called like a size


class SizeRole(Enum):
    """What the sizes among a field's arguments mean."""

    NONE = auto()  # the field is no list and holds none
    SIZES = auto()  # they are the size of its list
    HINTS = auto()  # it looks like no list, or is an object with lists: they may be a size


@dataclass(frozen=True, slots=True)
class ArgumentPlan:
    """What the arguments of a field may ask for.

    ``hints`` may be sizes; ``searched`` are input objects that may hold some, with argument and type. ``weighed`` are
    values whose input fields have a cost, with their types. ``deciding`` are the variables whose value can change a
    size or an offset; the others only count if they hold many values.
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


@dataclass(frozen=True, slots=True)
class ResolvedArguments:
    """What the arguments of a field ask for in one request. ``size`` is None if no argument says one."""

    size: int | None = None
    explicit: bool = False  # the size is a number that was given
    guess: int = 0  # a size that was come across where there may be none
    points: int = 0
    offset: int = 0
    sure_offset: int = 0  # without what was come across
    invalid: bool = False
    unmet: bool = False  # exactly one slicing argument is needed, and there is none or several


NOTHING: Final = ArgumentPlan()
_NO_GUESS: Final = GuessedSizes()
NOTHING_RESOLVED: Final = ResolvedArguments()


class ArgumentReader:
    """Reads arguments. Frozen after construction."""

    __slots__ = ("_decide", "_lists", "_multiplier", "_paths", "_search", "_slicing", "_weights")

    def __init__(self, settings: Settings, table: SchemaTable | None) -> None:
        self._multiplier = settings.list_multiplier
        self._slicing = frozenset(settings.slicing_arguments)
        self._paths = by_argument(self._slicing)
        self._lists = ListArguments(settings.list_arguments)
        self._decide = self._slicing | OFFSET_ARGUMENTS | self._lists.names
        self._search = InputSearch(settings, table)
        self._weights = InputWeights(table.inputs if table else {})

    def is_sliced(self, owner: str | None, name: str, rule: FieldRule) -> bool:
        """Whether a field has a slicing argument."""
        paths = self._paths_of(rule)
        named = frozenset(rule.slicing_arguments or ())
        return bool(self._lists.among(rule.arguments, owner, name)) or any(
            is_size(rule.arguments[argument], named=path in named)
            for argument in rule.arguments.keys() & paths.keys()
            for path, _ in paths[argument]
        )

    def _names_of(self, rule: FieldRule | None) -> frozenset[str]:
        return self._slicing.union(rule.slicing_arguments) if rule and rule.slicing_arguments else self._slicing

    def _paths_of(self, rule: FieldRule) -> Paths:
        return by_argument(self._names_of(rule)) if rule.slicing_arguments else self._paths

    def of(
        self, field: FieldNode, owner: str | None, rule: FieldRule | None, role: SizeRole, *, writes: bool
    ) -> ArgumentPlan:
        """What the arguments of a field, and the schema's defaults of those not given, may ask for. ``writes``: it is
        a mutation, whose input is data."""
        if not field.arguments and (rule is None or not rule.arguments):
            return NOTHING
        arguments = field.arguments
        rules = [(rule.arguments[name], value) for name, value in arguments.items()] if rule else []
        plain = SEARCHED.isdisjoint(map(type, arguments.values()))  # then no value holds others, and none is a variable
        used = () if plain else tuple([item.name for _, item in variables_in(arguments)])
        found = tuple(self._slices(field, owner, rule, role, writes=writes))
        sized = role is SizeRole.SIZES or rule is None
        return ArgumentPlan(
            sizes=found if sized else (),
            one_needed=rule is not None and rule.one_needed,
            hints=() if sized else found,
            searched=() if plain or writes else tuple(self._searched(field, rule, role)),
            offsets=tuple(self._offsets(field, rule, role, sized=bool(found))),
            points=sum([argument.points for argument, _ in rules]),
            weighed=() if plain else tuple(self._weighed(rules)),
            values=len(arguments) if plain else sum([leaves(generations(value)) for value in arguments.values()]),
            variables=used,
            deciding=self._deciding(field, rule) if used else _NONE,
        )

    def _weighed(self, rules: Iterable[tuple[ArgumentRule, Value]]) -> Iterator[tuple[Value, str]]:
        for argument, value in rules:
            if self._weights.counts(argument.kind):
                yield value, argument.kind

    def _slices(
        self, field: FieldNode, owner: str | None, rule: FieldRule | None, role: SizeRole, *, writes: bool
    ) -> Iterator[SlicingArgument]:
        if rule is not None:
            yield from slices(field, rule, self._paths_of(rule)) if role is not SizeRole.NONE else ()
        elif role is SizeRole.SIZES or not writes:
            yield from slices_without_schema(field, self._slicing, listlike=role is SizeRole.SIZES)
        if field.arguments.keys() & self._lists.names:
            for name in self._lists.among(field.arguments, owner if rule else None, field.name):
                yield SlicingArgument(name, field.arguments[name], length=True)

    def _searched(self, field: FieldNode, rule: FieldRule | None, role: SizeRole) -> Iterator[tuple[str, Value, str]]:
        if role is SizeRole.NONE or field.selection is None:
            return
        for name, value in field.arguments.items():
            kind = rule.arguments[name].kind if rule else ANYTHING
            if type(value) in SEARCHED and name not in self._slicing and self._search.searches(name, kind):
                yield name, value, kind

    @staticmethod
    def _offsets(field: FieldNode, rule: FieldRule | None, role: SizeRole, *, sized: bool) -> Iterator[Value]:
        for name in OFFSET_ARGUMENTS & field.arguments.keys():
            if rule.arguments[name].sizes and role is not SizeRole.NONE if rule else role is SizeRole.SIZES or sized:
                yield field.arguments[name]

    def _deciding(self, field: FieldNode, rule: FieldRule | None) -> frozenset[str]:
        decides = self._decide
        if rule is not None and rule.slicing_arguments:
            decides = decides.union([name.rpartition(".")[2] for name in rule.slicing_arguments])
        return frozenset(item.name for key, item in variables_in(field.arguments) if key in decides)

    def ask(self, demand: ArgumentPlan, bindings: Bindings) -> ResolvedArguments:
        """What a field asks for with the variables of a request."""
        size, unknown, invalid = self._size(demand, bindings)
        guess = self._guess(demand, bindings) if demand.searched or demand.hints else _NO_GUESS
        offset = 0
        if demand.offsets:
            offset = max([read_offset(item) for value in demand.offsets for item in bindings.candidates(value)])
        count = demand.values + sum([_values_of(name, bindings) - 1 for name in demand.variables])
        weighed = sum([self._weights.of(value, kind, bindings) for value, kind in demand.weighed])
        return ResolvedArguments(
            size=size if size is not None else self._multiplier if unknown or invalid else None,
            explicit=size is not None,
            guess=guess.size,
            points=demand.points + weighed + count // _VALUES_PER_POINT,
            offset=max(offset, guess.offset),
            sure_offset=offset,
            invalid=invalid,
            unmet=demand.one_needed and _given(demand, bindings) != 1,
        )

    def _guess(self, demand: ArgumentPlan, bindings: Bindings) -> GuessedSizes:
        """What was come across where there may be no size."""
        guess = GuessedSizes()
        for _, value, kind in demand.searched:
            guess.merge(self._search.within(value, kind, bindings))
        for each in demand.hints:
            guess.size = max([guess.size, *(got for got in _read(each, bindings) if isinstance(got, int))])
        return guess

    def _size(self, demand: ArgumentPlan, bindings: Bindings) -> tuple[int | None, bool, bool]:
        """The largest size that is said, and whether one was unknown or invalid."""
        sizes: list[int] = []
        unknown = invalid = False
        for each in demand.sizes:
            read = _read(each, bindings)
            if each.inside and each.candidates(bindings) == [Absent.ABSENT]:
                continue  # an input object without it says nothing
            for size in read:
                # Operations with different defaults: the dearest counts, and no default is the multiplier.
                if size is NoSize.UNKNOWN and len(read) > 1:
                    size = self._multiplier
                if isinstance(size, int):
                    sizes.append(size)
                unknown |= size is NoSize.UNKNOWN
                invalid |= size is NoSize.INVALID
        return max(sizes, default=None), unknown, invalid


def _read(each: SlicingArgument, bindings: Bindings) -> list[int | NoSize]:
    return [each.read(item) for item in each.candidates(bindings)]


def _values_of(name: str, bindings: Bindings) -> int:
    found: int | None = bindings.memo.get(name)
    if found is None:
        found = max([leaves(layers) for layers in bindings.layers(name)])
        bindings.memo[name] = found
    return found


def _given(demand: ArgumentPlan, bindings: Bindings) -> int:
    """How many slicing arguments a request gives; the schema's defaults stand in where there is none."""
    given = [each.given and each.candidates(bindings) not in ([None], [Absent.ABSENT]) for each in demand.sizes]
    return sum(given) or len(demand.sizes) - sum(each.given for each in demand.sizes)
