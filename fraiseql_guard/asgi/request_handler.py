"""Handles one HTTP request from its head to its record: runs the checks, refuses it or runs the app, records the
outcome.

Parts that a request does not need are not made for it: most requests need no body reader, no deadline and no look at
the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraiseql_guard.asgi.answer import Answer, streams_events
from fraiseql_guard.asgi.answer_editor import AnswerEditor
from fraiseql_guard.asgi.app_refusals import app_refusal
from fraiseql_guard.asgi.app_runner import AppRunner
from fraiseql_guard.asgi.batches import look_for_batch
from fraiseql_guard.asgi.decisions import apply_mode
from fraiseql_guard.asgi.describe import present_anonymous, present_identity, rewrite
from fraiseql_guard.asgi.finish import (
    end_cut_answer,
    record_outcome,
    refusal,
    refuse,
    send_refusal,
    tell_outside,
    with_headers,
)
from fraiseql_guard.asgi.head_cache import announces_body
from fraiseql_guard.asgi.limit_headers import Header
from fraiseql_guard.asgi.pipeline import run_checks
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.timeout_policy import rule_of_time
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.request import enter, leave
from fraiseql_guard.core.signals import OVERLOADED, QUERY_TIMEOUT, FailureReason
from fraiseql_guard.telemetry.spans import active_span, span_in

if TYPE_CHECKING:
    from fraiseql_guard.asgi.sockets.streams import StreamedAnswer

_FAILED: Final = 400


class RequestHandler:
    """The state of one request; the middleware itself has none.

    A part that is not made yet is the class attribute None, so that only the requests that need it pay for it.
    """

    _body: RequestBody | None = None
    _answer: Answer | None = None  # follows the answer to an operation, or one that may be a stream with a time limit
    _editor: AnswerEditor | None = None
    _runner: AppRunner | None = None  # where the app may have to be stopped
    _stream: StreamedAnswer | None = None  # the answer, if it is streamed
    _own_answer: asyncio.Task[None] | None = None  # sends a refusal in the app's place
    _app_began_at: float | None = None  # by time.monotonic; None until the app is called
    _begun = False  # whether some of the answer was sent
    _complete = False  # whether all of the answer was sent
    _events_at: float | None = None  # when an event stream that answers no operation began
    _trailers = False  # whether trailers follow the answer's body
    _recorded = False

    def __init__(
        self, runtime: Runtime, app: ASGIApp, scope: Scope, receive: Receive, send: Send, ctx: RequestContext
    ) -> None:
        self._began_at = time.monotonic()
        self._runtime = runtime
        self._app = app
        self._scope = scope
        self._receive_raw = receive
        self._send_raw = send
        self.ctx = ctx
        # The reader of a body is made now if the body is measured or announced, else once the app receives it.
        if ctx.operation or (runtime.bounds_bodies and announces_body(ctx)):
            self._body = self._make_body()

    async def run(self) -> None:
        """Answer the request."""
        runtime, ctx, body = self._runtime, self.ctx, self._body
        try:
            # 1. Check it.
            pause = None if runtime.waiting_room is None else self._pause
            denial = await run_checks(runtime, ctx, body, pause)
            if ctx.left or (body is not None and body.cut_short):
                return  # the client has left: no answer is due
            # 2. Refuse it, or run the app.
            if denial is not None:
                await self._refuse(denial)
                return
            try:
                # The app is awaited directly: every further coroutine around it would be resumed at each of its steps.
                await self._run_app()
            except Exception:
                if ctx.denial is None:
                    raise  # else the client has its answer, and how the app ended plays no part
            if self._own_answer is not None:
                await self._own_answer
            elif self._begun and not self._complete and ctx.operation:
                await self._end_cut_answer()
        except Exception:
            ctx.status = ctx.status or 500  # the server answers what the app did not
            raise
        finally:
            # 3. Record it, and give back its slots.
            leave(ctx)
            self._record()
            self._release()
            if self._body is not None:
                self._body.close()
            if self._stream is not None:
                self._send_raw = self._stream.raw_send
            self._runner = self._stream = None  # they refer to this handler: leave no cycle to the garbage collector

    async def _pause(self, seconds: float) -> bool:
        """Wait so many seconds before the app is called; False if the client left meanwhile (waiting.Pause)."""
        body = self._body
        if body is None:
            body = self._body = self._make_body()
        return await body.wait(seconds)

    async def _end_cut_answer(self) -> None:
        """End an answer that the guard has cut for the client, too."""
        ctx, stream = self.ctx, self._stream
        if stream is not None and stream.told:
            await stream.ended()
        elif ctx.denial is not None or (stream is not None and stream.over):  # else it is the app's own failure
            await end_cut_answer(self._runtime, self._scope, ctx, self._send_raw if stream is None else stream.raw_send)

    async def _refuse(self, denial: Denial) -> None:
        """Answer with a refusal in place of the app."""
        if self._body is not None:
            await look_for_batch(self._runtime, self.ctx, self._body, denial)
            self._body.drop()
        await refuse(self._runtime, self.ctx, denial, self._send_raw)

    # --- run the app --------------------------------------------------------------------------------------------------

    def _run_app(self) -> Awaitable[object]:
        """Call the app with its prepared scope, under a deadline and a watch for disconnects where the request needs
        them."""
        ctx, runtime, body = self.ctx, self._runtime, self._body
        self._prepare_scope()
        self._app_began_at = time.monotonic()
        if body is None and not runtime.times_all:
            return self._app(self._scope, self._receive, self._pass_on)  # nothing will stop it
        if ctx.operation or runtime.times_all:
            ctx.span = active_span()  # a timer runs outside the request, where another span is active
            self._answer = Answer()
        if ctx.operation:
            self._begin_query()
        receive: Receive = self._receive if body is None else body
        policy = runtime.timeout_policies.of(ctx)
        if policy.timeout_seconds is None and not ctx.operation and (body is None or body.complete):
            return self._app(self._scope, receive, self._send)
        loop = asyncio.get_running_loop()
        runner = self._runner = AppRunner(loop, runtime.timers.of(loop), body, policy, ctx, self)
        return runner.run(self._app(self._scope, receive, self._send))

    def _prepare_scope(self) -> None:
        """Add to the scope what the app reads there: the context, the caller's identity, the body as it was
        rewritten."""
        ctx, runtime, body = self.ctx, self._runtime, self._body
        enter(self._scope, ctx)
        if runtime.authenticates:
            present_identity(self._scope, ctx.identity)
        elif runtime.shows_anonymous:
            present_anonymous(self._scope)
        if runtime.neighbours.active:
            self._scope = runtime.tell(runtime.neighbours.hand_down, self._scope, ctx) or self._scope
        if body is not None and ctx.rewritten is not None:
            self._scope = rewrite(self._scope, body, ctx.rewritten)

    def _begin_query(self) -> None:
        """Count a GraphQL request that reaches the app, and prepare to edit its answer if the settings ask for it."""
        runtime, ctx = self._runtime, self.ctx
        if "query" not in ctx.told_outside:
            runtime.tell(runtime.recorder.query_started)
        if runtime.edits and self._answer is not None:
            self._editor = AnswerEditor(ctx, runtime.edits, self._answer)

    def _make_body(self) -> RequestBody:
        runtime, settings = self._runtime, self._runtime.settings
        return RequestBody(
            self._receive_raw,
            settings.max_body_bytes,
            settings.max_request_bytes if runtime.bounds_bodies else None,
            settings.body_idle_seconds,
            runtime.budget,
            runtime.timers,
            self._interrupt,
        )

    def _receive(self) -> Awaitable[Message]:
        """The app's receive for a request that has announced no body: one that comes all the same is bounded."""
        body = self._body
        if body is None:
            body = self._body = self._make_body()
        return body()

    # --- the end ------------------------------------------------------------------------------------------------------

    def _record(self) -> None:
        """Record the outcome, once: after the last message of the answer, or at the end of a request without one. The
        app's background work after the answer is not part of it."""
        if self._recorded:
            return
        self._recorded = True
        ctx, runtime, stream = self.ctx, self._runtime, self._stream
        now = (self._events_at if stream is None else stream.observed_at) or time.monotonic()
        if self._body is not None:
            ctx.request_bytes = self._body.received_bytes
        failed, query_seconds = False, None
        if ctx.operation and self._app_began_at is not None:
            failed, query_seconds = self._has_failed(), now - self._app_began_at
        reason = self._refused_by_app()
        runtime.tell(record_outcome, runtime, self._scope, ctx, now - self._began_at, reason, query_seconds, failed)

    def _has_failed(self) -> bool:
        """Whether a GraphQL request ended without a result that is free of errors."""
        ctx, runtime = self.ctx, self._runtime
        left = self._client_left()
        if self._stream is not None and self._stream.ends_well(left=left):
            return False
        if left and "query" not in ctx.told_outside:
            runtime.tell(runtime.recorder.disconnected)
        failed = self._answer is None or self._answer.has_failed(complete=self._complete)
        return failed or left or ctx.denial is not None

    def _client_left(self) -> bool:
        """Whether the client left before its answer was complete: the app was stopped, or a stream ended, for that
        reason."""
        if self._runner is not None and self._runner.left:
            return True
        return self._stream is not None and self._body is not None and self._body.disconnected

    def _refused_by_app(self) -> FailureReason | None:
        """The reason for which the app itself has refused its caller; None if it did not."""
        ctx, runtime = self.ctx, self._runtime
        if not self._complete or not runtime.authenticates:
            return None
        if ctx.denial is not None or ctx.refused_inside or (not ctx.operation and ctx.status < _FAILED):
            return None
        return runtime.tell(app_refusal, ctx, self._answer)

    def _release(self) -> None:
        """Give back the request's slots and login attempts. An app that works on after its deadline keeps them to its
        end."""
        ctx, runtime = self.ctx, self._runtime
        if self._stream is not None:
            self._stream.close(left=self._client_left())
        if ctx.concurrency_slots and runtime.concurrency is not None:
            runtime.concurrency.release(ctx)
        if ctx.subscription_slots:
            runtime.subscription_room.release(ctx)
        if ctx.attempts:
            runtime.lockouts.release(ctx)

    # --- refuse while the app is running ------------------------------------------------------------------------------

    def time_is_up(self) -> bool:
        """Refuse the request, and return True; False in monitor mode, where the app goes on (RunObserver)."""
        denial = (None if self._stream is None else self._stream.late()) or self._timeout_denial()
        if denial.code is not OVERLOADED and apply_mode(self._runtime, self.ctx, denial) is None:
            return False
        self._runtime.tell(self._answer_instead, denial)  # if this fails, the app is stopped all the same
        return True

    def _timeout_denial(self) -> Denial:
        """The refusal of an operation whose time is up."""
        ctx, seconds = self.ctx, self._seconds_at_work()
        allowed = self._runtime.timeout_policies.of(ctx).timeout_seconds
        if ctx.express_seconds is not None:
            return Denial(OVERLOADED, limit=allowed, actual=seconds, retry_after_seconds=1.0)
        mutates = ctx.measured is not None and ctx.measured.kind == "mutation"
        facts = (("outcome", "unknown"),) if mutates else ()
        return Denial(QUERY_TIMEOUT, limit=allowed, actual=seconds, facts=facts, rule=rule_of_time(ctx))

    def abandoned(self) -> None:
        """Record that the app goes on although it was cancelled (RunObserver)."""
        self._runtime.tell(self._runtime.recorder.abandoned, self.ctx, self._seconds_at_work())

    def _seconds_at_work(self) -> float:
        """How long the app has been at work, by the clock of its deadline."""
        return 0.0 if self._runner is None else round(self._runner.seconds, 3)

    def _interrupt(self, denial: Denial) -> None:
        """Refuse while the app is running, because the body that it reads has broken a bound. A complete answer
        stays."""
        if self._complete:
            return
        self._runtime.tell(self._answer_instead, denial)
        if self._runner is not None:
            self._runner.interrupt()

    def _answer_instead(self, denial: Denial) -> None:
        """Answer in the app's place. An answer that has begun is cut, not appended to."""
        ctx, runtime = self.ctx, self._runtime
        ctx.denial = denial
        if not ctx.span and self._runner is not None:  # perhaps that of an instrumentation inside the app
            ctx.span = span_in(self._runner.task) or ""
        tell_outside(ctx)
        runtime.tell(runtime.recorder.refused, ctx, denial)
        if self._stream is not None:
            self._stream.close()
        if not self._begun:
            self._begun = True
            headers, body = refusal(runtime, ctx, denial)
            self._own_answer = asyncio.get_running_loop().create_task(self._send_own(denial, headers, body))

    async def _send_own(self, denial: Denial, headers: list[Header], body: bytes) -> None:
        await send_refusal(self.ctx, denial, headers, body, self._send_raw)
        self._record()

    # --- what the app sends -------------------------------------------------------------------------------------------

    def _send(self, message: Message) -> Awaitable[None]:
        """The app's send where its answer is followed: begins streams, edits the answer if asked to, and passes it
        on."""
        if self._answer is not None and message["type"] == "http.response.start":
            self._answer.start(message)
            if self._answer.stream and self._runner is not None:
                self._begin_stream(self._answer, self._runner)
        return self._pass_on(message) if self._editor is None else self._edit(self._editor, message)

    def _begin_stream(self, answer: Answer, runner: AppRunner) -> None:
        """Follow an answer that is streamed. If that fails, the request keeps the deadline of any other."""
        ctx, runtime, body = self.ctx, self._runtime, self._body
        try:
            from fraiseql_guard.asgi.sockets.streams import StreamedAnswer  # with the first stream

            stream = StreamedAnswer(runtime, ctx, answer, runner, self._send_raw, self._interrupt)
            self._stream, self._send_raw, self._editor = stream, stream.send, None
            stream.begin()
        except Exception as error:  # noqa: BLE001 - as the docstring says
            runtime.tell(runtime.recorder.fault, "streams", error)
        if body is not None:  # a stream may last for hours, and its body is not read again
            body.let_go()
            ctx.body = ctx.rewritten = None

    async def _edit(self, editor: AnswerEditor, message: Message) -> None:
        for ready in editor.ready(message):
            await self._pass_on(ready)

    def _pass_on(self, message: Message) -> Awaitable[None]:
        """Send a message of the app to the client, with the guard's headers, and note status and size on the way."""
        if self.ctx.denial is not None or (self._stream is not None and self._stream.over):
            return _drop_message()  # the client has its answer already
        last = False
        if message["type"] == "http.response.start":
            self._begun, self.ctx.status = True, message["status"]
            self._trailers = bool(message.get("trailers"))
            if self._answer is None and streams_events(message):
                self._events_at = time.monotonic()
            if self._runtime.cost_header is not None:
                message = self._runtime.cost_header.read(self.ctx, message)
            message = with_headers(self._runtime, self.ctx, message)
        else:
            last = self._note_and_check_last(message)
        return self._send_last(message) if last else self._send_raw(message)

    def _note_and_check_last(self, message: Message) -> bool:
        """Note a message that follows the answer's head; True if it is the last one."""
        kind, ctx = message["type"], self.ctx
        if kind == "http.response.body":
            chunk = message.get("body", b"")
            if ctx.method != "HEAD":  # servers leave out the body that an app may send all the same
                ctx.response_bytes += len(chunk)
            if self._answer is not None:
                self._answer.body(chunk)
            return not message.get("more_body", False) and not self._trailers
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        return bool(kind == "http.response.pathsend")

    async def _send_last(self, message: Message) -> None:
        """Send the last message of the answer. What the app does from now on is background work, without a deadline."""
        await self._send_raw(message)
        self._complete, self.ctx.ended_at = True, self._runtime.now()
        if self._runner is not None:
            self._runner.stop()
        self._record()
        self._release()
        if self._body is not None:
            self._body.drop()


async def _drop_message() -> None:
    """Stands in for the send of a message that is dropped."""
