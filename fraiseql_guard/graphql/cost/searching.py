"""Sizes that input objects may hold: guesses, since only the name of a field speaks for them.

Not looked at is what holds no sizes: filters and the like, by the words in their names, and with a schema every field
that is no whole number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.cost.input_types import ANYTHING, NUMBER
from fraiseql_guard.graphql.cost.list_sizes import guess_size, read_offset
from fraiseql_guard.graphql.cost.schema import SchemaTable
from fraiseql_guard.graphql.http.containers import values_of
from fraiseql_guard.graphql.syntax.values import Bindings, Value, VariableNode

OFFSET_ARGUMENTS: Final = frozenset({"offset", "skip"})
SEARCHED: Final = frozenset({dict, list, VariableNode})


@dataclass(slots=True)
class Guess:
    """The largest size and offset that were come across; 0 for none."""

    size: int = 0
    offset: int = 0

    def merge(self, other: Guess) -> None:
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
        """Whether an argument or a field of this name says which items, and not how many."""
        return self._filters.search(name) is not None

    def searches(self, name: str, kind: str) -> bool:
        """Whether an argument may hold sizes. ``kind`` is its type's (ANYTHING if unknown)."""
        return (kind == ANYTHING or kind in self._types) and not self.is_filter(name)

    def within(self, value: Value, kind: str, bindings: Bindings) -> Guess:
        """What a value of a type holds."""
        found = Guess()
        pending = [(value, kind)]
        for value, kind in pending:  # it grows
            if type(value) is VariableNode:
                found.merge(self._of_variable(value, kind, bindings))
            elif type(value) is list:
                if not SEARCHED.isdisjoint(map(type, value)):
                    pending += [(item, kind) for item in value if type(item) in SEARCHED and item]
            elif type(value) is dict:
                self._note(value, kind, bindings, found)
                if not SEARCHED.isdisjoint(map(type, value.values())):
                    pending += self._inside(value, kind)
        return found

    def _note(self, value: dict[str, Value], kind: str, bindings: Bindings, found: Guess) -> None:
        """The sizes and offsets under their names."""
        typed = self._types.get(kind)
        for name in self._names & value.keys():
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
            if type(item) not in SEARCHED or not item:
                continue
            if typed is None:
                if not self.is_filter(name):
                    yield item, ANYTHING
            elif (own := typed.get(name)) is not None and own != NUMBER:
                yield item, own

    def _of_variable(self, variable: VariableNode, kind: str, bindings: Bindings) -> Guess:
        key = f"{variable.name}?{kind}"  # a question mark is in no variable's name
        found: Guess | None = bindings.memo.get(key)
        if found is None:
            found = bindings.memo[key] = Guess()  # a default might name its own variable
            if any(dict in map(type, layer) for layers in bindings.layers(variable.name) for layer in layers):
                for candidate in bindings.candidates(variable):
                    found.merge(self.within(candidate, kind, bindings))
        return found

    def _worthwhile(self, types: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
        """The input types that can hold a size, with those of their fields that do."""
        fields = {
            name: {key: kind for key, kind in own.items() if not self.is_filter(key)} for name, own in types.items()
        }
        holding = {name for name, own in fields.items() if any(self._ends(*item) for item in own.items())}
        users: dict[str, set[str]] = {}
        for name, own in fields.items():
            for kind in own.values():
                users.setdefault(kind, set()).add(name)
        pending = list(holding)
        for kind in pending:  # it grows
            more = users.get(kind, set()) - holding
            holding |= more
            pending += more
        return {
            name: {key: kind for key, kind in fields[name].items() if kind in holding or self._ends(key, kind)}
            for name in holding
        }

    def _ends(self, name: str, kind: str) -> bool:
        return kind == ANYTHING or (kind == NUMBER and name in self._names)


def any_of_words(words: Iterable[str]) -> re.Pattern[str]:
    """Finds names that hold one of the words: orderBy and order_by hold "by", bypass does not."""
    plain = "|".join(re.escape(word.lower()) for word in words)
    humps = "|".join(re.escape(word[:1].upper() + word[1:].lower()) for word in words)
    if not plain:
        return re.compile(r"(?!)")
    return re.compile(rf"(?:(?:^|_)(?i:{plain})|(?:{humps}))(?![a-z])")


def variables_in(value: Value) -> Iterable[tuple[str, VariableNode]]:
    """The variables inside a literal with the key that each stands under (items of a list: none)."""
    pending = [value]
    for container in pending:  # it grows
        if type(container) not in (dict, list) or SEARCHED.isdisjoint(map(type, values_of(container))):
            continue
        for key, item in container.items() if type(container) is dict else (("", item) for item in container):
            if type(item) is VariableNode:
                yield key, item
            elif type(item) in SEARCHED:
                pending.append(item)
