"""Under what conditions apps run: how long, and what becomes of the work when the client leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.settings import Mode, Settings


@dataclass(frozen=True, slots=True)
class TimeoutPolicy:
    """Those of one app run. ``timeout_seconds`` None: no deadline; ``binding``: the work is really stopped then;
    ``stop_on_leave``: it is stopped when the client leaves, which is looked out for."""

    timeout_seconds: float | None = None
    stop_on_leave: bool = False
    binding: bool = False

    def within(self, seconds: float) -> TimeoutPolicy:
        """The same, but for no longer than this; what has no end is given none."""
        if self.timeout_seconds is None or self.timeout_seconds <= seconds:
            return self
        return replace(self, timeout_seconds=seconds)


_FREE: Final = TimeoutPolicy()


@dataclass(frozen=True, slots=True)
class TimeoutPolicies:
    """Those of everything that a stack lets through: what may change data is given its own time, and its end."""

    query: TimeoutPolicy
    mutation: TimeoutPolicy
    other: TimeoutPolicy

    def of(self, ctx: RequestContext) -> TimeoutPolicy:
        """Those of one request. An operation that was not measured may be a mutation."""
        if not ctx.operation:
            return self.other
        mutates = ctx.measured is None or ctx.measured.kind == "mutation"
        terms = self.mutation if mutates else self.query
        return terms if ctx.express_seconds is None else terms.within(ctx.express_seconds)


def terms_by_kind(settings: Settings, mode: Mode) -> TimeoutPolicies:
    """Those that settings make, in the mode of the timeout protection."""
    if mode is Mode.OFF:
        return TimeoutPolicies(_FREE, _FREE, _FREE)
    binding = mode is Mode.ENFORCE
    query, mutation, other = settings.query_timeout, settings.mutation_timeout, settings.request_timeout
    return TimeoutPolicies(
        query=TimeoutPolicy(query, stop_on_leave=binding, binding=binding),
        mutation=TimeoutPolicy(mutation or query, stop_on_leave=binding and settings.cancel_mutations, binding=binding),
        other=_FREE if other is None else TimeoutPolicy(other, binding=binding),
    )
