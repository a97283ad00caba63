"""One connection to a server that all requests of an event loop share.

Commands are written at once and answered in order: a thousand simultaneous requests need neither a pool nor a queue,
and a request that gives up costs no connection. A call takes a tenth of a pooled client's CPU time at 64 calls at once
(docs/design/measurements.md).
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import hiredis

from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.redis.client.address import Address
from fraiseql_guard.stores.redis.client.commands import Command, Question, Script, ScriptCall, pack
from fraiseql_guard.stores.redis.client.error_replies import reply_error
from fraiseql_guard.stores.redis.client.reply_timeouts import ReplyTimeouts
from fraiseql_guard.stores.redis.client.wire import Wire

CONNECT_SECONDS: Final = 1.0
"""Longest attempt to connect; waiting requests give up at their own deadlines."""
_CONNECT_SHARE: Final = 0.8
"""An attempt to connect may take this part of its first request's timeout, if that is longer than CONNECT_SECONDS."""
SILENT_SECONDS: Final = 1.0
"""A connection that leaves a request unanswered for so long is replaced: its server may be gone without a sign."""

_WANTS_TLS: Final = " before it gave any answer: does this port want TLS (rediss://)?"
_SPEAKS_TLS: Final = ": does this port speak TLS, as rediss:// says?"

_ASKING: Final = pack(("ASKING",))

Find = Callable[[], Awaitable[Address]]
"""Returns the address of the server before a connection is opened. May raise StoreError."""


def fixed(address: Address) -> Find:
    """Finds a server whose address does not change."""

    async def find() -> Address:
        return address

    return find


