"""The plan of a measured document, and the price of one request for it.

``c(field) = n * (w + c(children)) + a``, where of a page only the fields that hold its items are multiplied with it. A
size that is only guessed counts where it makes the field dearer. What no variable can change is asked once, when the
plan is made; a request with new variables costs one pass over numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fraiseql_guard.graphql.cost.arguments import NOTHING, NOTHING_RESOLVED, ArgumentPlan, ResolvedArguments
from fraiseql_guard.graphql.cost.cost_rules import AssumedSize, CostRules, PageSize
from fraiseql_guard.graphql.syntax.values import MAX_COUNT, Bindings

Alternative = tuple[tuple[int, ...], tuple[int, ...]]
"""Children that one object type has: those that hold a page's items, and the others, as numbers of terms."""
Path = tuple[str, ...]
Outcome = tuple[int | None, ...]
"""The numbers that were sent for the variables that decide about the price."""
_UNSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Term:
    """A field at one place of the operation."""

    path: Path
    field: str  # with its type, if that is known
    weight: int
    assumed: AssumedSize
    page: PageSize
    demand: ArgumentPlan
    level: int  # its children; -1 for none


@dataclass(frozen=True, slots=True)
class Prices:
    """What a request costs and asks for. ``costs`` are those of each term, ``single`` those inside a page, ``sizes``
    its n. ``sure_complexity`` and ``sure_offset`` are without what was only guessed."""

    complexity: int
    sure_complexity: int
    dearest_root: int
    costs: tuple[int, ...]
    single: tuple[int, ...]
    sizes: tuple[int, ...]
    list_size: int = 0
    list_path: Path = ()
    offset: int = 0
    offset_path: Path = ()
    sure_offset: int = 0
    invalid_path: Path | None = None
    unsliced_path: Path | None = None


@dataclass(frozen=True, slots=True)
class CostPlan:
    """Terms, each after its children; levels of children; per operation the terms at its root with their number."""

    terms: tuple[Term, ...]
    levels: tuple[tuple[Alternative, ...], ...]
    roots: tuple[tuple[tuple[int, int], ...], ...]
    variable: tuple[int, ...]  # terms that a variable can make dearer
    asked: tuple[ResolvedArguments, ...]  # by each term, as long as no variable decides
    prices: Prices
    rules: CostRules
    used: tuple[str, ...]  # variables in arguments
    deciding: frozenset[str]  # those of them whose value changes a size or an offset, or may hold one

    def outcome(self, sent: Mapping[str, Any]) -> Outcome | None:
        """Equal for requests with equal prices, or None where only pricing tells: a variable holds several values, or
        a size is no plain number."""
        values: list[int | None] = []
        for name in self.used:
            value = sent.get(name, _UNSENT)
            kind = type(value)
            if kind is dict or kind is list:
                return None
            if name in self.deciding:
                if kind is not int and value is not _UNSENT:
                    return None
                values.append(None if value is _UNSENT else value)
        return tuple(values)

    def price(self, bindings: Bindings) -> Prices:
        """What a request with these variables costs."""
        asked = self.ask(bindings)
        if asked is self.asked:
            return self.prices
        return _priced(self.terms, self.levels, self.roots, asked, self.rules)

    def ask(self, bindings: Bindings) -> Sequence[ResolvedArguments]:
        """What each term asks for in a request with these variables."""
        if not self.variable:
            return self.asked
        large = {name for name, value in bindings.sent.items() if type(value) is dict or type(value) is list}
        asked: list[ResolvedArguments] | None = None
        for number in self.variable:
            demand = self.terms[number].demand
            if not self.deciding.isdisjoint(demand.variables) or not large.isdisjoint(demand.variables):
                asked = asked or list(self.asked)
                asked[number] = self.rules.arguments.ask(demand, bindings)
        return asked or self.asked

    def dearest_path(self, prices: Prices) -> Path:
        """From the root downwards, wherever the most of the cost comes from."""
        path: Path = ()
        number = prices.dearest_root
        while number >= 0:
            term = self.terms[number]
            path = (*path, term.path[-1])
            level = self.levels[term.level] if term.level >= 0 else ()
            children = [child for held, others in level for child in (*held, *others)]
            number = max(children, key=prices.costs.__getitem__, default=-1)
            if number >= 0 and not prices.costs[number]:
                break
        return path


def make_plan(
    terms: list[Term],
    levels: list[tuple[Alternative, ...]],
    roots: list[list[tuple[int, int]]],
    rules: CostRules,
    defaults: Bindings,
) -> CostPlan:
    """Ask every term once with the defaults of the operations."""
    asked = tuple(
        NOTHING_RESOLVED if term.demand is NOTHING else rules.arguments.ask(term.demand, defaults) for term in terms
    )
    frozen = tuple(tuple(root) for root in roots)
    variable = tuple(number for number, term in enumerate(terms) if term.demand.variables)
    large = frozenset(
        name for name, values in defaults.defaults.items() if any(type(value) in (dict, list) for value in values)
    )
    used = {name for term in terms for name in term.demand.variables}
    deciding = large.union(*(term.demand.deciding for term in terms)) & used
    prices = _priced(terms, levels, frozen, asked, rules)
    return CostPlan(tuple(terms), tuple(levels), frozen, variable, asked, prices, rules, tuple(sorted(used)), deciding)


