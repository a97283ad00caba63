"""One request from its first byte to what it leaves behind: refuse it or run the app, and settle."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fraiseql_guard.context import Context, Denial
from fraiseql_guard.edge.answer import Answer
from fraiseql_guard.edge.answer_editor import AnswerEditor
from fraiseql_guard.edge.app_refusals import app_refusal
from fraiseql_guard.edge.describe import present_identity, rewrite, show_context
from fraiseql_guard.edge.endings import leave_behind, refusal, refuse, send_refusal, with_headers
from fraiseql_guard.edge.gatekeeper import decide, judge
from fraiseql_guard.edge.pump import Pump
from fraiseql_guard.edge.stack import Stack
from fraiseql_guard.edge.supervisor import Supervisor, Terms
from fraiseql_guard.request import enter, leave
from fraiseql_guard.signals import OVERLOADED, QUERY_TIMEOUT, Protection

_FREE: Final = Terms(None, watch=False, stop_on_leave=False)


class Exchange:
    """Carries the state of one request; the middleware itself has none."""

    def __init__(self, stack: Stack, app: Any, scope: Any, receive: Any, send: Any, ctx: Context) -> None:
        self._stack = stack
        self._app = app
        self._scope = scope
        self._send_raw = send
        self._loop = asyncio.get_running_loop()
        self._began_at = self._app_began_at = self._loop.time()
        self._answer = Answer(looked_at=ctx.operation or stack.settings.request_timeout is not None)
        self._supervisor: Supervisor | None = None
        self._own_answer: asyncio.Task[None] | None = None
        self._query_seconds: float | None = None
        self._failed = False
        self.ctx = ctx
        settings = stack.settings
        self._pump = Pump(
            receive,
            settings.max_body_bytes,
            settings.max_request_bytes if stack.bounds_bodies else None,
            settings.body_idle_seconds,
            stack.budget,
            self._interrupt,
        )

    async def run(self) -> None:
        """Answer the request."""
        try:
            denial = await decide(self._stack, self.ctx, self._pump)
            if self._pump.disconnected and not self._pump.complete:
                return  # the client left in the middle of its request: there is nobody to answer
            if denial is None:
                enter(self._scope, self.ctx)
                await self._run_app()
            else:
                await refuse(self._stack, self.ctx, denial, self._send_raw)
        except Exception:
            ctx = self.ctx
            ctx.status = ctx.status or 500  # the server answers what the app did not
            raise
        finally:
            leave()
            self._pump.close()
            self._supervisor = None  # it holds our methods: no cycle is left to the garbage collector
            if self.ctx.slots and self._stack.in_flight is not None:
                self._stack.in_flight.release(self.ctx)
            if self.ctx.attempts:
                self._stack.lockouts.release(self.ctx)
            self._stack.tell(self._leave_behind)

    # --- run the app --------------------------------------------------------------------------------------------------

    async def _run_app(self) -> None:
        ctx, stack = self.ctx, self._stack
        show_context(self._scope, ctx)
        if stack.authenticates:
            present_identity(self._scope, ctx.identity)
        terms = self._terms()
        supervisor = self._supervisor = Supervisor(
            self._loop,
            stack.alarms.of(self._loop),
            self._pump,
            terms,
            ctx,
            on_timeout=self._time_is_up,
            on_abandoned=self._abandoned,
        )
        if ctx.rewritten is not None:
            self._scope = rewrite(self._scope, self._pump, ctx.rewritten)
        self._app_began_at = self._loop.time()
        if ctx.operation:
            self._stack.tell(stack.settle.query_started)
        try:
            edits = stack.edits if ctx.operation else ()
            send = AnswerEditor(ctx, edits, self._send) if edits else self._send
            await supervisor.run(self._app(self._scope, self._pump, send))
            if self._own_answer is not None:
                await self._own_answer
        finally:
            if ctx.operation:
                self._query_seconds = self._loop.time() - self._app_began_at
                self._failed = ctx.denial is not None or supervisor.left or self._answer.has_errors()
            if supervisor.left:
                self._stack.tell(stack.settle.disconnected)

    def _terms(self) -> Terms:
        ctx, settings = self.ctx, self._stack.settings
        if not self._stack.mounted(Protection.TIMEOUT) or (not ctx.operation and settings.request_timeout is None):
            return _FREE
        binding = self._stack.enforces(Protection.TIMEOUT)
        if not ctx.operation:
            return Terms(settings.request_timeout, watch=False, stop_on_leave=False, binding=binding)
        mutates = ctx.measured is None or ctx.measured.kind == "mutation"
        timeout = (settings.mutation_timeout if mutates else None) or settings.query_timeout
        timeout = min(timeout, ctx.hurry_seconds or timeout)
        stop = (not mutates or settings.cancel_mutations) and binding
        watch = stop and self._pump.complete
        return Terms(timeout, watch, stop, binding)

    def _time_is_up(self) -> bool:
        ctx = self.ctx
        allowed = self._terms().timeout_seconds if not self._answer.stream else self._stack.settings.stream_idle_seconds
        seconds = round(self._loop.time() - self._app_began_at, 3)
        if ctx.hurry_seconds is not None and not self._answer.stream:
            self._answer_instead(Denial(OVERLOADED, limit=allowed, actual=seconds, retry_after_seconds=1.0))
            return True
        unknown = (("outcome", "unknown"),) if ctx.measured is not None and ctx.measured.kind == "mutation" else ()
        denial = Denial(QUERY_TIMEOUT, limit=allowed, actual=seconds, facts=unknown)
        if judge(self._stack, ctx, denial) is None:
            return False
        self._answer_instead(denial)
        return True

    def _interrupt(self, denial: Denial) -> None:
        """Refuse while the app is running: its streamed body grew beyond its bound."""
        self._answer_instead(denial)
        if self._supervisor is not None:
            self._supervisor.interrupt()

    def _answer_instead(self, denial: Denial) -> None:
        """Answer in the app's place. An answer that has begun is cut, not appended to."""
        self.ctx.denial = denial
        self._stack.tell(self._stack.settle.refused, self.ctx, denial)
        if not self._answer.begun:
            self._answer.begun = True
            headers, body = refusal(self._stack, self.ctx, denial)
            self._own_answer = self._loop.create_task(send_refusal(self.ctx, denial, headers, body, self._send_raw))

    def _abandoned(self) -> None:
        self._stack.tell(lambda: self._stack.settle.abandoned(self.ctx, self._loop.time() - self._app_began_at))

    async def _send(self, message: Any) -> None:
        """What the app sends: headers are added to its head, and it is watched go by."""
        if self.ctx.denial is not None:
            return  # the client has its answer already
        kind = message["type"]
        answer = self._answer
        if kind == "http.response.start":
            answer.start(message)
            self.ctx.status = answer.status
            if answer.stream and self._supervisor is not None:
                self._supervisor.extend(self._stack.settings.stream_idle_seconds)
            await self._send_raw(with_headers(self._stack, self.ctx, message))
            return
        if kind == "http.response.body":
            chunk = message.get("body", b"")
            if self.ctx.method != "HEAD":  # servers leave out the body that an app may send all the same
                self.ctx.response_bytes += len(chunk)
            answer.body(chunk)
            if answer.stream and self._supervisor is not None:
                self._supervisor.extend(self._stack.settings.stream_idle_seconds)
        await self._send_raw(message)
        self._note_completion(kind, message)

    def _note_completion(self, kind: str, message: Any) -> None:
        if kind == "http.response.body":
            ended = not message.get("more_body", False) and not self._answer.trailers
        elif kind == "http.response.trailers":
            ended = not message.get("more_trailers", False)
        else:
            ended = kind == "http.response.pathsend"
        if ended:
            self._answer.complete = True
            if self._supervisor is not None:
                self._supervisor.stop()

    # --- settle -------------------------------------------------------------------------------------------------------

    def _leave_behind(self) -> None:
        ctx, stack = self.ctx, self._stack
        ctx.request_bytes = self._pump.received_bytes
        reason = None
        if ctx.denial is None and self._answer.complete and stack.authenticates:
            reason = app_refusal(ctx, self._answer, stack.settings)
        leave_behind(
            stack,
            self._scope,
            ctx,
            self._loop.time() - self._began_at,
            refused_by_app=reason,
            query_seconds=self._query_seconds,
            failed=self._failed,
        )
