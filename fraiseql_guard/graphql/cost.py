"""What one field costs: its weight, the size of its list, and what its arguments ask for (SPEC section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fraiseql_guard.graphql.demands import Demands, Origin
from fraiseql_guard.graphql.schema import WRAPPERS, FieldRule, SchemaTable
from fraiseql_guard.graphql.tree import Field
from fraiseql_guard.settings import Settings

ROOT_TYPES: Final = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}


@dataclass(frozen=True, slots=True)
class Assumed:
    """n where no argument says one. ``page``: of the fields below that hold the items. ``unsliced``: nobody knows."""

    size: int
    origin: Origin
    page: bool = False
    unsliced: bool = False


class CostRules:
    """The rules of the settings and, if there is one, the schema. Frozen after construction."""

    __slots__ = (
        "_by_name",
        "_costs",
        "_list_fields",
        "_uneven",
        "demands",
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
        self.demands = Demands(settings, table)
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

    def assumed(self, field: Field, rule: FieldRule | None) -> Assumed:
        """The size of a list that no argument says."""
        if rule is None:
            many = field.name in self._list_fields or (field.selection is not None and is_plural(field.name))
            return Assumed(self.multiplier, Origin.NAME) if many else Assumed(1, Origin.ONE)
        page = not rule.many and self._is_page(rule)
        if not (rule.many or page):
            return Assumed(1, Origin.ONE)
        if rule.assumed_size is not None:
            return Assumed(max(1, rule.assumed_size), Origin.SCHEMA, page)
        return Assumed(self.multiplier, Origin.ASSUMED, page, unsliced=True)

    def _is_page(self, rule: FieldRule) -> bool:
        if self.table is None or rule.returns is None:
            return False
        return bool(rule.sized_fields) or (self.demands.is_sliced(rule) and self.table.holds_items(rule.returns))


def is_plural(name: str) -> bool:
    """Whether a field's name looks like a list: users, but not address, status, analysis."""
    return name.endswith("s") and not name.endswith(("ss", "us", "is"))
