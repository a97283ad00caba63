"""Prices the terms of a plan: what the fields of a document cost in one request.

``c(field) = n * (w + c(children)) + a``: n is the size of its list, w its weight, a the points of its arguments. Of a
page only the fields that hold its items are multiplied. A guessed size counts if it makes the field dearer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fraiseql_guard.graphql.cost.arguments import ArgumentPlan
from fraiseql_guard.graphql.cost.cost_rules import AssumedSize, PageSize
from fraiseql_guard.graphql.cost.resolved_arguments import NOTHING_RESOLVED, ResolvedArguments
from fraiseql_guard.graphql.syntax.values import MAX_COUNT

Alternative = tuple[tuple[int, ...], tuple[int, ...]]
"""The children of one object type as numbers of terms: those that hold a page's items, and the others."""
Levels = Sequence[Sequence[Alternative]]
"""For each level the children of each object type that it may be."""
Roots = Sequence[Sequence[tuple[int, int]]]
"""For each operation the terms at its root, and how often each counts."""
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A field at one place of the document, with everything that decides its cost."""

    path: Path
    field: str  # Type.name, or the name alone if the type is unknown
    weight: int
    assumed: AssumedSize
    page: PageSize
    arguments: ArgumentPlan
    level: int  # number of the level of its children; -1 for none


@dataclass(frozen=True, slots=True)
class Prices:
    """The cost of a request in points, its largest list size and its largest offset, each with the path of the field.

    ``dearest_root`` is the number of the dearest term at the root, -1 for none. ``costs``, ``single`` (the cost as the
    items of a page) and ``sizes`` have a number for each term. ``sure_complexity`` and ``sure_offset`` leave out
    guesses. ``invalid_path`` leads to a size that is no whole number, ``unsliced_path`` to a list without a size; None
    if there is none.
    """

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


_Share = tuple[int, int, int]
"""Costs of the children of one object type: those that hold a page's items, as the items of the page and as fields of
their own, and the others."""


@dataclass(slots=True, eq=False)
class _Below:
    """The cost of a level: the shares of each object type, and the total of the dearest type, undivided by a page."""

    shares: set[_Share]
    dearest: int


_NOTHING_BELOW: Final = _Below({(0, 0, 0)}, 0)


def price(
    terms: Sequence[Term],
    levels: Levels,
    roots: Roots,
    resolved: Sequence[ResolvedArguments],
    *,
    refuses_unsliced: bool,
) -> Prices:
    """Price all terms, each of which stands after its children. ``resolved`` has the arguments of each term."""
    costs: list[int] = []
    single: list[int] = []  # inside a page: n is 1 unless an argument of the field's own says more
    sizes: list[int] = []
    known: dict[int, _Below] = {-1: _NOTHING_BELOW}
    # Each request with new variables passes here, for each of its fields.
    for term, asked in zip(terms, resolved, strict=True):
        below = known.get(term.level)
        if below is None:
            below = known[term.level] = _below(levels[term.level], costs, single)
        if asked is NOTHING_RESOLVED and term.page is not PageSize.ALWAYS:  # nearly all fields
            size, once = term.assumed.size, term.weight + below.dearest
            cost = size * once
        else:
            # The order of a plan guarantees that all children have their prices by now.
            cost, once, size = _asked_cost(term, asked, below)
        # Capped, since products of list sizes would grow into integers of thousands of digits.
        costs.append(min(cost, MAX_COUNT))
        single.append(min(once, MAX_COUNT))
        sizes.append(size)
    # A guess may be wrong: the price without guesses decides whether a refusal is an offence.
    complexity, dearest = _dearest(roots, costs)
    sure = complexity
    if any([asked.guess for asked in resolved]):  # noqa: C419 - a list is faster
        certain = [replace(asked, guess=0) for asked in resolved]
        sure = price(terms, levels, roots, certain, refuses_unsliced=False).complexity
    found = _extremes(terms, resolved)
    if refuses_unsliced and (first := next(unsliced(terms, levels, resolved), None)) is not None:
        found["unsliced_path"] = terms[first].path
    return Prices(complexity, sure, dearest, tuple(costs), tuple(single), tuple(sizes), **found)


def _below(alternatives: Sequence[Alternative], costs: Sequence[int], single: Sequence[int]) -> _Below:
    shares = {
        (
            sum([single[child] for child in held]),
            sum([costs[child] for child in held]),
            sum([costs[child] for child in others]),
        )
        for held, others in alternatives
    }
    return _Below(shares, max([items + rest for _, items, rest in shares]))


def _asked_cost(term: Term, asked: ResolvedArguments, below: _Below) -> tuple[int, int, int]:
    """The cost of a field with resolved arguments, its cost as the items of a page, and its size."""
    alone = term.weight + below.dearest
    said = asked.size
    # A list that is asked to be empty (first: 0) counts as one item: the host resolves the field all the same.
    size = term.assumed.size if said is None else said or 1
    if term.page is PageSize.ALWAYS or (term.page is PageSize.SIZED and said is not None):
        cost = _page_cost(term, size, below)
    else:
        cost = size * alone
    # Inside a page the page's size is counted already, so that only a size of the field's own multiplies.
    once = alone if said is None else cost
    if asked.guess:
        guessed = _guessed(term, asked.guess, below)
        # A guess can only make a request dearer: a caller cannot name a field to lower the price.
        cost, size = max((cost, size), guessed)
        once = max(once, guessed[0])
    return cost + asked.points, once + asked.points, size


def _page_cost(term: Term, size: int, below: _Below) -> int:
    """The cost of a page of ``size`` items: fields that do not hold them count once."""
    return max([size * (term.weight + held) + rest for held, _, rest in below.shares])


def _guessed(term: Term, size: int, below: _Below) -> tuple[int, int]:
    """The cost of a field with the guessed ``size``, and that size; (0, 1) if it has no list to be guessed."""
    if term.page is PageSize.NEVER:
        return size * (term.weight + below.dearest), size
    # The object has no list in this operation that the guess could be the size of.
    if term.page is PageSize.GUESSED and not any(held for held, _, _ in below.shares):
        return 0, 1
    return _page_cost(term, size, below), size


def _dearest(roots: Roots, costs: Sequence[int]) -> tuple[int, int]:
    """The price of the dearest operation, and the number of the dearest term at its root; -1 for none."""
    complexity, dearest = 0, -1
    for root in roots:
        total = sum([costs[number] * times for number, times in root])
        if total > complexity:
            complexity = min(total, MAX_COUNT)
            # The path of a refusal begins at the root field that costs the most.
            dearest = max(root, key=lambda pair: costs[pair[0]] * pair[1])[0]
    return complexity, dearest


def _extremes(terms: Sequence[Term], resolved: Sequence[ResolvedArguments]) -> dict[str, Any]:
    """The largest list size and offset with their paths, and the paths of invalid sizes and unmet slicing arguments: of
    several the last in order, which is the outermost."""
    found: dict[str, Any] = {}
    for term, asked in zip(terms, resolved, strict=True):
        if asked is NOTHING_RESOLVED:
            # Nearly all fields ask for nothing, so this test comes first.
            continue
        if asked.size is not None and asked.explicit and asked.size > found.get("list_size", 0):
            found["list_size"], found["list_path"] = asked.size, term.path
        if asked.offset > found.get("offset", 0):
            found["offset"], found["offset_path"] = asked.offset, term.path
        if asked.sure_offset > found.get("sure_offset", 0):
            found["sure_offset"] = asked.sure_offset
        if asked.invalid:
            found["invalid_path"] = term.path
        if asked.unmet:
            found["unsliced_path"] = term.path
    return found


def unsliced(terms: Sequence[Term], levels: Levels, resolved: Sequence[ResolvedArguments]) -> Iterator[int]:
    """The numbers of the terms that are lists without a size, outermost first. A list that holds a page's items has the
    size of its page."""
    # Most documents have no such list, and pay for this scan alone.
    if not any(term.assumed.unsliced for term in terms):
        return
    sized = _in_sized_pages(terms, levels, resolved)
    # Terms stand after their children, so that the last ones are the outermost.
    for number in reversed(range(len(terms))):
        if terms[number].assumed.unsliced and not _has_size(resolved[number]) and number not in sized:
            yield number


def _has_size(asked: ResolvedArguments) -> bool:
    return asked.explicit or asked.guess > 0


def _in_sized_pages(terms: Sequence[Term], levels: Levels, resolved: Sequence[ResolvedArguments]) -> set[int]:
    """The terms that hold the items of a page, and of which every page has a size."""
    sized: set[int] = set()
    unsized: set[int] = set()
    for term, asked in zip(terms, resolved, strict=True):
        # A page by the schema (ALWAYS) stands for its items in any case: without a size it is reported itself.
        of_page = sized if term.page is PageSize.ALWAYS or _has_size(asked) else unsized
        for held, _ in levels[term.level] if term.level >= 0 else ():
            of_page.update(held)
    return sized - unsized  # a place may be reached from both
