"""How long apps may work on a request, and what becomes of the work when the client leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.rule_candidates import RuleInForce
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Mode, Settings


@dataclass(frozen=True, slots=True)
class TimeoutPolicy:
    """The time and the end of one run of the app.

    ``timeout_seconds`` None: no deadline. ``binding``: the work is really stopped then. ``stop_on_leave``: it is
    stopped when the client leaves, for which the guard watches.
    """

    timeout_seconds: float | None = None
    stop_on_leave: bool = False
    binding: bool = False

    def within(self, seconds: float) -> TimeoutPolicy:
        """The policy with a deadline of at most ``seconds``; one without a deadline stays so."""
        if self.timeout_seconds is None or self.timeout_seconds <= seconds:
            return self
        return replace(self, timeout_seconds=seconds)

    def by(self, rule: RuleInForce, *, binding: bool) -> TimeoutPolicy:
        """The policy for a request that ``rule`` matches."""
        seconds, own = self.timeout_seconds, rule.timeout_seconds
        if own is not None:
            seconds = own if seconds is None or not rule.caps else min(seconds, own)
        if seconds is None:
            return self
        return TimeoutPolicy(seconds, stop_on_leave=self.stop_on_leave and binding, binding=binding)


_NONE: Final = TimeoutPolicy()


@dataclass(frozen=True, slots=True)
class TimeoutPolicies:
    """The policies of one set of settings. A mutation has a time of its own, and is not stopped when its client leaves,
    unless the settings say so."""

    query: TimeoutPolicy
    mutation: TimeoutPolicy
    other: TimeoutPolicy
    by_rule: Mapping[RuleInForce, TimeoutPolicies] = field(default_factory=dict)
    """The policies for requests that a rule with a time or a mode matches."""

    def of(self, ctx: RequestContext) -> TimeoutPolicy:
        """The policy of one request. An operation that was not measured may be a mutation."""
        rule = ctx.rule
        if rule is not None and (rule.timeout_seconds is not None or rule.mode is not None):
            policies = self.by_rule.get(rule)
            return (self.by(rule) if policies is None else policies).of_settings(ctx)
        return self.of_settings(ctx)

    def by(self, rule: RuleInForce) -> TimeoutPolicies:
        """The policies for requests that ``rule`` matches. A policy that is off stays so."""
        if self.query is _NONE:
            return self
        binding = self.query.binding if rule.mode is None else rule.mode == Mode.ENFORCE
        query, mutation, other = (each.by(rule, binding=binding) for each in (self.query, self.mutation, self.other))
        return TimeoutPolicies(query, mutation, other)

    def of_settings(self, ctx: RequestContext) -> TimeoutPolicy:
        """The policy of one request by the settings alone, without its rule."""
        if not ctx.operation:
            return self.other
        mutates = ctx.measured is None or ctx.measured.kind == "mutation"
        policy = self.mutation if mutates else self.query
        return policy if ctx.express_seconds is None else policy.within(ctx.express_seconds)


def rule_of_time(ctx: RequestContext) -> str:
    """The name of the rule by which the time of a request is up; "" where the settings decide."""
    return ctx.rule.name if ctx.rule is not None and ctx.rule.timeout_seconds is not None else ""


def timeout_policies(settings: Settings, mode: Mode, rules: RuleTable | None = None) -> TimeoutPolicies:
    """The policies of the settings and the rules, in the mode of the timeout protection."""
    policies = _of_settings(settings, mode)
    if rules is None:
        return policies
    return replace(policies, by_rule={rule: policies.by(rule) for rule in rules.in_force})


def _of_settings(settings: Settings, mode: Mode) -> TimeoutPolicies:
    if mode is Mode.OFF:
        return TimeoutPolicies(_NONE, _NONE, _NONE)
    binding = mode is Mode.ENFORCE
    query, mutation, other = settings.query_timeout, settings.mutation_timeout, settings.request_timeout
    return TimeoutPolicies(
        query=TimeoutPolicy(query, stop_on_leave=binding, binding=binding),
        mutation=TimeoutPolicy(mutation or query, stop_on_leave=binding and settings.cancel_mutations, binding=binding),
        other=_NONE if other is None else TimeoutPolicy(other, binding=binding),
    )