class RedisConnection:
    """Sends the requests of one event loop to one server: connects with the first one, and anew when the connection was
    lost.

    Each connect loads ``scripts`` into the server. If the server has forgotten them, a call sends its script again.
    """

    def __init__(self, find: Find, *, scripts: Sequence[Script] = (), connect_seconds: float = CONNECT_SECONDS) -> None:
        self._loop = asyncio.get_running_loop()
        self._find = find
        self._scripts = {script.sha: script.text for script in scripts}
        # When each script was last sent whole, by its digest.
        self._taught: dict[str, float] = {}
        self._timeouts = ReplyTimeouts(self._loop, self._timed_out)
        self._connect_seconds = self._attempt_seconds = connect_seconds
        self._wire: Wire | None = None
        # Requests that wait for a connection, in order.
        self._backlog: deque[tuple[bytes, Sequence[asyncio.Future[Any]]]] = deque()
        self._connecting = LoopTask(self._connect)

    @property
    def connected(self) -> bool:
        """Whether a connection is open and answers."""
        return self._wire is not None and self._wire.lost is None and self._wire.silent_seconds() < SILENT_SECONDS

    @property
    def idle(self) -> bool:
        """Whether no request waits for an answer."""
        return not self._connecting.running and (self._wire is None or not self._wire.waits)

    async def call(self, question: Question, *, timeout_seconds: float, asking: bool = False) -> Any:
        """The answer to one command; StoreError if it is an error, or none came in time (connecting included).

        ``asking`` announces that the command follows a cluster's ASK.
        """
        # Packed first: a command that cannot be sent fails before it takes a place in the queue.
        packed = question.packed if isinstance(question, ScriptCall) else pack(question)
        deadline = self._loop.time() + timeout_seconds
        reply = await self._exchange(packed, deadline, timeout_seconds, asking)
        if isinstance(reply, hiredis.ReplyError):
            return await self._after_error(question, reply, deadline, asking)
        return reply

    async def _after_error(self, question: Question, error: hiredis.ReplyError, deadline: float, asking: bool) -> Any:
        text = str(error)
        if text.startswith("NOSCRIPT"):
            command = question.command() if isinstance(question, ScriptCall) else question
            if command[0] == "EVALSHA" and command[1] in self._scripts:
                return await self._teach(command, deadline, asking)
        raise self._failure(text)

    async def _teach(self, command: Command, deadline: float, asking: bool) -> Any:
        """Repeat a call for a server that has forgotten its scripts (SCRIPT FLUSH), and so has run nothing.

        EVAL loads the script and runs it; requests right behind it on the connection repeat their call as it was.
        """
        sha, now = str(command[1]), self._loop.time()
        # Another request has just sent the script over this connection.
        if now - self._taught.get(sha, -math.inf) < SILENT_SECONDS:
            reply = await self._exchange(pack(command), deadline, max(0.0, deadline - now), asking)
            if not isinstance(reply, hiredis.ReplyError):
                return reply
            if not str(reply).startswith("NOSCRIPT"):
                raise self._failure(str(reply))
        self._taught[sha] = now = self._loop.time()
        # EVAL takes the text in the place of the digest, and the server keeps it.
        whole = pack(("EVAL", self._scripts[sha], *command[2:]))
        reply = await self._exchange(whole, deadline, max(0.0, deadline - now), asking)
        if isinstance(reply, hiredis.ReplyError):
            raise self._failure(str(reply))
        return reply

    def _exchange(self, packed: bytes, deadline: float, timeout_seconds: float, asking: bool) -> asyncio.Future[Any]:
        """Send a command. The future has the answer, or a StoreError at the deadline."""
        future: asyncio.Future[Any] = self._loop.create_future()
        # The deadline counts from here, so that connecting is part of it.
        self._timeouts.watch(deadline, future, timeout_seconds)
        # In one write: ASKING holds for the very next command of a connection alone.
        if asking:
            self._send(_ASKING + packed, (self._unread(), future), timeout_seconds)
        else:
            self._send(packed, (future,), timeout_seconds)
        return future

    def _send(self, packed: bytes, futures: Sequence[asyncio.Future[Any]], timeout_seconds: float) -> None:
        if self._wire is not None and self._wire.lost is None:
            self._wire.send(packed, futures)
        else:
            # Requests wait for the connection in order.
            self._backlog.append((packed, futures))
            if not self._connecting.running:
                # A request with more time lets the attempt take longer, and still learns in time why it failed.
                self._attempt_seconds = max(self._connect_seconds, _CONNECT_SHARE * timeout_seconds)
                self._connecting.ensure_running()

    def _unread(self) -> asyncio.Future[Any]:
        """A place in the queue for an answer that is dropped."""
        future: asyncio.Future[Any] = self._loop.create_future()
        future.cancel()
        return future

    def _failure(self, text: str) -> StoreError:
        error, moved = reply_error(text)
        if moved and self._wire is not None:
            self._wire.abort(text)  # the next connection may reach the server that has taken over
        return error

    def reconnect(self, detail: str) -> None:
        """Drop the connection, because the server is elsewhere now: waiting requests fail, and the next one
        connects."""
        if self._wire is not None:
            self._wire.abort(detail)

    def _timed_out(self) -> None:
        if self._wire is not None and self._wire.silent_seconds() >= SILENT_SECONDS:
            self._wire.abort(f"no answer for {SILENT_SECONDS:.0f} s")

    async def _connect(self) -> None:
        # A new wire, which replaces the lost wire only once it is greeted.
        wire, address = Wire(self._loop), None
        try:
            async with asyncio.timeout(self._attempt_seconds):
                address = await self._find()
                await self._open(wire, address)
                await self._greet(wire, address)
        except asyncio.CancelledError:
            await self._give_up(wire, StoreError("connection", "the store was closed"))
            raise
        except StoreError as error:
            await self._give_up(wire, error)
            return
        except (OSError, ValueError) as error:  # TimeoutError, refused, unknown host, certificate
            await self._give_up(wire, StoreError("connection", _cause(error, address)))
            return
        self._wire = wire
        while self._backlog:
            # A request that has given up meanwhile is not sent any more.
            packed, futures = self._backlog.popleft()
            if not futures[-1].done():
                wire.send(packed, futures)

    async def _open(self, wire: Wire, where: Address) -> None:
        if where.path is not None:
            await self._loop.create_unix_connection(lambda: wire, where.path)
        else:
            await self._loop.create_connection(lambda: wire, where.host, where.port, ssl=where.tls)

    async def _greet(self, wire: Wire, address: Address) -> None:
        """Authenticate, select the database, and load the scripts.

        A first answer is awaited before any long command is sent: a server that wants a password hangs up on a long
        command, and the reason would be lost with the connection.
        """
        role: tuple[Command, ...] = (("ROLE",),) if address.must_be_master else ()
        commands = (*address.greeting, *role) or (("PING",),)
        replies = await self._replies(wire, commands)
        for command, reply in zip(commands, replies, strict=True):
            _raise_refusal(reply, must_succeed=command in address.greeting)
        if (lost := _lost(replies)) is not None:
            raise _with_hint(lost, address, replies)
        if role:
            _raise_replica(replies[-1])
        # Scripts that cannot be loaded are no error: a call sends them when they are needed.
        replies = await self._replies(wire, tuple(("SCRIPT", "LOAD", text) for text in self._scripts.values()))
        if (lost := _lost(replies)) is not None:
            raise lost

    async def _replies(self, wire: Wire, commands: Sequence[Command]) -> list[Any]:
        """The answers to some commands; a StoreError stands in the place of each answer that did not come."""
        futures: list[asyncio.Future[Any]] = [self._loop.create_future() for _ in commands]
        if commands:
            wire.send(b"".join(pack(command) for command in commands), futures)
        return await asyncio.gather(*futures, return_exceptions=True)

    async def _give_up(self, wire: Wire, error: StoreError) -> None:
        # The socket first: a request that learns of the failure may ask again at once, and must find no running
        # attempt.
        await wire.drop(error.detail)
        while self._backlog:
            # Each request gets an exception of its own, because raising one adds to its traceback.
            _, futures = self._backlog.popleft()
            if not futures[-1].done():
                futures[-1].set_exception(StoreError(error.reason, error.detail))

    async def aclose(self) -> None:
        """Drop the connection and wait until it is closed. The next request connects anew."""
        await self._connecting.aclose()
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.drop("the store was closed")
        self._timeouts.clear()


