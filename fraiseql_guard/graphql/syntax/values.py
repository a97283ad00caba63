"""Argument values: literals of a document as plain data, and what variables stand for in one request.

A literal becomes None, bool, int, float, str, list or dict, as from JSON. Variables, enum values and numbers of too
many digits, which JSON lacks, have types of their own.
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
    """A whole number with more than 18 digits, kept as text."""

    text: str


class GivenTwiceError(Exception):
    """An argument or a key of an input object is given twice: hosts disagree which one they take."""


def number(text: str) -> Value:
    """The value of a number literal: float, int, or Digits if it has too many."""
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
    """The values that variables may have: the one that was sent, else every default that an operation declares.

    All defaults count, since some hosts mix those of several operations.
    """

    sent: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Results about variables in this request, so that a large one that many fields use is searched once."""

    def candidates(self, value: Value) -> tuple[Value, ...]:
        """The values that ``value`` may have in this request: of a variable ABSENT if it was not sent and has no
        default.
        """
        if type(value) is not VariableNode:
            return (value,)
        if value.name in self.sent:
            return (self.sent[value.name],)
        return self.defaults.get(value.name, (Absent.ABSENT,))

    def layers(self, name: str) -> list[list[list[Any]]]:
        """For each value that a variable may have, its containers level by level (``json_containers.generations``)."""
        key = f"{name}["  # a bracket is in no variable's name
        found: list[list[list[Any]]] | None = self.memo.get(key)
        if found is None:
            found = self.memo[key] = [list(generations(value)) for value in self.candidates(VariableNode(name))]
        return found
