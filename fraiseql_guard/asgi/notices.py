"""Calls the app's functions ``on_refusal`` and ``on_sanction``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from fraiseql_guard.asgi.app_hooks import AppHooks
from fraiseql_guard.asgi.hook_queue import HookQueue
from fraiseql_guard.asgi.own_bodies import facts_of
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.notices import RefusalNotice, SanctionNotice
from fraiseql_guard.core.signals import ADMIN_BLOCK, Event, Hook, HookOutcome, PolicyName
from fraiseql_guard.identity.logins import read_login
from fraiseql_guard.stores.protocol import Imposed

if TYPE_CHECKING:
    from fraiseql_guard.operations.operator.deps import Audit

_REFUSED: Final = 400


class Notices:
    """Queues notices for the functions in ``hooks``. ``on_outcome`` is given a function's outcome and the number of its
    notices, ``on_fault`` a function's exception. ``now`` returns Unix time."""

    def __init__(
        self,
        hooks: AppHooks,
        *,
        on_outcome: Callable[[Hook, HookOutcome, int], None],
        on_fault: Mapping[Hook, Callable[[BaseException], None]],
        now: Callable[[], float],
    ) -> None:
        self._now = now
        self._sanctions_noted = 0
        self._refusals: HookQueue[RefusalNotice] | None = None
        if hooks.on_refusal is not None:
            self._refusals = HookQueue(
                hooks.on_refusal,
                told=lambda notice, count: replace(notice, count=count) if count > 1 else notice,
                on_outcome=lambda outcome, count: on_outcome(Hook.ON_REFUSAL, outcome, count),
                on_fault=on_fault[Hook.ON_REFUSAL],
            )
        self._sanctions: HookQueue[SanctionNotice] | None = None
        if hooks.on_sanction is not None:
            self._sanctions = HookQueue(
                hooks.on_sanction,
                told=lambda notice, _: notice,
                on_outcome=lambda outcome, count: on_outcome(Hook.ON_SANCTION, outcome, count),
                on_fault=on_fault[Hook.ON_SANCTION],
            )

    @property
    def wanted(self) -> bool:
        """Whether there is a function to tell."""
        return self._refusals is not None or self._sanctions is not None

    def refused(self, ctx: RequestContext, denial: Denial, *, enforced: bool, times: int = 1) -> None:
        """Note that ``times`` requests like this one were refused or, with ``enforced`` False, would be. An ordinary
        step of persisted queries is no refusal."""
        if self._refusals is not None and denial.status >= _REFUSED:
            key = (ctx.subject.key, denial.code.name, enforced)
            self._refusals.note(key, lambda: _refusal(ctx, denial, enforced, self._now()), times)

    def imposed(self, ctx: RequestContext, imposed: Imposed) -> None:
        """Note that a request brought a sanction into force, or would have."""
        self._sanction(lambda: _automatic(ctx, imposed, self._now()))

    def audited(self, audit: Audit) -> Audit:
        """Wrap the audit of operators' actions, so that their blocks are noted too."""

        def tell(event: Event, fields: Mapping[str, Any]) -> None:
            audit(event, fields)
            if event is ADMIN_BLOCK:
                self._sanction(lambda: _of_operator(fields, self._now()))

        return tell if self._sanctions is not None else audit

    def _sanction(self, make: Callable[[], SanctionNotice]) -> None:
        if self._sanctions is not None:
            self._sanctions_noted += 1  # each is told by itself
            self._sanctions.note(self._sanctions_noted, make)

    async def aclose(self) -> None:
        """Deliver the notices that still wait, for a moment, and accept no more."""
        for each in (self._refusals, self._sanctions):
            if each is not None:
                await each.aclose()


def _refusal(ctx: RequestContext, denial: Denial, enforced: bool, at: float) -> RefusalNotice:
    measured = ctx.measured
    return RefusalNotice(
        refusal=facts_of(ctx, denial, numbers=True),
        user_id=ctx.user_id,
        ip_address=ctx.address,
        method=ctx.method,
        endpoint=ctx.endpoint,
        operations=measured.names if measured is not None else (),
        query_hash=ctx.query_hash,
        enforced=enforced,
        at=at,
    )


def _automatic(ctx: RequestContext, imposed: Imposed, at: float) -> SanctionNotice:
    sanction, escalation = imposed.sanction, imposed.escalation
    subject = sanction.subject
    login = read_login(subject)
    if login is not None:
        on = {"identifier": login[0], "ip_address": login[1]}
    else:
        on = {"user_id": ctx.user_id} if subject.kind == "user" else {"ip_address": subject.name}
    return SanctionNotice(
        **on,
        policy=sanction.policy.value,
        seconds=sanction.expires_in_seconds,
        reason=sanction.reason,
        offences=imposed.offences,
        request_id=ctx.request_id,
        enforced=escalation.enforced,
        at=at,
    )


def _of_operator(fields: Mapping[str, Any], at: float) -> SanctionNotice:
    return SanctionNotice(
        user_id=fields.get("user_id"),
        ip_address=fields.get("ip_address"),
        policy=PolicyName.OPERATOR.value,
        seconds=fields["duration_seconds"],
        reason=fields.get("reason", ""),
        actor=fields.get("actor", ""),
        at=at,
    )
