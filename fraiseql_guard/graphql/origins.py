"""Where the size of a list came from: for those who tune limits, told by the plan that prices the request."""

from __future__ import annotations

from fraiseql_guard.graphql.demands import Asked, Origin, candidates
from fraiseql_guard.graphql.pricing import Term
from fraiseql_guard.graphql.sizes import read_size
from fraiseql_guard.graphql.slicing import Slice
from fraiseql_guard.graphql.values import Absent, Bindings, Variable


def origin_of(term: Term, asked: Asked, bindings: Bindings) -> tuple[Origin, str]:
    """Where n came from, and the name of the argument or ``$variable`` that said it."""
    if asked.size is None:
        return term.assumed.origin, ""
    if not asked.explicit:
        return Origin.ASSUMED, next((each.name for each in term.demand.sizes), "")
    for each in term.demand.sizes:
        if asked.size in [read_size(item, strict=each.strict) for item in candidates(each, bindings)]:
            return _origin(each, bindings)
    for value in term.demand.searched:
        if type(value) is Variable:
            return Origin.VARIABLE if value.name in bindings.sent else Origin.DEFAULT, f"${value.name}"
    return Origin.ARGUMENT, ""


def _origin(each: Slice, bindings: Bindings) -> tuple[Origin, str]:
    if not each.given:
        return Origin.SCHEMA, each.name
    value = each.value
    for name in each.inside:
        value = value.get(name, Absent.ABSENT) if type(value) is dict else value
    if type(value) is not Variable:
        return Origin.ARGUMENT, each.name
    if value.name in bindings.sent:
        return Origin.VARIABLE, f"${value.name}"
    absent = all(item is Absent.ABSENT for item in bindings.candidates(value))
    return (Origin.SCHEMA, each.name) if absent else (Origin.DEFAULT, f"${value.name}")
