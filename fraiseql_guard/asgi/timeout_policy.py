"""How long apps may work on a request, and what becomes of the work when the client leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.settings import Mode, Settings


@dataclass(frozen=True, slots=True)
class TimeoutPolicy:
    """That of one run of the app.

    ``timeout_seconds`` None: no deadline. ``binding``: the work is really stopped then. ``stop_on_leave``: it is
    stopped when the client leaves, for which the guard watches.
    """

    timeout_seconds: float | None = None
    stop_on_leave: bool = False
    binding: bool = False

    def within(self, seconds: float) -> TimeoutPolicy:
        """The same for no longer than this; a policy without a deadline gets none."""
        if self.timeout_seconds is None or self.timeout_seconds <= seconds:
            return self
        return replace(self, timeout_seconds=seconds)


_NONE: Final = TimeoutPolicy()


@dataclass(frozen=True, slots=True)
class TimeoutPolicies:
    """Those of all requests under one set of settings. A mutation has a time of its own, and is not stopped when its
    client leaves, unless the settings say so."""

    query: TimeoutPolicy
    mutation: TimeoutPolicy
    other: TimeoutPolicy

    def of(self, ctx: RequestContext) -> TimeoutPolicy:
        """That of one request. An operation that was not measured may be a mutation."""
        if not ctx.operation:
            return self.other
        mutates = ctx.measured is None or ctx.measured.kind == "mutation"
        policy = self.mutation if mutates else self.query
        return policy if ctx.express_seconds is None else policy.within(ctx.express_seconds)


def timeout_policies(settings: Settings, mode: Mode) -> TimeoutPolicies:
    """Those of the settings, in the mode of the timeout protection."""
    if mode is Mode.OFF:
        return TimeoutPolicies(_NONE, _NONE, _NONE)
    binding = mode is Mode.ENFORCE
    query, mutation, other = settings.query_timeout, settings.mutation_timeout, settings.request_timeout
    return TimeoutPolicies(
        query=TimeoutPolicy(query, stop_on_leave=binding, binding=binding),
        mutation=TimeoutPolicy(mutation or query, stop_on_leave=binding and settings.cancel_mutations, binding=binding),
        other=_NONE if other is None else TimeoutPolicy(other, binding=binding),
    )
