"""What the documentation says about prices, depth and aliases without a schema, word by word, on graphql-core's tree.

Every fragment is expanded wherever it is spread, and every value is looked up where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphql import FieldNode, InlineFragmentNode, SelectionSetNode, parse, value_from_ast_untyped

HOLDERS = {"edges", "nodes", "items"}
SLICING = {"limit", "first", "last", "take", "top", "count", "size", "pageSize", "perPage"}
FILTERS = {"where", "filter", "orderBy"}
MULTIPLIER = 10

Place = list[tuple[FieldNode, str | None]]
"""Fields of one response key, each with the type that it is conditional on."""


class Naive:
    """A document without variables."""

    def __init__(self, text: str) -> None:
        document = parse(text)
        self.fragments = {item.name.value: item for item in document.definitions if item.kind == "fragment_definition"}
        self.operations = [item for item in document.definitions if item.kind == "operation_definition"]

    # --- what stands where -------------------------------------------------------------------------------------------

    def fields(
        self, selection_set: SelectionSetNode | None, on: str | None = None
    ) -> Iterator[tuple[FieldNode, str | None]]:
        for item in selection_set.selections if selection_set else ():
            if isinstance(item, FieldNode):
                yield item, on
            elif isinstance(item, InlineFragmentNode):
                yield from self.fields(
                    item.selection_set, item.type_condition.name.value if item.type_condition else on
                )
            else:
                fragment = self.fragments[item.name.value]
                yield from self.fields(fragment.selection_set, fragment.type_condition.name.value)

    def below(self, place: Place) -> dict[str, Place]:
        groups: dict[str, Place] = {}
        for node, _ in place:
            for child, on in self.fields(node.selection_set):
                groups.setdefault(_key(child), []).append((child, on))
        return groups

    # --- prices ------------------------------------------------------------------------------------------------------

    def complexity(self) -> int:
        return max(
            sum(self.cost([field], root=operation.operation.value) for field in self.fields(operation.selection_set))
            for operation in self.operations
        )

    def cost(self, place: Place, *, root: str = "", in_page: bool = False) -> int:
        node, children = place[0][0], list(self.below(place).values())
        arguments = {item.name.value: value_from_ast_untyped(item.value) for item in node.arguments or ()}
        values = sum(_values(value) for value in arguments.values())
        weight = 1 if children or root else 0
        page = all(self.may_stand_in_a_page(child) for child in children)
        holding = [child for child in children if child[0][0].name.value in HOLDERS]

        def with_size(size: int, page: bool) -> int:
            if not page:
                return size * (weight + sum(self.cost(child) for child in children))
            others = sum(self.cost(child) for child in children if child not in holding)
            return size * (weight + sum(self.cost(child, in_page=True) for child in holding)) + others

        plural = children and node.name.value.endswith("s") and not node.name.value.endswith(("ss", "us", "is"))
        listlike = plural or (page and any(child[0][0].name.value in HOLDERS | {"pageInfo"} for child in children))
        if root == "mutation" and not listlike:  # its input is data
            arguments = {name: value for name, value in arguments.items() if name not in SLICING}
        said = [abs(value) for name, value in arguments.items() if name in SLICING and value is not None]
        unknown = any(value is None for name, value in arguments.items() if name in SLICING)
        if said or unknown:
            price = with_size(max(1, *said) if said else MULTIPLIER, page)
        else:
            price = with_size(MULTIPLIER if plural and not in_page else 1, page=False)
        if children and root != "mutation":
            price = max([price, *(with_size(size, page) for size in _guesses(arguments))])
        return price + values // 50

    def may_stand_in_a_page(self, place: Place) -> bool:
        name, children = place[0][0].name.value, self.below(place)
        return name in HOLDERS or not children or name == "pageInfo"

    # --- depth and aliases -------------------------------------------------------------------------------------------

    def depth(self, selection_set: SelectionSetNode | None, inside: str = "") -> int:
        """Of the deepest field; edges and node are one level."""
        levels = [
            (0 if inside == "edges" and node.name.value == "node" and node.selection_set else 1)
            + self.depth(node.selection_set, node.name.value)
            for node, _ in self.fields(selection_set)
        ]
        return max(levels, default=0)

    def aliases(self, places: dict[str, Place]) -> int:
        """Those by which a field of one object is asked for more than once; an object is of one of the types."""
        types = {on for place in places.values() for _, on in place if on} or {None}
        return max(self._aliases(self._of_type(places, one)) for one in types)

    @staticmethod
    def _of_type(places: dict[str, Place], one: str | None) -> dict[str, Place]:
        found = {key: [(node, on) for node, on in place if on in (None, one)] for key, place in places.items()}
        return {key: place for key, place in found.items() if place}

    def _aliases(self, places: dict[str, Place]) -> int:
        keys: dict[str, set[str]] = {}
        for key, place in places.items():
            keys.setdefault(place[0][0].name.value, set()).add(key)
        again = sum(len(own - {name}) for name, own in keys.items() if len(own) > 1)
        return again + sum(self.aliases(self.below(place)) for place in places.values())

    def most_aliases(self) -> int:
        definitions = (*self.operations, *self.fragments.values())
        return max(self.aliases(self._at(item.selection_set)) for item in definitions)

    def _at(self, selection_set: SelectionSetNode) -> dict[str, Place]:
        groups: dict[str, Place] = {}
        for child, on in self.fields(selection_set):
            groups.setdefault(_key(child), []).append((child, on))
        return groups


def _key(node: FieldNode) -> str:
    return (node.alias or node.name).value


def _guesses(value: object) -> Iterator[int]:
    """Sizes inside of input objects that are no filters."""
    for name, item in value.items() if isinstance(value, dict) else ():
        if name in FILTERS or not isinstance(item, dict):
            continue
        yield from (abs(each) for key, each in item.items() if key in SLICING and type(each) is int)
        yield from _guesses(item)


def _values(value: object) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if not inside else sum(_values(item) for item in inside)