_Share = tuple[int, int, int]
"""Of an object of one type: its fields that hold a page's items, once as such and once on their own; its others."""


@dataclass(slots=True, eq=False)
class _Below:
    """What a level costs: for each type, and for the dearest, if nothing divides it."""

    ways: set[_Share]
    dearest: int


def _below(ways: set[_Share]) -> _Below:
    return _Below(ways, max([items + rest for _, items, rest in ways]))


_NOTHING_BELOW: Final = _below({(0, 0, 0)})


def _priced(
    terms: Sequence[Term],
    levels: Sequence[Sequence[Alternative]],
    roots: Sequence[Sequence[tuple[int, int]]],
    asked: Sequence[ResolvedArguments],
    rules: CostRules,
) -> Prices:
    costs: list[int] = []
    single: list[int] = []  # inside a page: n is 1 unless an argument of the field's own says more
    sizes: list[int] = []
    levels_below: dict[int, _Below] = {-1: _NOTHING_BELOW}
    guesses = False
    for term, ask in zip(terms, asked, strict=True):
        below = levels_below.get(term.level)
        if below is None:
            below = levels_below[term.level] = _below({_share(costs, single, way) for way in levels[term.level]})
        said, weight = ask.size, term.weight
        size = term.assumed.size if said is None else said or 1
        if term.page is PageSize.ALWAYS or (term.page is PageSize.SIZED and said is not None):
            cost = max([size * (weight + held) + rest for held, _, rest in below.ways])
        else:
            cost = size * (weight + below.dearest)
        once = cost if said is not None else weight + below.dearest
        if ask.guess:
            guesses = True
            guessed = _guessed(term, ask.guess, below)
            cost, size = max((cost, size), guessed)
            once = max(once, guessed[0])
        costs.append(min(cost + ask.points, MAX_COUNT))
        single.append(min(once + ask.points, MAX_COUNT))
        sizes.append(size)
    complexity, dearest = _dearest(roots, costs)
    sure = complexity
    if guesses:
        sure = _priced(terms, levels, roots, [replace(ask, guess=0) for ask in asked], rules).complexity
    found = _extremes(terms, levels, asked, rules)
    return Prices(complexity, sure, dearest, tuple(costs), tuple(single), tuple(sizes), **found)


def _dearest(roots: Sequence[Sequence[tuple[int, int]]], costs: Sequence[int]) -> tuple[int, int]:
    """The price of the dearest operation, and the dearest term at its root; -1 for none."""
    complexity, dearest = 0, -1
    for root in roots:
        total = sum(costs[number] * times for number, times in root)
        if total > complexity:
            complexity = min(total, MAX_COUNT)
            dearest = max(root, key=lambda pair: costs[pair[0]] * pair[1])[0]
    return complexity, dearest


def _guessed(term: Term, size: int, below: _Below) -> tuple[int, int]:
    """The cost of a field whose size is what was guessed, and that size."""
    if term.page is PageSize.NEVER:
        return size * (term.weight + below.dearest), size
    if term.page is PageSize.GUESSED and not any(held for held, _, _ in below.ways):
        return 0, 1
    return max([size * (term.weight + held) + rest for held, _, rest in below.ways]), size


def _share(costs: Sequence[int], single: Sequence[int], way: Alternative) -> _Share:
    held, others = way
    return (
        sum([single[child] for child in held]),
        sum([costs[child] for child in held]),
        sum([costs[c] for c in others]),
    )


def _extremes(
    terms: Sequence[Term], levels: Sequence[Sequence[Alternative]], asked: Sequence[ResolvedArguments], rules: CostRules
) -> dict[str, Any]:
    """The largest list and offset, and the first places that are refused for their own sake."""
    found: dict[str, Any] = {}
    for term, ask in zip(terms, asked, strict=True):
        if ask is NOTHING_RESOLVED:
            continue
        if ask.size is not None and ask.explicit and ask.size > found.get("list_size", 0):
            found["list_size"], found["list_path"] = ask.size, term.path
        if ask.offset > found.get("offset", 0):
            found["offset"], found["offset_path"] = ask.offset, term.path
        if ask.sure_offset > found.get("sure_offset", 0):
            found["sure_offset"] = ask.sure_offset
        if ask.invalid:
            found["invalid_path"] = term.path
        if ask.unmet:
            found["unsliced_path"] = term.path
    if rules.refuses_unsliced:
        first = next(unsliced(terms, levels, asked), None)
        found["unsliced_path"] = found.get("unsliced_path") if first is None else terms[first].path
    return found


def unsliced(
    terms: Sequence[Term], levels: Sequence[Sequence[Alternative]], asked: Sequence[ResolvedArguments]
) -> Iterator[int]:
    """The lists without a size, outermost first. What holds a page's items has the size of its page."""
    if not any(term.assumed.unsliced for term in terms):
        return
    of_pages: dict[bool, set[int]] = {True: set(), False: set()}
    for term, ask in zip(terms, asked, strict=True):
        for held, _ in levels[term.level] if term.level >= 0 else ():
            of_pages[term.page is PageSize.ALWAYS or ask.explicit or ask.guess > 0].update(held)
    sized = of_pages[True] - of_pages[False]  # a place may be reached from both
    for number in reversed(range(len(terms))):
        ask = asked[number]
        if terms[number].assumed.unsliced and not (ask.explicit or ask.guess) and number not in sized:
            yield number
