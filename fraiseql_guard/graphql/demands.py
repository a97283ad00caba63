"""What the arguments of a field ask for: the size of its list, an offset, and points for large values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fraiseql_guard.graphql.containers import generations, leaves, values_of
from fraiseql_guard.graphql.schema import FieldRule, SchemaTable
from fraiseql_guard.graphql.sizes import Found, NoSize, read_offset, read_size
from fraiseql_guard.graphql.slicing import Paths, Slice, by_argument, slices, slices_without_schema
from fraiseql_guard.graphql.tree import Field
from fraiseql_guard.graphql.values import Absent, Bindings, Value, Variable
from fraiseql_guard.settings import Settings

OFFSET_ARGUMENTS: Final = frozenset({"offset", "skip"})
_VALUES_PER_POINT: Final = 50
_NONE: Final[frozenset[str]] = frozenset()


class Origin(StrEnum):
    """Where the size of a list came from."""

    ONE = "one"  # it is no list
    ARGUMENT = "argument"
    VARIABLE = "variable"
    DEFAULT = "default"  # of the operation's variable
    SCHEMA = "schema"  # an argument's default, or @listSize
    ASSUMED = "assumed"  # the list multiplier
    NAME = "name"  # the list multiplier, because the field's name is a plural or configured


@dataclass(frozen=True, slots=True)
class Demand:
    """What the arguments of a field may ask for.

    ``searched`` are input objects that may hold more slicing arguments. ``weighed`` are values whose input fields have
    a cost, with their types. ``deciding`` are the variables whose value can change a size or an offset; the others only
    count if they hold many values.
    """

    sizes: tuple[Slice, ...] = ()
    one_needed: bool = False
    searched: tuple[Value, ...] = ()
    offsets: tuple[Value, ...] = ()
    points: int = 0
    weighed: tuple[tuple[Value, str], ...] = ()
    values: int = 0
    variables: tuple[str, ...] = ()
    deciding: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the arguments of a field ask for in one request. ``size`` is None if no argument says one."""

    size: int | None = None
    explicit: bool = False  # the size is a number that somebody gave
    points: int = 0
    offset: int = 0
    invalid: bool = False
    unmet: bool = False  # exactly one slicing argument is needed, and there is none or several


NOTHING: Final = Demand()
NOTHING_ASKED: Final = Asked()


