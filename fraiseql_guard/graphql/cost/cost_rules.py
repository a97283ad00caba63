"""Computes the cost of one field: its weight, the size of its list, and the cost of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain
from typing import Final

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.cost.arguments import ArgumentPlan, ArgumentPlanner, SizeOrigin, SizeRole
from fraiseql_guard.graphql.cost.input_objects import InputSearch, InputWeights
from fraiseql_guard.graphql.cost.resolved_arguments import ArgumentResolver
from fraiseql_guard.graphql.cost.schema_table import WRAPPERS, FieldRule, SchemaTable
from fraiseql_guard.graphql.syntax.ast import FieldNode, PossibleTypes
from fraiseql_guard.graphql.syntax.counts import SelectionCounter

ROOT_TYPES: Final = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}
PAGE_INFO: Final = "pageInfo"
_NO_NAMES: Final[frozenset[str]] = frozenset()


class PageSize(Enum):
    """Whether a field is a page, whose size multiplies only those of its children that hold its items."""

    NEVER = auto()  # no page: a list, whose size multiplies everything below it, or one object
    ALWAYS = auto()  # a page by the schema
    SIZED = auto()  # looks like a page, and is one if an argument gives a size
    GUESSED = auto()  # an object with lists, of which an argument may give the size


@dataclass(frozen=True, slots=True)
class AssumedSize:
    """The size of a list for which no argument says one. ``unsliced``: the schema does not say one either."""

    size: int
    origin: SizeOrigin
    unsliced: bool = False


@dataclass(slots=True, eq=False)
class ChildField:
    """A child of a field that has a cost or a selection. Not frozen, because there are many."""

    field: FieldNode
    rule: FieldRule | None
    weight: int
    leaves_only: bool  # nothing below it selects anything

    @property
    def is_of_a_page(self) -> bool:
        """Whether the child has the name of a field of pages: edges, nodes, items, or pageInfo with leaves alone."""
        name = self.field.name
        return name in WRAPPERS or (name == PAGE_INFO and self.leaves_only)


ChildAlternatives = Iterable[Iterable[tuple[int, ChildField]]]
"""The children of a field for each type that it may return, each with the number of its term."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Which children the size of a field multiplies: those called ``names``; if GUESSED, those that are lists."""

    page: PageSize
    names: frozenset[str] = _NO_NAMES

    def holds(self, child: ChildField) -> bool:
        """Whether the size of the field multiplies a child."""
        if self.page is PageSize.GUESSED:
            return child.rule is not None and child.rule.many
        return child.field.name in self.names


