"""One request from its first byte to what it leaves behind: refuse it or run the app, and settle."""

from __future__ import annotations

import asyncio
from typing import Any

from fraiseql_guard.asgi.answer import Answer
from fraiseql_guard.asgi.answer_editor import AnswerEditor
from fraiseql_guard.asgi.app_refusals import app_refusal
from fraiseql_guard.asgi.app_runner import AppRunner
from fraiseql_guard.asgi.batches import look_for_batch
from fraiseql_guard.asgi.describe import present_identity, rewrite
from fraiseql_guard.asgi.finish import record_outcome, refusal, refuse, send_refusal, tell_outside, with_headers
from fraiseql_guard.asgi.pipeline import decide, judge
from fraiseql_guard.asgi.replies import Header
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.request import enter, leave
from fraiseql_guard.core.signals import OVERLOADED, QUERY_TIMEOUT
from fraiseql_guard.telemetry.spans import active_span, span_in


class Exchange:
    """Carries the state of one request; the middleware itself has none. What has not happened is the class's own."""

    _answer: Answer  # of the app, once it is asked
    _app_began_at: float
    _editor: AnswerEditor | None = None
    _supervisor: AppRunner | None = None
    _own_answer: asyncio.Task[None] | None = None
    _asked = False  # the app
    _settled = False

    def __init__(self, runtime: Runtime, app: Any, scope: Any, receive: Any, send: Any, ctx: RequestContext) -> None:
        self._runtime = runtime
        self._app = app
        self._scope = scope
        self._send_raw = send
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self.ctx = ctx
        settings = runtime.settings
        self._request_body = RequestBody(
            receive,
            settings.max_body_bytes,
            settings.max_request_bytes if runtime.bounds_bodies else None,
            settings.body_idle_seconds,
            runtime.budget,
            self._interrupt,
        )

    async def run(self) -> None:
        """Answer the request."""
        runtime, ctx, request_body = self._runtime, self.ctx, self._request_body
        try:
            denial = await decide(runtime, ctx, request_body)
            if request_body.disconnected and not request_body.complete:
                return  # the client left in the middle of its request: there is no one to answer
            if denial is not None:
                await look_for_batch(runtime, ctx, request_body, denial)
                request_body.drop()
                await refuse(runtime, ctx, denial, self._send_raw)
                return
            supervisor = self._prepare()  # no coroutine of its own around the app: each is woken up with the app
            await supervisor.run(self._app(self._scope, request_body, self._send), self._app_began_at)
            if self._own_answer is not None:
                await self._own_answer
        except Exception:
            ctx.status = ctx.status or 500  # the server answers what the app did not
            raise
        finally:
            leave(ctx)
            self._recorder()
            self._release()
            request_body.close()
            self._supervisor = None  # it holds us: no cycle is left to the garbage collector

    # --- run the app --------------------------------------------------------------------------------------------------

    def _prepare(self) -> AppRunner:
        """Everything that the app finds, and who watches over it."""
        ctx, runtime, operation = self.ctx, self._runtime, self.ctx.operation
        enter(self._scope, ctx)
        ctx.span = active_span()
        if runtime.authenticates:
            present_identity(self._scope, ctx.identity)
        if runtime.neighbours.active:
            self._scope = runtime.tell(runtime.neighbours.hand_down, self._scope, ctx) or self._scope
        self._answer = Answer(looked_at=operation or runtime.settings.request_timeout is not None)
        timers, terms = runtime.timers.of(self._loop), runtime.terms.of(ctx)
        supervisor = self._supervisor = AppRunner(self._loop, timers, self._request_body, terms, ctx, self)
        if ctx.rewritten is not None:
            self._scope = rewrite(self._scope, self._request_body, ctx.rewritten)
        self._app_began_at, self._asked = self._loop.time(), True
        if operation:
            if "query" not in ctx.told_outside:
                runtime.tell(runtime.recorder.query_started)
            if runtime.edits:
                self._editor = AnswerEditor(ctx, runtime.edits)
        return supervisor

    # --- the end ------------------------------------------------------------------------------------------------------

    def _recorder(self) -> None:
        """The request has ended, with the last message of its answer or without one: it is accounted for, once. What
        the app does in the background is no part of it."""
        if self._settled:
            return
        self._settled = True
        ctx, runtime, now = self.ctx, self._runtime, self._loop.time()
        reason, failed, query_seconds = None, False, None
        if self._asked:
            left = self._supervisor is not None and self._supervisor.left
            failed = self._answer.has_failed() or ctx.denial is not None or left
            query_seconds = now - self._app_began_at if ctx.operation else None
            if left and "query" not in ctx.told_outside:
                runtime.tell(runtime.recorder.disconnected)
            decided = ctx.denial is not None or ctx.refused_inside
            if failed and not decided and self._answer.complete and runtime.authenticates:
                reason = runtime.tell(app_refusal, ctx, self._answer)
        ctx.request_bytes = self._request_body.received_bytes
        runtime.tell(record_outcome, runtime, self._scope, ctx, now - self._began_at, reason, query_seconds, failed)

    def _release(self) -> None:
        """Give back what the request took: for an app that works on after its time was up, once it ends."""
        ctx, runtime = self.ctx, self._runtime
        if ctx.concurrency_slots and runtime.in_flight is not None:
            runtime.in_flight.release(ctx)
        if ctx.attempts:
            runtime.lockouts.release(ctx)

    # --- refuse while the app is running ------------------------------------------------------------------------------

    def time_is_up(self) -> bool:
        """Answer the client, but in monitor mode (Supervisor)."""
        ctx, runtime, stream = self.ctx, self._runtime, self._answer.stream
        allowed = runtime.settings.stream_idle_seconds if stream else runtime.terms.of(ctx).timeout_seconds
        seconds = round(self._loop.time() - self._app_began_at, 3)
        if ctx.express_seconds is not None and not stream:
            overloaded = Denial(OVERLOADED, limit=allowed, actual=seconds, retry_after_seconds=1.0)
            runtime.tell(self._answer_instead, overloaded)  # should it break, the app is stopped all the same
            return True
        unknown = (("outcome", "unknown"),) if ctx.measured is not None and ctx.measured.kind == "mutation" else ()
        denial = Denial(QUERY_TIMEOUT, limit=allowed, actual=seconds, facts=unknown)
        if judge(runtime, ctx, denial) is None:
            return False
        runtime.tell(self._answer_instead, denial)
        return True

    def abandoned(self) -> None:
        """Tell that the app goes on although it was cancelled (Supervisor)."""
        self._runtime.tell(self._runtime.recorder.abandoned, self.ctx, self._loop.time() - self._app_began_at)

    def _interrupt(self, denial: Denial) -> None:
        """Refuse while the app is running: its streamed body grew beyond its bound."""
        self._runtime.tell(self._answer_instead, denial)
        if self._supervisor is not None:
            self._supervisor.interrupt()

    def _answer_instead(self, denial: Denial) -> None:
        """Answer in the app's place. An answer that has begun is cut, not appended to."""
        self.ctx.denial = denial
        if not self.ctx.span and self._supervisor is not None:  # perhaps of an instrumentation inside
            self.ctx.span = span_in(self._supervisor.task) or ""
        tell_outside(self.ctx)
        self._runtime.tell(self._runtime.recorder.refused, self.ctx, denial)
        if not self._answer.begun:
            self._answer.begun = True
            headers, body = refusal(self._runtime, self.ctx, denial)
            self._own_answer = self._loop.create_task(self._send_own(denial, headers, body))

    async def _send_own(self, denial: Denial, headers: list[Header], body: bytes) -> None:
        await send_refusal(self.ctx, denial, headers, body, self._send_raw)
        self._recorder()

    # --- what the app sends -------------------------------------------------------------------------------------------

    async def _send(self, message: Any) -> None:
        """What the app sends: edited where that was asked for, watched as it goes by, and passed on with our
        headers."""
        answer = self._answer
        if message["type"] == "http.response.start":
            answer.start(message)
        for ready in (message,) if self._editor is None else self._editor.ready(message, answer):
            if self.ctx.denial is not None:
                return  # the client has its answer already
            await self._send_raw(self._watched(ready))
            if ready["type"] != "http.response.start" and answer.ends_with(ready):
                answer.complete, self.ctx.ended_at = True, self._runtime.now()
                if self._supervisor is not None:
                    self._supervisor.stop()
                self._recorder()
                self._release()
                self._request_body.drop()

    def _watched(self, message: Any) -> Any:
        """A message as it reaches the client."""
        ctx, kind = self.ctx, message["type"]
        if kind == "http.response.start":
            self._answer.begun = True
            ctx.status = self._answer.status
            message = with_headers(self._runtime, ctx, message)
        elif kind == "http.response.body":
            chunk = message.get("body", b"")
            if ctx.method != "HEAD":  # servers leave out the body that an app may send all the same
                ctx.response_bytes += len(chunk)
            self._answer.body(chunk)
        if self._answer.stream and self._supervisor is not None:
            self._supervisor.extend(self._runtime.settings.stream_idle_seconds)
        return message
