"""Finds sizes and offsets in input objects, which are guesses by the names of fields, and the points of input fields.

Filters and the like are not searched, by the words in their names; with a schema only whole numbers can be sizes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.cost.list_sizes import guess_size, read_offset
from fraiseql_guard.graphql.cost.schema_table import ANYTHING, NUMBER, ArgumentRule, SchemaTable, with_users
from fraiseql_guard.graphql.json_containers import values_of
from fraiseql_guard.graphql.syntax.values import Bindings, Value, VariableNode

OFFSET_ARGUMENTS: Final = frozenset({"offset", "skip"})
SEARCHED: Final = frozenset({dict, list, VariableNode})


@dataclass(slots=True)
class GuessedSizes:
    """The largest size and offset that were found in input objects; 0 for none."""

    size: int = 0
    offset: int = 0

    def merge(self, other: GuessedSizes) -> None:
        """Take over the other's size and offset where they are larger."""
        self.size = max(self.size, other.size)
        self.offset = max(self.offset, other.offset)


class InputSearch:
    """Looks for sizes and offsets in input objects. Frozen after construction."""

    __slots__ = ("_filters", "_names", "_slicing", "_types")

    def __init__(self, settings: Settings, table: SchemaTable | None) -> None:
        self._slicing = frozenset(settings.slicing_arguments)
        self._names = self._slicing | OFFSET_ARGUMENTS
        self._filters = any_of_words(settings.filter_arguments)
        self._types = self._worthwhile(table.input_types) if table else {}

    def is_filter(self, name: str) -> bool:
        """Whether an argument or a field of this name filters or orders items, and says no size."""
        return self._filters.search(name) is not None

    def searches(self, name: str, kind: str) -> bool:
        """Whether an argument may hold sizes. ``kind`` is its type's (ANYTHING if unknown)."""
        return (kind == ANYTHING or kind in self._types) and not self.is_filter(name)

    def within(self, value: Value, kind: str, bindings: Bindings) -> GuessedSizes:
        """The sizes and offsets in a value of the type ``kind``."""
        found = GuessedSizes()
        pending = [(value, kind)]
        for value, kind in pending:  # it grows: what a container holds is appended behind it
            if type(value) is VariableNode:
                found.merge(self._of_variable(value, kind, bindings))
            elif type(value) is list:
                # Long lists of plain values (ids) are passed at C speed, without a look at each item.
                if not SEARCHED.isdisjoint(map(type, value)):
                    pending += [(item, kind) for item in value if type(item) in SEARCHED and item]
            elif type(value) is dict:
                self._note(value, kind, bindings, found)
                if not SEARCHED.isdisjoint(map(type, value.values())):
                    pending += self._inside(value, kind)
        return found

    def _note(self, value: dict[str, Value], kind: str, bindings: Bindings, found: GuessedSizes) -> None:
        """Note the sizes and offsets among the fields of one input object."""
        typed = self._types.get(kind)
        for name in self._names & value.keys():
            # Without a type for this object every field of a size's name may be one.
            own = ANYTHING if typed is None else typed.get(name)
            if own not in (NUMBER, ANYTHING):
                continue
            for candidate in bindings.candidates(value[name]):
                if name in self._slicing:
                    found.size = max(found.size, guess_size(candidate, typed=own == NUMBER))
                else:
                    found.offset = max(found.offset, read_offset(candidate))

    def _inside(self, value: dict[str, Value], kind: str) -> Iterable[tuple[Value, str]]:
        typed = self._types.get(kind)
        for name, item in value.items():
            # Plain values hold nothing, and neither do empty containers.
            if type(item) not in SEARCHED or not item:
                continue
            if typed is None:
                if not self.is_filter(name):
                    yield item, ANYTHING
            elif (own := typed.get(name)) is not None and own != NUMBER:
                yield item, own

    def _of_variable(self, variable: VariableNode, kind: str, bindings: Bindings) -> GuessedSizes:
        key = f"{variable.name}?{kind}"  # a question mark is in no variable's name
        found: GuessedSizes | None = bindings.memo.get(key)
        if found is None:
            # Each variable is searched once a request: thousands of uses of a large one cost no more.
            found = bindings.memo[key] = GuessedSizes()  # a default might name its own variable
            # A variable without any object in it has no named fields, so no sizes.
            if any(dict in map(type, layer) for layers in bindings.layers(variable.name) for layer in layers):
                for candidate in bindings.candidates(variable):
                    found.merge(self.within(candidate, kind, bindings))
        return found

    def _worthwhile(self, types: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
        """The input types that can hold a size, each with the kinds of its fields that are or hold one."""
        # 1. Drop filters, by their names.
        fields = {name: self._without_filters(own) for name, own in types.items()}
        # 2. Find the types that have a size themselves.
        direct = {name for name, own in fields.items() if any(itertools.starmap(self._is_size, own.items()))}
        # 3. Add all types that hold one of these, at any depth.
        holding = with_users(direct, {name: own.values() for name, own in fields.items()})
        # 4. Keep only the fields that are a size or lead to one.
        return {
            name: {key: kind for key, kind in fields[name].items() if kind in holding or self._is_size(key, kind)}
            for name in holding
        }

    def _without_filters(self, fields: Mapping[str, str]) -> Mapping[str, str]:
        return {name: kind for name, kind in fields.items() if not self.is_filter(name)}

    def _is_size(self, name: str, kind: str) -> bool:
        """Whether a field of an input type may be a size or an offset itself."""
        return kind == ANYTHING or (kind == NUMBER and name in self._names)


def any_of_words(words: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds one of the words in a name: orderBy and order_by have "by", bypass does not."""
    plain = "|".join(re.escape(word.lower()) for word in words)
    humps = "|".join(re.escape(word[:1].upper() + word[1:].lower()) for word in words)
    # No words: a pattern that matches nothing. An empty alternative would match every name.
    if not plain:
        return re.compile(r"(?!)")
    # A word ends where no small letter follows: "filter" stands in filterBy, not in filtered.
    return re.compile(rf"(?:(?:^|_)(?i:{plain})|(?:{humps}))(?![a-z])")


def variables_in(value: Value) -> Iterable[tuple[str, VariableNode]]:
    """The variables inside a literal, each after the key that it stands under (empty in a list)."""
    pending = [value]
    for container in pending:  # it grows: containers are appended behind what holds them
        for key, item in _searched_items(container):
            if type(item) is VariableNode:
                yield key, item
            else:
                pending.append(item)


def _searched_items(container: Value) -> Iterable[tuple[str, Value]]:
    """The variables and containers directly inside of a value."""
    if type(container) not in (dict, list) or SEARCHED.isdisjoint(map(type, values_of(container))):
        return ()
    items = container.items() if type(container) is dict else zip(itertools.repeat(""), container)
    return [(key, item) for key, item in items if type(item) in SEARCHED]


class InputWeights:
    """Adds up the costs of input fields. ``inputs`` has the fields of the input types with @cost at any depth."""

    __slots__ = ("_inputs",)

    def __init__(self, inputs: Mapping[str, Mapping[str, ArgumentRule]]) -> None:
        self._inputs = inputs

    def counts(self, kind: str) -> bool:
        """Whether values of a type can cost anything."""
        return kind in self._inputs

    def of(self, value: Value, kind: str, bindings: Bindings) -> int:
        """The points of the input fields in a value of the type ``kind``."""
        points = 0
        pending = [(value, kind)]
        # A stack in place of recursion: the nesting of a variable is a caller's choice.
        while pending:
            value, kind = pending.pop()
            if type(value) is VariableNode:
                points += self._of_variable(value, kind, bindings)
            elif type(value) is list:
                pending.extend((item, kind) for item in value)
            elif type(value) is dict:
                rules = self._inputs.get(kind, {})
                for name in value.keys() & rules.keys():
                    points += rules[name].points
                    if rules[name].kind in self._inputs:
                        pending.append((value[name], rules[name].kind))
        return points

    def _of_variable(self, value: VariableNode, kind: str, bindings: Bindings) -> int:
        key = f"{value.name}:{kind}"  # a colon is in no variable's name
        if key not in bindings.memo:
            bindings.memo[key] = 0  # a variable's value holds no variables; its default might name itself
            bindings.memo[key] = max(self.of(item, kind, bindings) for item in bindings.candidates(value))
        return int(bindings.memo[key])
