"""Caches whole answers to callers that go on inside their Retry-After: the same refusal again costs next to nothing.

A refusal from memory depends on the head of its request alone, and its numbers stay the same for a while. Once the log
has no more lines for a caller in this second, the answer is kept and given again until one of its numbers changes: for
less than a second. Every repetition counts exactly as if it had gone through the checks. The counts are added up and
recorded a few times a second, and before they are shown.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import Lock
from typing import Final

from starlette.types import Scope, Send

from fraiseql_guard.asgi.head_cache import HeadKey
from fraiseql_guard.asgi.limit_headers import Header
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.loop_task import LoopTimer
from fraiseql_guard.core.token_buckets import Bucket
from fraiseql_guard.stores.refusals import Refusals, RefusedCaller
from fraiseql_guard.telemetry.recorder import RequestRecorder
from fraiseql_guard.telemetry.recorder.deferred_records import TELL_SECONDS
from fraiseql_guard.telemetry.spans import active_span, mark
from fraiseql_guard.telemetry.trace import request_id

_SIZE: Final = 1_000
_BYTES_PER_ANSWER: Final = 3_000
_REQUEST_ID: Final = b"x-request-id"
_LATE: Final = 0.000_001
"""The moment after the one in which a number changes."""


class CachedRefusal:
    """One answer, how often it was given again, and until when it is true. It belongs to the ``generation`` of the
    settings under which it was made."""

    __slots__ = (
        "_caller",
        "_headers",
        "_parts",
        "_refusal_cache",
        "_status",
        "ctx",
        "denial",
        "generation",
        "seconds",
        "times",
        "told",
        "until",
    )

    def __init__(
        self,
        refusal_cache: RefusalResponseCache,
        ctx: RequestContext,
        denial: Denial,
        headers: list[Header],
        body: bytes,
        generation: object,
        caller: RefusedCaller,
        until: float,
    ) -> None:
        self._refusal_cache = refusal_cache
        self.generation = generation
        self._headers = [line for line in headers if line[0] != _REQUEST_ID]
        self._parts = body.split(ctx.request_id.encode())
        self._caller = caller
        self._status = denial.status
        self.ctx = ctx
        self.denial = denial
        self.until = until
        self.times = self.told = 0
        self.seconds = 0.0
        """How long the first unrecorded repetition took; it stands for the others."""

    async def answer(self, send: Send) -> None:
        """Send the answer again, with a new request id."""
        first, began_at = self.times == self.told, 0.0
        self.times += 1
        self._caller.count += 1
        if first:
            began_at = time.monotonic()
            self._refusal_cache.touched(self)
        mark(active_span(), self.denial.code.name, self.denial.owner.value)
        own = request_id().encode()
        headers = [*self._headers, (_REQUEST_ID, own)]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": own.join(self._parts)})
        if first:
            self.seconds = time.monotonic() - began_at


class RefusalResponseCache:
    """The answers that may be sent again, 1,000 at most.

    ``counted``: whether plain metrics are mounted. ``telling``: the headers that tell callers with the same head apart;
    None if it is not known which do, and then nothing is cached. ``clock`` counts seconds, ``now`` returns Unix time.
    """

    def __init__(
        self,
        recorder: RequestRecorder,
        refusals: Refusals,
        *,
        counted: bool,
        telling: frozenset[bytes] | None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._recorder = recorder
        self._refusals = refusals
        self._counted = counted
        self._telling_headers = telling or frozenset()
        self._keeps = telling is not None
        self._clock = clock
        self._now = now
        self.answers: dict[Hashable, dict[tuple[bytes, ...], CachedRefusal]] = {}
        """By the head of the request (HeadKey.parts), and by its lines that tell callers apart, which are kept for less
        than a second."""
        self._kept = 0
        self._touched: list[CachedRefusal] = []
        self._recording = Lock()  # a scrape may flush from another thread
        self._tell_soon = LoopTimer(TELL_SECONDS, self._time_to_tell).start

    def find(self, scope: Scope, key: Hashable, generation: object) -> CachedRefusal | None:
        """The answer to a request whose head has this key, if it is a repetition."""
        if not self.answers or (alike := self.answers.get(key)) is None:
            return None
        cached = alike.get(self._telling_lines(scope["headers"]))
        if cached is None or cached.generation is not generation or self._clock() >= cached.until:
            return None
        return cached

    def remember(self, ctx: RequestContext, denial: Denial, headers: list[Header], body: bytes) -> None:
        """Cache the answer to a request that was refused from memory, once the log has no more lines for its caller in
        this second. The body must differ from the next request's by the request id alone."""
        if not self._keeps or len(ctx.buckets) != 1:
            return
        held = self._refusals.held(ctx.subject, ctx.buckets[0].charge, ctx.keyed)
        key = ctx.head_key
        if held is None or ctx.would_refuse or ctx.for_operator or not isinstance(key, HeadKey):
            return
        caller, until = held
        until = min(until, self._clock() + min(steady_seconds(ctx.buckets[0]), self._valid_seconds(ctx)))
        if self._kept >= _SIZE:
            self.forget()  # every one of them would be gone within a second
        self._tell_soon()
        alike, telling = self.answers.setdefault(key.parts, {}), self._telling_lines(ctx.header_lines)
        self._kept += telling not in alike
        alike[telling] = CachedRefusal(self, ctx, denial, headers, body, key.generation, caller, until)

    def _telling_lines(self, lines: Iterable[Sequence[bytes]]) -> tuple[bytes, ...]:
        """Names and values of the lines that tell callers with the same head apart."""
        telling = self._telling_headers
        return tuple([part for line in lines if line[0] in telling for part in line])

    def touched(self, cached: CachedRefusal) -> None:
        """Note an answer with repetitions that are not recorded yet, and have them recorded soon."""
        self._touched.append(cached)
        self._tell_soon()

    def tell(self) -> None:
        """Record the repetitions since the last call."""
        with self._recording:
            touched, self._touched = self._touched, []
            for cached in touched:
                times = cached.times - cached.told
                cached.told += times
                seconds = cached.seconds * times
                self._recorder.repeated(cached.ctx, cached.denial, times, seconds, counted=self._counted)

    def forget(self) -> None:
        """Drop all answers, so that every caller goes through the checks again."""
        self.answers.clear()
        self._kept = 0

    @property
    def size_bytes(self) -> int:
        """Size of the cache, estimated by the number of answers."""
        return self._kept * _BYTES_PER_ANSWER

    def _time_to_tell(self) -> None:
        now = self._clock()
        for key, alike in list(self.answers.items()):
            self.answers[key] = left = {each: cached for each, cached in alike.items() if cached.until > now}
            self._kept -= len(alike) - len(left)
            if not left:
                del self.answers[key]
        if self.answers:
            self._tell_soon()
        self.tell()

    def _valid_seconds(self, ctx: RequestContext) -> float:
        """To the end of the clock's second, which has no more lines for this caller, or of the token's life."""
        now = self._now()
        rest = 1.0 - now % 1.0
        expires_at = ctx.identity.expires_at if ctx.identity is not None else None
        return rest if expires_at is None else min(rest, expires_at - now)


def steady_seconds(bucket: Bucket) -> float:
    """How long the numbers that a refusal tells of a bucket stay as they are, in whole seconds and tokens."""
    until_token = (math.floor(bucket.remaining) + 1 - bucket.remaining) / bucket.charge.limit.tokens_per_second
    return min(until_token, _until_less(bucket.retry_after_seconds)) - _LATE


def _until_less(seconds: float) -> float:
    """When a countdown that is rounded up shows a second less."""
    return seconds - (math.ceil(seconds) - 1)