class CostRules:
    """The rules of the settings and, if there is one, the schema. Frozen after construction."""

    __slots__ = (
        "_by_name",
        "_costs",
        "_list_fields",
        "_planner",
        "_uneven",
        "counter",
        "judges_fields",
        "max_complexity",
        "multiplier",
        "mutation_type",
        "nested_switches",
        "possible_types",
        "refuses_unsliced",
        "resolver",
        "table",
    )

    def __init__(self, settings: Settings, table: SchemaTable | None) -> None:
        self.table = table
        self.possible_types: Final[PossibleTypes | None] = table.members if table else None
        self.nested_switches: Final = table is None or table.nested_switches
        self.judges_fields: Final = table is not None and table.authoritative and _judges_fields(settings)
        self.multiplier = settings.list_multiplier
        self.mutation_type = table.roots.get("mutation", "") if table else ROOT_TYPES["mutation"]
        self.max_complexity = settings.max_query_complexity
        self.counter = SelectionCounter(settings.edges_node_one_level)
        self.refuses_unsliced = settings.unsliced_lists == "refuse"
        # Shared: the planner finds the input objects to search, the resolver searches them.
        search = InputSearch(settings, table)
        weights = InputWeights(table.inputs if table else {})
        self._planner = ArgumentPlanner(settings, search, weights)
        self.resolver: Final = ArgumentResolver(settings.list_multiplier, search, weights)
        self._list_fields = frozenset(name.rpartition(".")[2] for name in settings.list_fields)
        self._costs = _costs_by_type(settings.field_costs, table)
        self._by_name = _costs_by_name(settings.field_costs)
        # Computed once: an interface may have hundreds of types, too many to compare for each document.
        self._uneven = self._all_uneven_fields(table) if table else {}

    def rule(self, owner: str | None, field: FieldNode) -> FieldRule | None:
        """The schema's rule for a field of the type ``owner``; None without a schema, a type, or such a field."""
        if self.table is None or not owner:
            return None
        return self.table.fields.get(owner, {}).get(field.name)

    def objects(self, owner: str | None) -> tuple[str, ...]:
        """The possible object types of a type, in their order; empty without a schema."""
        return self.table.possible.get(owner or "", ()) if self.table is not None else ()

    def likeness(self, owner: str, field: FieldNode) -> object:
        """A key that is equal for types in which the field costs the same."""
        return self._likeness(owner, field.name)

    def _likeness(self, owner: str, name: str) -> object:
        rule = self.table.fields.get(owner, {}).get(name) if self.table else None
        # Rules are shared by types whose definition is the same, so that identity is enough.
        return id(rule), self._costs.get((owner, name))

    def is_uniform(self, owner: str | None, field: FieldNode) -> bool:
        """Whether a field costs the same in all object types that ``owner`` can be."""
        return field.name not in self._uneven.get(owner or "", ())

    def _all_uneven_fields(self, table: SchemaTable) -> Mapping[str, frozenset[str]]:
        """For each interface and union of several object types the fields whose cost differs between these."""
        several = {name: owners for name, owners in table.possible.items() if len(owners) > 1}
        return {name: self._uneven_fields(table, owners) for name, owners in several.items()}

    def _uneven_fields(self, table: SchemaTable, owners: tuple[str, ...]) -> frozenset[str]:
        names = {name for owner in owners for name in table.fields[owner]}
        # The settings may set a cost for a field in one of the types alone.
        names |= {name for _, name in self._costs}
        return frozenset([name for name in names if len({self._likeness(owner, name) for owner in owners}) > 1])

    def is_free(self, field: FieldNode, owner: str | None) -> bool:
        """Whether a field below the root is a leaf that costs nothing, whatever the variables."""
        if field.selection or field.arguments:
            return False
        return not self.weight(field, owner, self.rule(owner, field), at_root=False)

    def weight(self, field: FieldNode, owner: str | None, rule: FieldRule | None, *, at_root: bool) -> int:
        """The weight of a field of the type ``owner`` (None if unknown): by the settings, else by the schema."""
        # 1. The settings win, by type where it is known.
        cost = self._costs.get((owner, field.name)) if owner else self._by_name.get(field.name)
        if cost is not None:
            return cost
        # 2. @cost in the schema comes next.
        if rule is not None and rule.weight is not None:
            return rule.weight
        # 3. A leaf is free: it comes with its object's row. A field with a selection, or at the root, is work.
        return 1 if field.selection or at_root else 0

    def paging(
        self,
        owner: str | None,
        field: FieldNode,
        rule: FieldRule | None,
        children: Callable[[], ChildAlternatives],
    ) -> Paging:
        """Whether a field of the type ``owner`` is a page, and of which children. ``children`` is called if the schema
        does not tell."""
        if rule is None or self.table is None:
            return _LOOKS_LIKE_A_PAGE if _looks_like_a_page(children()) else _NO_PAGE
        if rule.many or rule.returns is None:
            return _NO_PAGE
        return self._paging_by_schema(owner, field, rule, self.table)

    def _paging_by_schema(self, owner: str | None, field: FieldNode, rule: FieldRule, table: SchemaTable) -> Paging:
        """As :meth:`paging`, for a field that returns one object by the schema."""
        # @listSize(sizedFields:) names the fields that hold the items.
        if rule.sized_fields:
            return Paging(PageSize.ALWAYS, rule.sized_fields)
        # Relay's connections and similar pages, if the schema or an argument can say their size.
        if table.holds_items(rule.returns) and self._has_size(owner, field, rule):
            return _PAGE
        if rule.arguments and table.holds_lists(rule.returns):
            return _HOLDS_LISTS
        return _NO_PAGE

    def _has_size(self, owner: str | None, field: FieldNode, rule: FieldRule) -> bool:
        """Whether the schema says the size of a page, or the field has an argument for it."""
        return rule.assumed_size is not None or self._planner.is_sliced(owner, field.name, rule)

    def assumed(self, field: FieldNode, rule: FieldRule | None, paging: Paging) -> AssumedSize:
        """The size that counts for a field if no argument says one; 1 if it is no list."""
        if rule is None:
            # Without a schema only the settings or a plural name suggest a list.
            return AssumedSize(self.multiplier, SizeOrigin.NAME) if self._is_named_like_a_list(field) else _ONE
        if not rule.many and paging.page is not PageSize.ALWAYS:
            return _ONE
        if rule.assumed_size is not None:
            # A size of 0 would make everything below free.
            return AssumedSize(max(1, rule.assumed_size), SizeOrigin.SCHEMA)
        return AssumedSize(self.multiplier, SizeOrigin.ASSUMED, unsliced=True)

    def _is_named_like_a_list(self, field: FieldNode) -> bool:
        return field.name in self._list_fields or (field.selection is not None and is_plural(field.name))

    def argument_plan(
        self,
        owner: str | None,
        field: FieldNode,
        rule: FieldRule | None,
        paging: Paging,
        assumed: AssumedSize,
        *,
        writes: bool,
    ) -> ArgumentPlan:
        """Plan the arguments of a field. ``writes``: it is a mutation."""
        role = _role_by_name(paging, assumed) if rule is None else _role_by_schema(paging, rule)
        return self._planner.plan(field, owner, rule, role, writes=writes)


