"""Resolves the arguments of a field with the variables of one request: its size, its offset, its points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fraiseql_guard.graphql.cost.arguments import ArgumentPlan
from fraiseql_guard.graphql.cost.input_objects import GuessedSizes, InputSearch, InputWeights
from fraiseql_guard.graphql.cost.list_sizes import NoSize, read_offset
from fraiseql_guard.graphql.cost.slicing_arguments import SlicingArgument
from fraiseql_guard.graphql.json_containers import leaves
from fraiseql_guard.graphql.syntax.values import Absent, Bindings

_VALUES_PER_POINT: Final = 50
_NO_GUESS: Final = GuessedSizes()


@dataclass(frozen=True, slots=True)
class ResolvedArguments:
    """What the arguments of a field ask for in one request. ``size`` is None if no argument is a size."""

    size: int | None = None
    explicit: bool = False  # the size is a given number, not the list multiplier
    guess: int = 0  # a size by the name of an argument or an input field; 0 for none
    points: int = 0
    offset: int = 0
    sure_offset: int = 0  # the offset without guesses
    invalid: bool = False  # a size is no whole number
    unmet: bool = False  # exactly one slicing argument is needed, and there is none or several


NOTHING_RESOLVED: Final = ResolvedArguments()


@dataclass(slots=True)
class _ReadSizes:
    """The sizes of the slicing arguments of a field: the largest, and whether one was unknown or invalid."""

    size: int | None = None
    unknown: bool = False
    invalid: bool = False

    def note(self, size: int | NoSize) -> None:
        if isinstance(size, int):
            self.size = size if self.size is None else max(self.size, size)
        elif size is NoSize.UNKNOWN:
            self.unknown = True
        elif size is NoSize.INVALID:
            self.invalid = True


class ArgumentResolver:
    """Resolves argument plans. ``multiplier`` is the size that counts for a list of unknown size."""

    __slots__ = ("_multiplier", "_search", "_weights")

    def __init__(self, multiplier: int, search: InputSearch, weights: InputWeights) -> None:
        self._multiplier = multiplier
        self._search = search
        self._weights = weights

    def resolve(self, plan: ArgumentPlan, bindings: Bindings) -> ResolvedArguments:
        """Resolve the arguments of a field with the variables of a request."""
        read = self._sizes(plan, bindings)
        size = read.size
        # A slicing argument is there, but says no number: $first without a value, or an invalid one.
        if size is None and (read.unknown or read.invalid):
            size = self._multiplier
        guess = self._guess(plan, bindings) if plan.searched or plan.hints else _NO_GUESS
        offset = _offset(plan, bindings) if plan.offsets else 0
        return ResolvedArguments(
            size=size,
            explicit=read.size is not None,
            guess=guess.size,
            points=self._points(plan, bindings),
            offset=max(offset, guess.offset),
            sure_offset=offset,
            invalid=read.invalid,
            unmet=plan.one_needed and _count_given(plan, bindings) != 1,
        )

    def _points(self, plan: ArgumentPlan, bindings: Bindings) -> int:
        """Points of the arguments, of the input fields in them, and of many values."""
        # The plan counts a variable as one value. Here all values that it holds count.
        values = plan.values + sum([_values_of(name, bindings) - 1 for name in plan.variables])
        weighed = sum([self._weights.of(value, kind, bindings) for value, kind in plan.weighed])
        # Every 50 values cost a point: parsing and coercing them is work whatever the schema says.
        return plan.points + weighed + values // _VALUES_PER_POINT

    def _guess(self, plan: ArgumentPlan, bindings: Bindings) -> GuessedSizes:
        """The sizes and offsets that are guesses."""
        guess = GuessedSizes()
        for _, value, kind in plan.searched:
            guess.merge(self._search.within(value, kind, bindings))
        for each in plan.hints:
            # Only numbers count; why a hint gives no size does not matter.
            guess.size = max([guess.size, *(got for got in _read(each, bindings) if isinstance(got, int))])
        return guess

    def _sizes(self, plan: ArgumentPlan, bindings: Bindings) -> _ReadSizes:
        found = _ReadSizes()
        for each in plan.sizes:
            read = _read(each, bindings)
            if each.inside and each.candidates(bindings) == [Absent.ABSENT]:
                continue  # the input object was given without this field
            for size in read:
                # With several defaults the largest size counts; the multiplier stands for a default that says none.
                found.note(self._multiplier if size is NoSize.UNKNOWN and len(read) > 1 else size)
        return found


def _read(each: SlicingArgument, bindings: Bindings) -> list[int | NoSize]:
    return [each.read(item) for item in each.candidates(bindings)]


def _offset(plan: ArgumentPlan, bindings: Bindings) -> int:
    """The largest of the offsets."""
    return max([read_offset(item) for value in plan.offsets for item in bindings.candidates(value)])


def _values_of(name: str, bindings: Bindings) -> int:
    """The number of plain values that a variable holds, counted once in a request."""
    found: int | None = bindings.memo.get(name)
    # Thousands of fields may use one large variable; it is measured once.
    if found is None:
        found = max([leaves(layers) for layers in bindings.layers(name)])
        bindings.memo[name] = found
    return found


def _count_given(plan: ArgumentPlan, bindings: Bindings) -> int:
    """The number of slicing arguments that a request gives; if it gives none, that of the schema's defaults."""
    # For requireOneSlicingArgument, null is as good as nothing.
    given = [each.given and each.candidates(bindings) not in ([None], [Absent.ABSENT]) for each in plan.sizes]
    return sum(given) or len(plan.sizes) - sum([each.given for each in plan.sizes])
