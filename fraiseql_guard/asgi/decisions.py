"""Turns decisions of checks into refusals in force: applies modes, asks the store, and refuses what could not be
checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from fraiseql_guard.asgi.runtime import Check, Runtime
from fraiseql_guard.checks.admission import PASSED, Decision
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.request import at_work
from fraiseql_guard.core.settings import Mode
from fraiseql_guard.core.signals import (
    BLOCKED,
    DOCUMENT_BLOCKED,
    GUARD_FAULT,
    NOT_TRUSTED,
    STORE_UNAVAILABLE,
    Protection,
)
from fraiseql_guard.telemetry.spans import active_span, mark

_RULED: Final = (Protection.RATE_LIMIT, Protection.QUERY_LIMITS, Protection.TIMEOUT)
_NEVER_RULED: Final = (BLOCKED, DOCUMENT_BLOCKED, NOT_TRUSTED, GUARD_FAULT, STORE_UNAVAILABLE)


def apply_mode(runtime: Runtime, ctx: RequestContext, denial: Denial | None) -> Denial | None:
    """The denial if its protection enforces; None if it monitors, which notes the denial, or is not mounted."""
    if denial is None:
        return None
    mode = runtime.modes[denial.owner]
    if ctx.rule is not None and ctx.rule.mode is not None and mode is not Mode.OFF and _takes_mode_of_rule(denial):
        mode = Mode(ctx.rule.mode)
        if mode is Mode.MONITOR:
            denial = replace(denial, offence=None)  # a rule that only monitors cannot lead to a block
    if mode is Mode.MONITOR:
        ctx.would_refuse += (denial,)
        span = ctx.span if at_work(ctx) else active_span()  # where a timer asks, another's is active
        runtime.tell(partial(mark, enforced=False), span, denial.code.name, denial.owner.value)
    return denial if mode is Mode.ENFORCE else None


def _takes_mode_of_rule(denial: Denial) -> bool:
    """Whether a rule's mode applies to a denial: not to one for the caller's identity, earlier conduct, an operator's
    order, or a request that could not be checked."""
    return denial.owner in _RULED and denial.code not in _NEVER_RULED


def first_refusal(runtime: Runtime, ctx: RequestContext, checks: Sequence[Check]) -> Denial | None:
    """Run the checks up to the first refusal in force. A check that raises refuses: what it could not read does not
    pass."""
    for check in checks:
        try:
            denial = check.decide(ctx)
        except Exception as error:  # noqa: BLE001 - the stated failure policy of every check
            denial = unchecked(runtime, ctx, type(check).__name__, error, check.protection)
        else:
            denial = denial and apply_mode(runtime, ctx, denial)
        if denial is not None:
            return denial
    return None


async def known_block(runtime: Runtime, ctx: RequestContext) -> Denial | None:
    """The refusal of a caller who was blocked, if the store says that they still are; asked before their body is
    read."""
    question = runtime.admission.known_block(ctx)
    if question is None:
        return None
    decision = runtime.admission.conclude(ctx, question, await runtime.store.admit(question))
    return _concluded(runtime, ctx, None, decision)


async def settled(runtime: Runtime, ctx: RequestContext, denial: Denial | None) -> Denial | None:
    """The refusal in force once the store has settled the bill, or recorded a check's ``denial``."""
    decision = await runtime.admission.admit(ctx, denial)
    return None if decision is PASSED else _concluded(runtime, ctx, denial, decision)


def not_settled(runtime: Runtime, ctx: RequestContext, error: Exception) -> Denial | None:
    """The refusal in force of a request whose checks or admission raised ``error``."""
    return unchecked(runtime, ctx, "admission", error, Protection.RATE_LIMIT)


def _concluded(runtime: Runtime, ctx: RequestContext, denial: Denial | None, decision: Decision) -> Denial | None:
    """The refusal in force after the store has answered: the store's own, else that of a check. A store's refusal in
    monitor mode is only noted."""
    if decision.imposed is not None:
        runtime.tell(runtime.recorder.imposed, ctx, decision.imposed)
        runtime.live_watch.imposed(decision.imposed)
    if decision.denial is denial:
        return denial
    ctx.superseded_denial = denial
    return apply_mode(runtime, ctx, decision.denial) or denial


def unchecked(runtime: Runtime, ctx: RequestContext, part: str, error: Exception, owner: Protection) -> Denial | None:
    """The refusal in force after a part of the protection ``owner`` raised ``error``. Other parts rely on its findings,
    so the request passes only where no protection enforces."""
    runtime.tell(runtime.recorder.fault, part, error)
    denial = Denial(GUARD_FAULT, protection=runtime.in_whose_name(owner), retry_after_seconds=1.0)
    return apply_mode(runtime, ctx, denial)
