"""Leads a request through the gates, cheapest first: head, remembered refusal, body, trip. The first refusal wins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fraiseql_guard.context import Context, Denial
from fraiseql_guard.edge.deadline import Deadline
from fraiseql_guard.edge.pump import Pump
from fraiseql_guard.edge.stack import Gate, Stack
from fraiseql_guard.settings import Mode
from fraiseql_guard.signals import BODY_TIMEOUT, BODY_TOO_LARGE, GUARD_FAULT, Protection


class Gatekeeper:
    """Decides about one request. Never raises but for a cancellation."""

    __slots__ = ("_ctx", "_loop", "_pump", "_stack")

    def __init__(self, stack: Stack, ctx: Context, pump: Pump, loop: asyncio.AbstractEventLoop) -> None:
        self._stack = stack
        self._ctx = ctx
        self._pump = pump
        self._loop = loop

    async def decide(self) -> Denial | None:
        """The refusal in force, if any. Whatever breaks on the way refuses too."""
        if self._ctx.actor or self._ctx.open_to_all:
            return None  # an operator, or the way to become one: not even an outage or a block stops them
        try:
            return await self._pass_gates()
        except Exception as error:  # noqa: BLE001 - the stated failure policy: what was not checked does not pass
            self._stack.tell(self._stack.settle.fault, "admission", error)
            return self.judge(Denial(GUARD_FAULT, protection=Protection.RATE_LIMIT, retry_after_seconds=1.0))

    async def _pass_gates(self) -> Denial | None:
        """Cheapest first: head, remembered refusal, body, trip."""
        ctx, stack = self._ctx, self._stack
        denial = self._ask(stack.head_gates)
        if ctx.keys_missing and stack.identification is not None:
            denial = denial or self.judge(await stack.identification.fetch_keys(ctx))
        if denial is None and stack.enforces(Protection.RATE_LIMIT):
            remembered = stack.admission.remembered(ctx)
            if remembered is not None:
                return remembered
        if denial is None and stack.identification is not None:
            denial = self.judge(await stack.identification.check_user(ctx))
        if denial is None:
            denial = await self._read_and_ask()
        if self._pump.disconnected:
            return denial
        decision = await stack.admission.settle(ctx, denial)
        if decision.imposed is not None:
            self._stack.tell(stack.settle.imposed, ctx, decision.imposed)
        if decision.denial is denial:
            return denial
        ctx.overruled = denial
        return self.judge(decision.denial) or denial

    def _ask(self, gates: Sequence[Gate]) -> Denial | None:
        """The first refusal in force. A gate that breaks refuses: what it could not read does not pass."""
        ctx = self._ctx
        for gate in gates:
            try:
                denial = gate.decide(ctx)
            except Exception as error:  # noqa: BLE001 - the stated failure policy of every gate
                self._stack.tell(self._stack.settle.fault, type(gate).__name__, error)
                denial = Denial(GUARD_FAULT, protection=gate.protection, retry_after_seconds=1.0)
            if denial is not None and (denial := self.judge(denial)) is not None:
                return denial
        return None

    def judge(self, denial: Denial | None) -> Denial | None:
        """A refusal in monitor mode is only noted, one of a protection that is not mounted is none."""
        if denial is None:
            return None
        mode = self._stack.modes[denial.owner]
        if mode is Mode.MONITOR:
            self._ctx.would_refuse.append(denial)
        return denial if mode is Mode.ENFORCE else None

    async def _read_and_ask(self) -> Denial | None:
        ctx, stack = self._ctx, self._stack
        denial = self.judge(self._announced_excess())
        if denial is not None or not ctx.operation or not stack.body_gates:
            return denial
        if ctx.upload:
            self._pump.buffer_bytes = stack.settings.max_request_bytes
        body = await self._read_body()
        if isinstance(body, Denial):
            # In monitor mode it streams through unread, but a token that only the body could have excused is missing.
            self._pump.max_bytes = None
            unread = [gate for gate in stack.body_gates if gate.protection is Protection.AUTH]
            return self.judge(body) or self._ask(unread)
        if body is None:
            return None
        ctx.body = body
        denial = self._ask(stack.body_gates)
        self._stack.tell(stack.settle.measured, ctx)
        return denial

    def _announced_excess(self) -> Denial | None:
        """A body that says itself that it is too large is not waited for."""
        settings = self._stack.settings
        buffered = self._ctx.operation and not self._ctx.upload
        limit = settings.max_body_bytes if buffered else settings.max_request_bytes
        length = self._ctx.headers.get(b"content-length", b"")
        if length.isdigit() and len(length) < 20 and int(length) > limit:
            return Denial(BODY_TOO_LARGE, limit=limit, actual=int(length))
        return None

    async def _read_body(self) -> bytes | Denial | None:
        """The whole body in bounds of size, memory and time; in monitor mode without a bound on time."""
        if not self._stack.enforces(Protection.QUERY_LIMITS):
            return await self._pump.read_body()
        seconds = self._stack.settings.body_timeout_seconds
        deadline = Deadline(self._loop)
        deadline.arm(seconds)
        body = await deadline.bound(self._pump.read_body())
        return Denial(BODY_TIMEOUT, limit=seconds) if deadline.expired else body
