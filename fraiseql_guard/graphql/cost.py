"""What one field costs: its weight, the size of its list, and what its arguments ask for (SPEC section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.graphql.document import Field
from fraiseql_guard.graphql.schema import WRAPPERS, FieldRule, SchemaTable
from fraiseql_guard.graphql.sizes import Found, NoSize, read_offset, read_size
from fraiseql_guard.graphql.values import (
    Absent,
    Bindings,
    Value,
    Variable,
    leaves,
    members,
)
from fraiseql_guard.settings import Settings

OFFSET_ARGUMENTS: Final = frozenset({"offset", "skip"})
ROOT_TYPES: Final = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}
_VALUES_PER_POINT: Final = 50


@dataclass(frozen=True, slots=True)
class Demand:
    """What the arguments of a field may ask for.

    ``sizes`` are slicing arguments: value, whether anything but a whole number is refused, the schema's default.
    ``searched`` are input objects that may hold more. ``deciding`` are the variables whose value can change a size or
    an offset; the others only count if they hold many values.
    """

    sizes: tuple[tuple[Value, bool, Value], ...] = ()
    searched: tuple[Value, ...] = ()
    offsets: tuple[Value, ...] = ()
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


NOTHING: Final = Demand()
NOTHING_ASKED: Final = Asked()


class CostRules:
    """The rules of the settings and, if there is one, the schema. Frozen after construction."""

    __slots__ = (
        "_by_name",
        "_costs",
        "_list_fields",
        "_slicing",
        "_uneven",
        "max_complexity",
        "multiplier",
        "refuses_unsliced",
        "table",
        "wrappers",
    )

    def __init__(self, settings: Settings, table: SchemaTable | None) -> None:
        self.table = table
        self.multiplier = settings.list_multiplier
        self.max_complexity = settings.max_query_complexity
        self.refuses_unsliced = settings.unsliced_lists == "refuse"
        self.wrappers = WRAPPERS | (table.sized_fields if table else frozenset())
        self._slicing = frozenset(settings.slicing_arguments)
        self._list_fields = frozenset(name.rpartition(".")[2] for name in settings.list_fields)
        self._costs: dict[tuple[str, str], int] = {}
        self._by_name: dict[str, int] = {}
        for name, points in settings.field_costs.items():
            owner, _, field = name.partition(".")
            for concrete in table.possible.get(owner, ()) if table else ():
                self._costs[concrete, field] = max(points, self._costs.get((concrete, field), 0))
            if owner not in ROOT_TYPES.values():
                self._by_name[field] = max(points, self._by_name.get(field, 0))
        for name, points in settings.field_costs.items():  # what is said of the type itself wins over its interfaces
            owner, _, field = name.partition(".")
            self._costs[owner, field] = points
        several = {name: owners for name, owners in table.possible.items() if len(owners) > 1} if table else {}
        self._uneven = {name: self._uneven_fields(table, owners) for name, owners in several.items()} if table else {}

    def rule(self, owner: str | None, field: Field) -> FieldRule | None:
        """What the schema says of a field of the type ``owner``."""
        return self.table.fields.get(owner, {}).get(field.name) if self.table and owner else None

    def likeness(self, owner: str, field: Field) -> object:
        """Equal for types in which the field costs the same."""
        return self._likeness(owner, field.name)

    def _likeness(self, owner: str, name: str) -> object:
        rule = self.table.fields.get(owner, {}).get(name) if self.table else None
        return id(rule), self._costs.get((owner, name))

    def is_uniform(self, owner: str | None, field: Field) -> bool:
        """Whether a field costs the same in all object types that ``owner`` can be."""
        return field.name not in self._uneven.get(owner or "", ())

    def _uneven_fields(self, table: SchemaTable, owners: tuple[str, ...]) -> frozenset[str]:
        names = {name for owner in owners for name in table.fields[owner]}
        names |= {name for _, name in self._costs}
        alike = {(owner, name): self._likeness(owner, name) for owner in owners for name in names}
        return frozenset(name for name in names if len({alike[owner, name] for owner in owners}) > 1)

    def is_free(self, field: Field, owner: str | None) -> bool:
        """Whether a field below the root is a leaf that costs nothing, whatever the variables."""
        if field.selection or field.arguments:
            return False
        return not self.weight(field, owner, self.rule(owner, field), at_root=False)

    def weight(self, field: Field, owner: str | None, rule: FieldRule | None, *, at_root: bool) -> int:
        """w of a field of the type ``owner`` (None if unknown)."""
        cost = self._costs.get((owner, field.name)) if owner else self._by_name.get(field.name)
        if cost is not None:
            return cost
        if rule is not None and rule.weight is not None:
            return rule.weight
        return 1 if field.selection or at_root else 0

    def assumed_size(self, field: Field, rule: FieldRule | None) -> tuple[int, bool, bool]:
        """n where no argument says one; whether it is that of a page; whether the list is without a known size."""
        if rule is None:
            many = field.name in self._list_fields or (field.selection is not None and is_plural(field.name))
            return (self.multiplier if many else 1), False, False
        page = not rule.many and self._is_page(rule)
        if not (rule.many or page):
            return 1, False, False
        if rule.assumed_size is not None:
            return max(1, rule.assumed_size), page, False
        return self.multiplier, page, True

    def _is_page(self, rule: FieldRule) -> bool:
        slicing = self._slicing.union(rule.slicing_arguments or ())
        return (
            self.table is not None and self.table.holds_items(rule.returns) and not slicing.isdisjoint(rule.arguments)
        )

    def demand(self, field: Field, rule: FieldRule | None) -> Demand:
        """What the arguments of a field, and the schema's defaults of those not given, may ask for."""
        if not field.arguments and (rule is None or not rule.arguments):
            return NOTHING
        slicing = self._slicing.union(name.rpartition(".")[2] for name in (rule and rule.slicing_arguments) or ())
        sizes = tuple(self._sizes(field, rule, slicing))
        arguments = field.arguments
        inside = [(key, item) for name, value in arguments.items() for key, item in members(value, name)]
        used = tuple(item.name for _, item in inside if type(item) is Variable)
        decides = slicing | OFFSET_ARGUMENTS
        return Demand(
            sizes=sizes,
            searched=tuple(
                value
                for name, value in arguments.items()
                if type(value) in (dict, list, Variable) and (rule is None or rule.countable)
            ),
            offsets=tuple(value for name, value in arguments.items() if name in OFFSET_ARGUMENTS),
            values=sum(leaves(value) for value in arguments.values()),
            variables=used,
            deciding=frozenset(item.name for key, item in inside if type(item) is Variable and key in decides),
        )

    def _sizes(
        self, field: Field, rule: FieldRule | None, slicing: frozenset[str]
    ) -> Iterator[tuple[Value, bool, Value]]:
        if rule is None:
            # Without children it is a leaf, and its size rather that of a picture than of a list.
            strict = field.selection is not None
            yield from ((value, strict, Absent.ABSENT) for name, value in field.arguments.items() if name in slicing)
        elif rule.countable:
            for name, argument in rule.arguments.items():
                if name in slicing and name in field.arguments:
                    yield field.arguments[name], argument.sizes, argument.default
                elif name in slicing and argument.default is not Absent.ABSENT:
                    yield argument.default, argument.sizes, Absent.ABSENT

    def ask(self, demand: Demand, bindings: Bindings) -> Asked:
        """What a field asks for with the variables of a request."""
        found = Found()
        for value, strict, default in demand.sizes:
            candidates = [default if item is Absent.ABSENT else item for item in bindings.candidates(value)]
            read = [read_size(item, strict=strict) for item in candidates]
            for size in read:
                # Operations with different defaults: the dearest counts, and no default is the multiplier.
                found.note_size(self.multiplier if size is NoSize.UNKNOWN and len(read) > 1 else size)
        for value in demand.searched:
            found.merge(self._inside(value, bindings))
        for value in demand.offsets:
            for candidate in bindings.candidates(value):
                found.offset = max(found.offset, read_offset(candidate))
        count = demand.values + sum(self._of_variable(name, bindings).values - 1 for name in demand.variables)
        unknown = found.unknown or found.invalid
        return Asked(
            size=found.size if found.size is not None else self.multiplier if unknown else None,
            explicit=found.size is not None,
            points=count // _VALUES_PER_POINT,
            offset=found.offset,
            invalid=found.invalid,
        )

    def _inside(self, value: Value, bindings: Bindings) -> Found:
        if type(value) is Variable:
            return self._of_variable(value.name, bindings)
        found = Found()
        for key, item in members(value):
            if type(item) is Variable:
                found.merge(self._of_variable(item.name, bindings))
            for candidate in bindings.candidates(item) if key in self._slicing else ():
                found.note_size(read_size(candidate, strict=False))
            for candidate in bindings.candidates(item) if key in OFFSET_ARGUMENTS else ():
                found.offset = max(found.offset, read_offset(candidate))
        return found

    def _of_variable(self, name: str, bindings: Bindings) -> Found:
        found: Found | None = bindings.memo.get(name)
        if found is None:
            found = bindings.memo[name] = Found()
            for candidate in bindings.candidates(Variable(name)):
                found.merge(self._inside(candidate, bindings) if type(candidate) in (dict, list) else Found())
                found.values = max(found.values, leaves(candidate))
        return found


def is_plural(name: str) -> bool:
    """Whether a field's name looks like a list: users, but not address, status, analysis."""
    return name.endswith("s") and not name.endswith(("ss", "us", "is"))
