"""Keeps the operations that are open on a socket: their ids, slots, deadlines and records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from fraiseql_guard.asgi.answer import Answer
from fraiseql_guard.asgi.app_refusals import app_refusal
from fraiseql_guard.asgi.finish import record_outcome
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.sockets.link import Link
from fraiseql_guard.checks.concurrency import BEGINNING_SECONDS
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.deadline_timers import DeadlineTimer
from fraiseql_guard.core.live_facts import LiveOperation
from fraiseql_guard.core.request import put_down
from fraiseql_guard.core.signals import FailureReason, Transport
from fraiseql_guard.telemetry.spans import active_span

_OK: Final = 200
_JSON_HEAD: Final = {"type": "http.response.start", "status": _OK, "headers": [(b"content-type", b"application/json")]}


class Operation:
    """One operation that was let pass, with its slots and its timer."""

    __slots__ = (
        "_concurrency",
        "_room",
        "began_at",
        "ctx",
        "events",
        "failed",
        "id",
        "recorded",
        "runs_on",
        "subscribes",
        "timeout_seconds",
        "timer",
    )

    def __init__(self, operation_id: str, ctx: RequestContext, runtime: Runtime) -> None:
        self.id = operation_id
        self.ctx = ctx
        self.subscribes = ctx.measured is not None and ctx.measured.subscribes
        # A runtime is replaced with every change of the settings, and must not be kept alive.
        self._concurrency, self._room = runtime.concurrency, runtime.subscription_room
        policy = runtime.timeout_policies.of(ctx)
        self.timeout_seconds = None if self.subscribes else policy.timeout_seconds
        self.runs_on = policy.binding and not policy.stop_on_leave and not self.subscribes
        """Whether the app carries the operation through although its client has left: a mutation."""
        if policy.binding and self.timeout_seconds is not None:
            ctx.ends_at = time.monotonic() + self.timeout_seconds
        self.timer: DeadlineTimer | None = None
        self.began_at = time.monotonic()
        self.events = 0
        self.failed = False
        self.recorded = False

    @property
    def counted(self) -> bool:
        """Whether this guard counts the operation: no outer guard counts it in the same metrics."""
        return "query" not in self.ctx.told_outside

    @property
    def seconds(self) -> float:
        """Seconds since the operation was opened."""
        return time.monotonic() - self.began_at

    def give_slot(self) -> None:
        """Give back the operation's slot among the operations at work."""
        if self.ctx.concurrency_slots and self._concurrency is not None:
            self._concurrency.release(self.ctx)

    def release(self, runtime: Runtime) -> None:
        """Give back all slots of the operation; a second call gives back nothing. ``runtime`` is the one in force."""
        self.give_slot()
        if self.ctx.subscription_slots:
            self._room.release(self.ctx)
        if self.ctx.attempts:
            runtime.lockouts.release(self.ctx)
            self.ctx.attempts = ()
        put_down(self.ctx)