class Demands:
    """Reads arguments. Frozen after construction."""

    __slots__ = ("_inputs", "_multiplier", "_paths", "_slicing")

    def __init__(self, settings: Settings, table: SchemaTable | None) -> None:
        self._multiplier = settings.list_multiplier
        self._slicing = frozenset(settings.slicing_arguments)
        self._paths = by_argument(self._slicing)
        self._inputs = table.inputs if table else {}

    def slicing(self, rule: FieldRule | None) -> frozenset[str]:
        """Names of a field's slicing arguments; a dot leads into an input object."""
        return self._slicing.union(rule.slicing_arguments) if rule and rule.slicing_arguments else self._slicing

    def is_sliced(self, rule: FieldRule) -> bool:
        """Whether a field has a slicing argument."""
        return not rule.arguments.keys().isdisjoint(self._paths_of(rule))

    def _paths_of(self, rule: FieldRule) -> Paths:
        return by_argument(self.slicing(rule)) if rule.slicing_arguments else self._paths

    def of(self, field: Field, rule: FieldRule | None) -> Demand:
        """What the arguments of a field, and the schema's defaults of those not given, may ask for."""
        if not field.arguments and (rule is None or not rule.arguments):
            return NOTHING
        arguments = field.arguments
        rules = [(rule.arguments[name], value) for name, value in arguments.items()] if rule else []
        used = tuple(item.name for _, item in _variables(arguments))
        deciding = _NONE
        if used:
            decides = OFFSET_ARGUMENTS.union(name.rpartition(".")[2] for name in self.slicing(rule))
            deciding = frozenset(item.name for key, item in _variables(arguments) if key in decides)
        return Demand(
            sizes=tuple(
                slices(field, rule, self._paths_of(rule)) if rule else slices_without_schema(field, self._slicing)
            ),
            one_needed=rule is not None and rule.one_needed,
            searched=tuple(
                value
                for name, value in arguments.items()
                if type(value) in (dict, list, Variable) and (rule is None or rule.countable)
            ),
            offsets=tuple(value for name, value in arguments.items() if name in OFFSET_ARGUMENTS),
            points=sum(argument.points for argument, _ in rules),
            weighed=tuple((value, argument.kind) for argument, value in rules if argument.kind in self._inputs),
            values=sum(leaves(generations(value)) for value in arguments.values()),
            variables=used,
            deciding=deciding,
        )

    def ask(self, demand: Demand, bindings: Bindings) -> Asked:
        """What a field asks for with the variables of a request."""
        found = Found()
        for each in demand.sizes:
            values = candidates(each, bindings)
            if each.inside and values == [Absent.ABSENT]:
                continue  # an input object without it says nothing
            read = [read_size(item, strict=each.strict) for item in values]
            for size in read:
                # Operations with different defaults: the dearest counts, and no default is the multiplier.
                found.note_size(self._multiplier if size is NoSize.UNKNOWN and len(read) > 1 else size)
        for value in demand.searched:
            found.merge(self._inside(value, bindings))
        for value in demand.offsets:
            for candidate in bindings.candidates(value):
                found.offset = max(found.offset, read_offset(candidate))
        count = demand.values + sum(self._of_variable(name, bindings).values - 1 for name in demand.variables)
        weighed = sum(self._weigh(value, kind, bindings) for value, kind in demand.weighed)
        unknown = found.unknown or found.invalid
        return Asked(
            size=found.size if found.size is not None else self._multiplier if unknown else None,
            explicit=found.size is not None,
            points=demand.points + weighed + count // _VALUES_PER_POINT,
            offset=found.offset,
            invalid=found.invalid,
            unmet=demand.one_needed and _given(demand, bindings) != 1,
        )

    def _inside(self, value: Value, bindings: Bindings) -> Found:
        if type(value) is Variable:
            return self._of_variable(value.name, bindings)
        found = self._said(generations(value), bindings)
        for _, item in _variables(value):
            found.merge(self._of_variable(item.name, bindings))
        return found

    def _said(self, layers: Iterable[list[Value]], bindings: Bindings) -> Found:
        """The sizes and offsets under their keys, wherever in the generations of a value."""
        found = Found()
        for container in (each for layer in layers for each in layer if type(each) is dict):
            for key in self._slicing & container.keys():
                for candidate in bindings.candidates(container[key]):
                    found.note_size(read_size(candidate, strict=False))
            for key in OFFSET_ARGUMENTS & container.keys():
                for candidate in bindings.candidates(container[key]):
                    found.offset = max(found.offset, read_offset(candidate))
        return found

    def _of_variable(self, name: str, bindings: Bindings) -> Found:
        found: Found | None = bindings.memo.get(name)
        if found is None:
            found = bindings.memo[name] = Found()
            for candidate in bindings.candidates(Variable(name)):
                layers = list(generations(candidate))
                found.merge(self._said(layers, bindings))  # no variable stands in a variable's value
                found.values = max(found.values, leaves(layers))
        return found

    def _weigh(self, value: Value, kind: str, bindings: Bindings) -> int:
        """The costs of the input fields in a value of the type ``kind``; each variable is weighed once."""
        points = 0
        pending = [(value, kind)]
        while pending:
            value, kind = pending.pop()
            if type(value) is Variable:
                points += self._weigh_variable(value, kind, bindings)
            elif type(value) is list:
                pending.extend((item, kind) for item in value)
            elif type(value) is dict:
                rules = self._inputs.get(kind, {})
                for name in value.keys() & rules.keys():
                    points += rules[name].points
                    if rules[name].kind in self._inputs:
                        pending.append((value[name], rules[name].kind))
        return points

    def _weigh_variable(self, value: Variable, kind: str, bindings: Bindings) -> int:
        key = f"{value.name}:{kind}"  # a colon is in no variable's name
        if key not in bindings.memo:
            bindings.memo[key] = 0  # a variable's value holds no variables; its default might name itself
            bindings.memo[key] = max(self._weigh(item, kind, bindings) for item in bindings.candidates(value))
        return int(bindings.memo[key])


def _variables(value: Value) -> Iterator[tuple[str, Variable]]:
    """The variables inside a literal with the key that each stands under (items of a list: none)."""
    for generation in generations(value):
        for container in generation:
            if Variable in map(type, values_of(container)):
                items = container.items() if type(container) is dict else (("", item) for item in container)
                yield from ((key, item) for key, item in items if type(item) is Variable)


def candidates(each: Slice, bindings: Bindings) -> list[Value]:
    """The values that a slicing argument may have; the schema's default for what was not given."""
    found = list(bindings.candidates(each.value))
    for name in each.inside:
        found = [item.get(name, Absent.ABSENT) if type(item) is dict else Absent.ABSENT for item in found]
        found = [value for item in found for value in bindings.candidates(item)]
    return [each.default if item is Absent.ABSENT else item for item in found]


def _given(demand: Demand, bindings: Bindings) -> int:
    """How many slicing arguments a request gives; the schema's defaults stand in where there is none."""
    given = [each.given and candidates(each, bindings) not in ([None], [Absent.ABSENT]) for each in demand.sizes]
    return sum(given) or len(demand.sizes) - sum(each.given for each in demand.sizes)
