"""The plan of a document, made once, so that pricing a request with new variables takes one pass over numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.graphql.cost.arguments import NO_ARGUMENTS
from fraiseql_guard.graphql.cost.cost_rules import CostRules
from fraiseql_guard.graphql.cost.pricing import Alternative, Path, Prices, Term, price
from fraiseql_guard.graphql.cost.resolved_arguments import NOTHING_RESOLVED, ResolvedArguments
from fraiseql_guard.graphql.syntax.values import Bindings

Outcome = tuple[int | None, ...]
"""The values of the variables that decide about the price, in the order of their names; None for one that was not
sent."""
_UNSENT: Final = object()
_CONTAINERS: Final = frozenset({dict, list})


@dataclass(frozen=True, slots=True)
class CostPlan:
    """The ``terms`` (fields) of a document, each after its children, their ``levels`` of children, and the ``roots``:
    for each operation the terms at its root, with how often each counts."""

    terms: tuple[Term, ...]
    levels: tuple[tuple[Alternative, ...], ...]
    roots: tuple[tuple[tuple[int, int], ...], ...]
    variable: tuple[int, ...]  # terms that a variable can make dearer
    resolved: tuple[ResolvedArguments, ...]  # of each term, if no variable is sent
    prices: Prices  # if no variable is sent
    rules: CostRules
    used: tuple[str, ...]  # variables in arguments
    deciding: frozenset[str]  # the used variables that are, or whose default may hold, a size or an offset

    def outcome(self, sent: Mapping[str, Any]) -> Outcome | None:
        """A key of the prices: requests with equal keys have equal prices. None where only pricing tells, because a
        variable holds a list or an object, or a size is not an integer."""
        values: list[int | None] = []
        for name in self.used:
            value = sent.get(name, _UNSENT)
            # Input objects may hold sizes anywhere, and many values cost points: no short key says that.
            if type(value) in _CONTAINERS:
                return None
            if name not in self.deciding:
                continue
            # None stands for the default, which the document fixes.
            if value is _UNSENT:
                values.append(None)
            elif type(value) is int:
                values.append(value)
            else:
                # A string or a fraction is read in ways that differ by argument, so it is priced each time.
                return None
        return tuple(values)

    def price(self, bindings: Bindings) -> Prices:
        """The prices of a request with these variables."""
        resolved = self.resolve(bindings)
        # No variable changes a size: the plan has the prices.
        if resolved is self.resolved:
            return self.prices
        refuses_unsliced = self.rules.refuses_unsliced
        return price(self.terms, self.levels, self.roots, resolved, refuses_unsliced=refuses_unsliced)

    def resolve(self, bindings: Bindings) -> Sequence[ResolvedArguments]:
        """The resolved arguments of each term in a request with these variables."""
        if not self.variable:
            return self.resolved
        # Only these can change what a term asks for: the others hold one value that is no size.
        telling = self.deciding.union(_holding_values(bindings.sent))
        resolved: list[ResolvedArguments] | None = None
        for number in self.variable:
            arguments = self.terms[number].arguments
            if not telling.isdisjoint(arguments.variables):
                # Copied only when a term differs from the plan: most requests change none.
                resolved = resolved or list(self.resolved)
                resolved[number] = self.rules.resolver.resolve(arguments, bindings)
        return resolved or self.resolved

    def dearest_path(self, prices: Prices) -> Path:
        """The path from the dearest root field down through the dearest child of each level."""
        path: Path = ()
        number = prices.dearest_root
        while number >= 0:
            term = self.terms[number]
            path = (*path, term.path[-1])
            # The dearest child of each level leads to what an author should change first.
            number = max(self._children(term), key=prices.costs.__getitem__, default=-1)
            if number >= 0 and not prices.costs[number]:
                break
        return path

    def _children(self, term: Term) -> Iterable[int]:
        """The children of a term on all types."""
        level = self.levels[term.level] if term.level >= 0 else ()
        return [child for held, others in level for child in (*held, *others)]


def _holding_values(sent: Mapping[str, Any]) -> list[str]:
    """The variables that hold a list or an object."""
    return [name for name, value in sent.items() if type(value) in _CONTAINERS]


def make_plan(
    terms: list[Term],
    levels: list[tuple[Alternative, ...]],
    roots: list[list[tuple[int, int]]],
    rules: CostRules,
    defaults: Bindings,
) -> CostPlan:
    """Make a plan: resolve and price every term with the defaults of the operations."""
    resolved = _resolved(terms, rules, defaults)
    variable = tuple([number for number, term in enumerate(terms) if term.arguments.variables])
    used = frozenset[str]().union(*[terms[number].arguments.variables for number in variable])
    deciding = _large_defaults(defaults).union(*[terms[number].arguments.deciding for number in variable])
    prices = price(terms, levels, roots, resolved, refuses_unsliced=rules.refuses_unsliced)
    return CostPlan(
        terms=tuple(terms),
        levels=tuple(levels),
        roots=tuple(map(tuple, roots)),
        variable=variable,
        resolved=resolved,
        prices=prices,
        rules=rules,
        used=tuple(sorted(used)),
        # A declared variable that no argument uses decides nothing.
        deciding=deciding & used,
    )


def _resolved(terms: Iterable[Term], rules: CostRules, defaults: Bindings) -> tuple[ResolvedArguments, ...]:
    resolve = rules.resolver.resolve
    return tuple(
        [NOTHING_RESOLVED if term.arguments is NO_ARGUMENTS else resolve(term.arguments, defaults) for term in terms]
    )


def _large_defaults(bindings: Bindings) -> frozenset[str]:
    """The variables of which a default is a list or an object."""
    return frozenset(
        [name for name, values in bindings.defaults.items() if not _CONTAINERS.isdisjoint(map(type, values))]
    )