def _with_hint(lost: StoreError, address: Address, replies: Sequence[Any]) -> StoreError:
    """The failure of a connection; with a hint at TLS if the server gave a plain connection no answer at all."""
    silent = address.tls is None and all(isinstance(reply, StoreError) for reply in replies)
    return StoreError(lost.reason, f"{lost.detail}{_WANTS_TLS}" if silent else lost.detail)


def _raise_replica(role: Any) -> None:
    """StoreError if the answer to ROLE is not a master's. If this user may not ask, writes to a replica will fail."""
    if isinstance(role, list) and role[0] != b"master":
        raise StoreError("server", "READONLY the server that was named as the master is none yet")


def _lost(replies: Sequence[Any]) -> StoreError | None:
    """The failure of a connection that ended before all answers came."""
    return next((reply for reply in replies if isinstance(reply, StoreError)), None)


def _raise_refusal(reply: Any, *, must_succeed: bool) -> None:
    """StoreError if a server refuses the connection: it wants a password, or another one, or has too many clients.

    A command that this user may not run (NOPERM) is no refusal, unless it belongs to the greeting.
    """
    if not isinstance(reply, hiredis.ReplyError):
        return
    error, _ = reply_error(str(reply))
    if must_succeed:
        raise error if error.reason == "server" else StoreError("refused", error.detail)
    if error.reason in ("refused", "server") and not error.detail.startswith("NOPERM"):
        raise error


def _cause(error: Exception, address: Address | None) -> str:
    """Why connecting failed; with a hint where TLS may be the reason."""
    text = str(error) or "connecting took too long"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{text}: ssl_ca_certs names the file of the authority that signs it"
    spoken = isinstance(error, ssl.SSLError | TimeoutError | ConnectionResetError)
    return f"{text}{_SPEAKS_TLS}" if address is not None and address.tls is not None and spoken else text
