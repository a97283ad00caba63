"""A host whose resolvers return exactly as many objects as they are asked for, and count them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema, execute_sync, is_list_type, parse, validate
from graphql.type import get_named_type, get_nullable_type, is_abstract_type, is_composite_type, is_introspection_type

UNSIZED = 3
"""How long a list is for which nothing says a size: at most the list multiplier."""
SDL = """
directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!]) on FIELD_DEFINITION
type Query {
  orders(limit: Int, where: Where): [Order!]
  order: Order
  page(first: Int, last: Int): OrderPage
  result(limit: Int): OrderResult
  byIds(ids: [ID!], first: Int): [Order!] @listSize(slicingArguments: ["ids"])
  _entities(representations: [ID!]!): [Thing]!
  things(take: Int): [Thing]
  thing: Thing
  preset(limit: Int = 2): [Order]
  table(rows: Int): Table @listSize(slicingArguments: ["rows"], sizedFields: ["cells"])
  assumed: [Item] @listSize(assumedSize: 3)
  paged(paging: Paging): [Order]
  named(top: Int): [Named]
}
input Where { limit: Int, size: Int }
input Paging { first: Int, deep: Paging, where: Where }
union Thing = Order | Customer | Item
interface Named { name: String }
type Order {
  id: ID
  items: [Item]
  nodes(count: Int): [Item]
  customer: Customer
  orders(limit: Int): [Order]
  page(first: Int): OrderPage
}
type Customer implements Named { id: ID name: String orders(limit: Int, where: Where): [Order] boss: Customer }
type Item implements Named { id: ID name: String order: Order parts(limit: Int): [Item] }
type OrderPage { edges: [Edge] nodes: [Order] items(limit: Int): [Item] pageInfo: PageInfo owner: Customer }
type Edge { cursor: ID node: Order }
type PageInfo { more: ID }
type OrderResult { data: [Order] total: ID first: Order }
type Table { cells: [Item] totals: Item }
"""
PAGES = {"OrderPage": ("edges", "nodes", "items"), "OrderResult": ("data",), "Table": ("cells",)}


@dataclass
class Made:
    """An object of a type; of a page with the size that was asked for."""

    kind: str
    size: int | None = None


class CountingHost:
    """Runs documents and counts the objects that its resolvers return."""

    def __init__(self) -> None:
        self.schema: GraphQLSchema = build_schema(SDL)
        self.objects = 0
        self._turn = count()
        own = [kind for kind in self.schema.type_map.values() if not is_introspection_type(kind)]
        for kind in own:  # those of introspection are shared by all schemas of the process
            for name, field in getattr(kind, "fields", {}).items():
                if is_composite_type(get_named_type(getattr(field, "type", None))):
                    field.resolve = self._resolver(name, field.type)
            if is_abstract_type(kind):
                kind.resolve_type = lambda made, *_: made.kind

    def run(self, text: str, variables: dict[str, Any] | None = None) -> int:
        """How many objects a document brings."""
        document = parse(text)
        assert validate(self.schema, document) == []
        self.objects = 0
        outcome = execute_sync(self.schema, document, variable_values=variables)
        assert not outcome.errors, [error.message for error in outcome.errors or () if isinstance(error, GraphQLError)]
        return self.objects

    def _resolver(self, name: str, kind: Any) -> Any:
        many, named = is_list_type(get_nullable_type(kind)), get_named_type(kind)
        possible = [item.name for item in self.schema.get_possible_types(named)] if is_abstract_type(named) else []

        def make(size: int | None) -> Made:
            self.objects += 1
            return Made(possible[next(self._turn) % len(possible)] if possible else named.name, size)

        def resolve(source: Any, _info: Any, **arguments: Any) -> Any:
            size = _asked(arguments)
            if not many:
                return make(size)
            if size is None and isinstance(source, Made) and name in PAGES.get(source.kind, ()):
                size = source.size
            return [make(None) for _ in range(UNSIZED if size is None else size)]

        return resolve


def _asked(arguments: dict[str, Any]) -> int | None:
    sizes = [abs(value) for value in arguments.values() if type(value) is int]
    sizes += [len(value) for value in arguments.values() if type(value) is list]
    paging = arguments.get("paging")
    while paging:
        sizes += [abs(paging["first"])] if paging.get("first") is not None else []
        paging = paging.get("deep")
    return max(sizes, default=None)
