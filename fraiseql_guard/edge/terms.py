"""Under what conditions apps run: how long, and what becomes of the work when the client leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from fraiseql_guard.context import Context
from fraiseql_guard.settings import Mode, Settings


@dataclass(frozen=True, slots=True)
class Terms:
    """Those of one app run. ``timeout_seconds`` None: no deadline; ``binding``: the work is really stopped then;
    ``stop_on_leave``: it is stopped when the client leaves, which is looked out for."""

    timeout_seconds: float | None = None
    stop_on_leave: bool = False
    binding: bool = False

    def within(self, seconds: float) -> Terms:
        """The same, but for no longer than this; what has no end is given none."""
        if self.timeout_seconds is None or self.timeout_seconds <= seconds:
            return self
        return replace(self, timeout_seconds=seconds)


_FREE: Final = Terms()


@dataclass(frozen=True, slots=True)
class TermsByKind:
    """Those of everything that a stack lets through: what may change data is given its own time, and its end."""

    query: Terms
    mutation: Terms
    other: Terms

    def of(self, ctx: Context) -> Terms:
        """Those of one request. An operation that was not measured may be a mutation."""
        if not ctx.operation:
            return self.other
        mutates = ctx.measured is None or ctx.measured.kind == "mutation"
        terms = self.mutation if mutates else self.query
        return terms if ctx.hurry_seconds is None else terms.within(ctx.hurry_seconds)


def terms_by_kind(settings: Settings, mode: Mode) -> TermsByKind:
    """Those that settings make, in the mode of the timeout protection."""
    if mode is Mode.OFF:
        return TermsByKind(_FREE, _FREE, _FREE)
    binding = mode is Mode.ENFORCE
    query, mutation, other = settings.query_timeout, settings.mutation_timeout, settings.request_timeout
    return TermsByKind(
        query=Terms(query, stop_on_leave=binding, binding=binding),
        mutation=Terms(mutation or query, stop_on_leave=binding and settings.cancel_mutations, binding=binding),
        other=_FREE if other is None else Terms(other, binding=binding),
    )