def _judges_fields(settings: Settings) -> bool:
    """Whether fields that an authoritative schema lacks are refused: not with several paths, which may serve several
    schemas."""
    return settings.unknown_fields == "refuse" and len(settings.graphql_paths) == 1 and settings.graphql_paths != ("/",)


def _role_by_name(paging: Paging, assumed: AssumedSize) -> SizeRole:
    """The role of the slicing arguments of a field that no schema describes."""
    sized = assumed.origin is SizeOrigin.NAME or paging.page is PageSize.SIZED
    return SizeRole.SIZES if sized else SizeRole.HINTS


def _role_by_schema(paging: Paging, rule: FieldRule) -> SizeRole:
    if rule.listed or paging.page is PageSize.ALWAYS:
        return SizeRole.SIZES
    return SizeRole.HINTS if paging.page is PageSize.GUESSED else SizeRole.NONE


_NO_PAGE: Final = Paging(PageSize.NEVER)
_PAGE: Final = Paging(PageSize.ALWAYS, WRAPPERS)
_LOOKS_LIKE_A_PAGE: Final = Paging(PageSize.SIZED, WRAPPERS)
_HOLDS_LISTS: Final = Paging(PageSize.GUESSED)
_ONE: Final = AssumedSize(1, SizeOrigin.ONE)


def _costs_by_type(field_costs: Mapping[str, int], table: SchemaTable | None) -> Mapping[tuple[str, str], int]:
    """The costs of the settings by type and field. A cost on an interface or a union holds for its object types."""
    costs: dict[tuple[str, str], int] = {}
    for name, points in field_costs.items():
        owner, _, field = name.partition(".")
        # Of several interfaces with a cost for one field, the highest holds.
        for concrete in table.possible.get(owner, ()) if table else ():
            costs[concrete, field] = max(points, costs.get((concrete, field), 0))
    for name, points in field_costs.items():  # what is said of the type itself wins over its interfaces
        owner, _, field = name.partition(".")
        costs[owner, field] = points
    return costs


def _costs_by_name(field_costs: Mapping[str, int]) -> Mapping[str, int]:
    """The costs of the settings by field: the highest on any type but the root types."""
    costs: dict[str, int] = {}
    for name, points in field_costs.items():
        owner, _, field = name.partition(".")
        if owner not in ROOT_TYPES.values():
            costs[field] = max(points, costs.get(field, 0))
    return costs


def _looks_like_a_page(alternatives: ChildAlternatives) -> bool:
    """Whether a field without a schema selects edges, nodes, items or pageInfo, and beside them only free leaves."""
    found = False
    for _, child in chain.from_iterable(alternatives):
        if child.is_of_a_page:
            found = True
        # Another object or a leaf with a cost beside the items: it is an object of its own rather than a page.
        elif child.field.selection is not None or child.weight:
            return False
    return found


def is_plural(name: str) -> bool:
    """Whether a field's name looks like a list: users, but not address, status, analysis."""
    return name.endswith("s") and not name.endswith(("ss", "us", "is"))