class Operations:
    """The open operations of one socket, by id."""

    __slots__ = ("_link", "_open", "_stopping", "events", "total")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._open: dict[str, Operation] = {}
        self._stopping: tuple[Operation, ...] = ()
        self.total = 0
        """Number of operations that were opened on the socket."""
        self.events = 0
        """Number of results of all operations that were passed on."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Operation]:
        return iter(list(self._open.values()))

    def get(self, operation_id: str) -> Operation | None:
        """The open operation with this id; None without one."""
        return self._open.get(operation_id)

    def facts(self, most: int) -> tuple[LiveOperation, ...]:
        """The facts that operators see of the ``most`` oldest operations."""
        found = list(self._open.values())[:most]
        return tuple(
            LiveOperation(
                name=(each.ctx.measured.name or "") if each.ctx.measured else "",
                query_hash=each.ctx.query_hash or "",
                age_seconds=each.seconds,
                events=each.events,
                request_id=each.ctx.request_id,
            )
            for each in found
        )

    # --- begin --------------------------------------------------------------------------------------------------------

    def begin(self, operation: Operation, on_time: Callable[[Operation], None]) -> None:
        """Open an operation, count it, and call ``on_time`` with it when its deadline has passed."""
        runtime, ctx = self._link.runtime, operation.ctx
        timers, now = self._link.timers, self._link.loop.time()
        self._open[operation.id] = operation
        self.total += 1
        ctx.span = active_span()
        if operation.counted:
            runtime.tell(runtime.recorder.query_started)
        if operation.subscribes:
            if operation.counted:
                runtime.tell(runtime.recorder.sockets.subscribed, Transport.SOCKET)
            operation.timer = timers.call_at(now + BEGINNING_SECONDS, operation.give_slot)
        elif operation.timeout_seconds is not None:
            operation.timer = timers.call_at(now + operation.timeout_seconds, partial(on_time, operation))

    # --- what the app says -------------------------------------------------------------------------------------------

    def result(self, operation: Operation, payload: bytes | None, size: int, *, failed: bool) -> None:
        """Note a result or event that the app has sent for an operation. ``failed``: the operation came to nothing.
        ``payload``: the result as the body of an HTTP answer, if it may carry errors."""
        operation.failed |= failed
        operation.events += not failed
        self.events += not failed
        operation.ctx.response_bytes += size
        if operation.subscribes:
            operation.give_slot()
            if operation.counted and not failed:
                runtime = self._link.runtime
                runtime.tell(runtime.recorder.sockets.event_passed)
        if payload is not None:
            self._look(operation, payload)
        if operation.subscribes and operation.events and not operation.recorded:
            self._record(operation, _OK)  # the request's duration is the time to the first event

    def _look(self, operation: Operation, payload: bytes) -> None:
        """Note whether a result carries errors, and whether these say that the app refuses its caller."""
        answer = Answer()
        answer.start(_JSON_HEAD)
        answer.body(payload)
        operation.failed |= answer.has_failed(complete=True)
        runtime, ctx = self._link.runtime, operation.ctx
        if runtime.authenticates and answer.codes and not operation.recorded:
            reason: FailureReason | None = runtime.tell(app_refusal, ctx, answer)
            if reason is not None:
                self._record(operation, _OK, reason)

    # --- end ----------------------------------------------------------------------------------------------------------

    def end(self, operation: Operation, *, failed: bool = False) -> None:
        """Close an operation that the app has completed."""
        operation.failed |= failed
        self._close(operation, _OK)
        operation.release(self._link.runtime)

    def leave(self, operation: Operation) -> None:
        """Close an operation that the client has ended. Its slots are given back when the app has received that
        (:meth:`released`)."""
        if not operation.subscribes and not operation.events:
            operation.failed = True
            if operation.counted:
                runtime = self._link.runtime
                runtime.tell(runtime.recorder.disconnected)
        self._close(operation, _OK if operation.subscribes or operation.events else 0)
        self._stopping += (operation,)

    def refuse(self, operation: Operation, status: int) -> None:
        """Close an operation that is refused while the app works on it. Its slots are given back when the app has
        received its end (:meth:`released`)."""
        operation.failed = True
        self._close(operation, status)
        self._stopping += (operation,)

    def released(self, operation: Operation) -> None:
        """Give back the slots of a closed operation, when the app has received its end."""
        self._stopping = tuple([each for each in self._stopping if each is not operation])
        operation.release(self._link.runtime)

    def end_all(self) -> None:
        """Close all operations, when the socket has ended and the app has returned."""
        for operation in self:
            self.leave(operation)
        stopping, self._stopping = self._stopping, ()
        for operation in stopping:
            operation.release(self._link.runtime)

    def _close(self, operation: Operation, status: int) -> None:
        if self._open.get(operation.id) is operation:
            del self._open[operation.id]
        if operation.timer is not None:
            operation.timer.cancel()
            operation.timer = None
        operation.ctx.ends_at = None
        if operation.subscribes and operation.counted:
            runtime = self._link.runtime
            runtime.tell(runtime.recorder.sockets.unsubscribed, Transport.SOCKET, operation.seconds)
        if not operation.recorded:
            operation.ctx.untimed = operation.subscribes
            self._record(operation, status)

    def _record(self, operation: Operation, status: int, reason: FailureReason | None = None) -> None:
        """Record an operation, once, as a request."""
        operation.recorded = True
        ctx, runtime, seconds = operation.ctx, self._link.runtime, operation.seconds
        ctx.status = status
        failed = operation.failed or ctx.denial is not None
        runtime.tell(record_outcome, runtime, self._link.scope, ctx, seconds, reason, seconds, failed)


def give_back(ctx: RequestContext, runtime: Runtime) -> None:
    """Give back the slots of an operation that was checked and not opened."""
    if ctx.concurrency_slots and runtime.concurrency is not None:
        runtime.concurrency.release(ctx)
    if ctx.subscription_slots:
        runtime.subscription_room.release(ctx)
