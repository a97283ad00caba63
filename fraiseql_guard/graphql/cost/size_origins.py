"""Tells people who tune limits where the size of a list came from, by the plan that prices the request."""

from __future__ import annotations

from collections.abc import Iterable

from fraiseql_guard.graphql.cost.arguments import SizeOrigin
from fraiseql_guard.graphql.cost.pricing import Term
from fraiseql_guard.graphql.cost.resolved_arguments import ResolvedArguments
from fraiseql_guard.graphql.cost.slicing_arguments import SlicingArgument
from fraiseql_guard.graphql.syntax.values import Absent, Bindings, VariableNode


def origin_of(term: Term, asked: ResolvedArguments, size: int, bindings: Bindings) -> tuple[SizeOrigin, str]:
    """The origin of the ``size`` of a list, and the name of the argument or ``$variable`` that said it (empty if none
    did).
    """
    otherwise = term.assumed.size if asked.size is None else asked.size
    # 1. A guess counts only where it exceeds what is said, as in pricing.
    if size == asked.guess and size > otherwise:
        return SizeOrigin.GUESSED, _guessed_by(term, size, bindings)
    # 2. No argument says a size.
    if asked.size is None:
        return term.assumed.origin, ""
    # 3. One could, but its variable has no value, or one that is no number.
    if not asked.explicit:
        return SizeOrigin.ASSUMED, next((each.name for each in term.arguments.sizes), "")
    # 4. The first argument whose value is the size said it.
    said_by = _saying(asked.size, term.arguments.sizes, bindings)
    return _origin(said_by, bindings) if said_by is not None else (SizeOrigin.ARGUMENT, "")


def _guessed_by(term: Term, size: int, bindings: Bindings) -> str:
    """The argument by which a size was guessed; empty if several could be it."""
    if (hint := _saying(size, term.arguments.hints, bindings)) is not None:
        return hint.name
    names = [name for name, _, _ in term.arguments.searched]
    # Of several searched input objects, none is noted as the one with the size.
    return names[0] if len(names) == 1 else ""


def _saying(size: int, arguments: Iterable[SlicingArgument], bindings: Bindings) -> SlicingArgument | None:
    """The first of the arguments whose value is the size; None if none is."""
    for each in arguments:
        if size in [each.read(item) for item in each.candidates(bindings)]:
            return each
    return None


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
    # The variable was not sent: the operation's default stands for it, else that of the schema.
    absent = all(item is Absent.ABSENT for item in bindings.candidates(value))
    return (SizeOrigin.SCHEMA, each.name) if absent else (SizeOrigin.DEFAULT, f"${value.name}")
