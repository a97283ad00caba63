"""Argument values: literals of a document as plain data, and what variables stand for in one request.

A literal becomes None, bool, int, float, str, list or dict, as JSON would give it; what JSON lacks (a variable, an
enum's word, a number too long to be one) has a type of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from fraiseql_guard.graphql.json_containers import generations

Value = Any
"""A literal or JSON value."""

MAX_COUNT: Final = 2**53
"""Where sums stop: the largest whole number that every JSON reader keeps."""
_MAX_DIGITS: Final = 18


class Absent(Enum):
    """A variable that was neither sent nor has a default."""

    ABSENT = 0


@dataclass(frozen=True, slots=True)
class VariableNode:
    """``$name`` in a document."""

    name: str


@dataclass(frozen=True, slots=True)
class Word:
    """An enum value."""

    text: str


@dataclass(frozen=True, slots=True)
class Digits:
    """A whole number of so many digits that no host can mean it."""

    text: str


class GivenTwiceError(Exception):
    """An argument or a key of an input object stands there twice: hosts disagree which one they take."""


def number(text: str) -> Value:
    """The value of a number's text."""
    if "." in text or "e" in text or "E" in text:
        return float(text)
    # Python's int takes quadratic time on long texts of digits, and refuses more than 4,300.
    return int(text) if len(text) <= _MAX_DIGITS else Digits(text)


def unique(pairs: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    """Pairs as a dict; GivenTwiceError for a repeated name."""
    found: dict[str, Value] = {}
    for name, value in pairs:
        if name in found:
            raise GivenTwiceError(name)
        found[name] = value
    return found


@dataclass(frozen=True, slots=True)
class Bindings:
    """What variables may stand for: the value that was sent, else every default that an operation declares.

    Hosts exist that mix the defaults of several operations, so each of them counts.
    """

    sent: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was found inside a variable: many fields may share a large one, and it is searched once."""

    def candidates(self, value: Value) -> tuple[Value, ...]:
        """The values that ``value`` may have in this request."""
        if type(value) is not VariableNode:
            return (value,)
        if value.name in self.sent:
            return (self.sent[value.name],)
        return self.defaults.get(value.name, (Absent.ABSENT,))

    def layers(self, name: str) -> list[list[list[Any]]]:
        """For each value that a variable may have its containers by generation (``containers.generations``)."""
        key = f"{name}["  # a bracket is in no variable's name
        found: list[list[list[Any]]] | None = self.memo.get(key)
        if found is None:
            found = self.memo[key] = [list(generations(value)) for value in self.candidates(VariableNode(name))]
        return found
