"""Where the size of a list came from: for those who tune limits, told by the plan that prices the request."""

from __future__ import annotations

from fraiseql_guard.graphql.cost.arguments import ResolvedArguments, SizeOrigin
from fraiseql_guard.graphql.cost.cost_plan import Term
from fraiseql_guard.graphql.cost.slicing_arguments import SlicingArgument
from fraiseql_guard.graphql.syntax.values import Absent, Bindings, VariableNode


def origin_of(term: Term, asked: ResolvedArguments, size: int, bindings: Bindings) -> tuple[SizeOrigin, str]:
    """Where n (``size``) came from, and the name of the argument or ``$variable`` that said it."""
    if size == asked.guess and size > (term.assumed.size if asked.size is None else asked.size):
        return SizeOrigin.GUESSED, _guessed(term, size, bindings)
    if asked.size is None:
        return term.assumed.origin, ""
    if not asked.explicit:
        return SizeOrigin.ASSUMED, next((each.name for each in term.demand.sizes), "")
    for each in term.demand.sizes:
        if asked.size in [each.read(item) for item in each.candidates(bindings)]:
            return _origin(each, bindings)
    return SizeOrigin.ARGUMENT, ""


def _guessed(term: Term, size: int, bindings: Bindings) -> str:
    """The argument in which a size was come across."""
    for each in term.demand.hints:
        if size in [each.read(item) for item in each.candidates(bindings)]:
            return each.name
    names = [name for name, _, _ in term.demand.searched]
    return names[0] if len(names) == 1 else ""


def _origin(each: SlicingArgument, bindings: Bindings) -> tuple[SizeOrigin, str]:
    if not each.given:
        return SizeOrigin.SCHEMA, each.name
    value = each.value
    for name in each.inside:
        value = value.get(name, Absent.ABSENT) if type(value) is dict else value
    if type(value) is not VariableNode:
        return SizeOrigin.ARGUMENT, each.name
    if value.name in bindings.sent:
        return SizeOrigin.VARIABLE, f"${value.name}"
    absent = all(item is Absent.ABSENT for item in bindings.candidates(value))
    return (SizeOrigin.SCHEMA, each.name) if absent else (SizeOrigin.DEFAULT, f"${value.name}")
