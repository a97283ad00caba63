"""Refusals that are being repeated: who asks the same again inside its Retry-After gets the same answer for next to
nothing.

What a refusal from memory depends on is the head of its request, and its numbers stay the same for a while. So once
the log has no more lines for a caller in this second, the whole answer is kept, and given again until one of its
numbers or anything else about it would be another: for less than a second. Every repetition counts exactly as if it
had gone through the gates; its counts are added up and told a few times a second, and before they are shown.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import Lock
from typing import Any, Final

from fraiseql_guard.asgi.replies import Header
from fraiseql_guard.core.context import Bucket, Denial, RequestContext
from fraiseql_guard.core.loop_task import LoopTimer
from fraiseql_guard.stores.refusals import Refusals, RefusedCaller
from fraiseql_guard.telemetry import request_id
from fraiseql_guard.telemetry.recorder import RequestRecorder
from fraiseql_guard.telemetry.recorder.deferred_records import TELL_SECONDS
from fraiseql_guard.telemetry.spans import active_span, mark

_SIZE: Final = 1_000
_BYTES_PER_ANSWER: Final = 3_000
_REQUEST_ID: Final = b"x-request-id"
_NONE: Final[tuple[bytes, ...]] = ()
"""The credentials of a request without any."""
_LATE: Final = 0.000_001
"""The moment after the one in which a number changes."""


class CachedRefusal:
    """One answer, its number of repetitions, and until when it is true."""

    __slots__ = (
        "_after",
        "_before",
        "_caller",
        "_head",
        "_refusal_cache",
        "_status",
        "ctx",
        "denial",
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
        head: list[Header],
        body: bytes,
        caller: RefusedCaller,
        until: float,
    ) -> None:
        self._refusal_cache = refusal_cache
        self._head = [line for line in head if line[0] != _REQUEST_ID]
        self._before, _, self._after = body.partition(ctx.request_id.encode())
        self._caller = caller
        self._status = denial.status
        self.ctx = ctx
        self.denial = denial
        self.until = until
        self.times = self.told = 0
        self.seconds = 0.0
        """What the first took of those that wait to be told: the others do the same."""

    async def answer(self, send: Any) -> None:
        """Give the answer once more, to a request with an id of its own."""
        first, began_at = self.times == self.told, 0.0
        self.times += 1
        self._caller.count += 1
        if first:
            began_at = time.monotonic()
            self._refusal_cache.touched(self)
        mark(active_span(), self.denial.code.name, self.denial.owner.value)
        own = request_id().encode()
        head = [*self._head, (_REQUEST_ID, own)]
        await send({"type": "http.response.start", "status": self._status, "headers": head})
        body = self._before + own + self._after if self._before else b""
        await send({"type": "http.response.body", "body": body})
        if first:
            self.seconds = time.monotonic() - began_at


class RefusalResponseCache:
    """The answers that are being repeated, 1,000 at most.

    ``counted`` says whether plain metrics are mounted. ``clock`` counts seconds, ``now`` those since 1970.
    """

    def __init__(
        self,
        recorder: RequestRecorder,
        refusals: Refusals,
        *,
        counted: bool,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._recorder = recorder
        self._refusals = refusals
        self._counted = counted
        self._clock = clock
        self._now = now
        self.answers: dict[Hashable, dict[tuple[bytes, ...], CachedRefusal]] = {}
        """By the head of the request (Heads.key), and by its credentials, which are kept for less than a second."""
        self._kept = 0
        self._touched: list[CachedRefusal] = []
        self._telling = Lock()  # another thread may look
        self._tell_soon = LoopTimer(TELL_SECONDS, self._time_to_tell).start

    def find(self, scope: Any, key: Hashable) -> CachedRefusal | None:
        """The answer to a request with this head, if it is a repetition."""
        alike = self.answers.get(key)
        if alike is None:
            return None
        # Whether there are credentials at all is a part of the head.
        repeat = alike.get(_NONE) or alike.get(_credentials(scope["headers"]))
        return None if repeat is None or self._clock() >= repeat.until else repeat

    def remember(self, ctx: RequestContext, denial: Denial, head: list[Header], body: bytes) -> None:
        """A request was refused from memory, and the log has no more lines for its caller in this second."""
        held = self._refusals.held(ctx.subject, ctx.buckets[0].charge) if len(ctx.buckets) == 1 else None
        own = ctx.request_id.encode() in body or not body  # else there is no place for the id of another request
        if held is None or not own or ctx.would_refuse or ctx.for_operator or ctx.head_key is None:
            return
        caller, until = held
        until = min(until, self._clock() + min(steady_seconds(ctx.buckets[0]), self._valid_seconds(ctx)))
        if self._kept >= _SIZE:
            self.forget()  # every one of them would be gone within a second
        self._tell_soon()
        alike, credentials = self.answers.setdefault(ctx.head_key, {}), _credentials(ctx.header_lines)
        self._kept += credentials not in alike
        alike[credentials] = CachedRefusal(self, ctx, denial, head, body, caller=caller, until=until)

    def touched(self, repeat: CachedRefusal) -> None:
        """Repetitions wait to be told."""
        self._touched.append(repeat)
        self._tell_soon()

    def tell(self) -> None:
        """Count what was repeated since the last time."""
        with self._telling:
            touched, self._touched = self._touched, []
            for repeat in touched:
                times = repeat.times - repeat.told
                repeat.told += times
                seconds = repeat.seconds * times
                self._recorder.repeated(repeat.ctx, repeat.denial, times, seconds, counted=self._counted)

    def forget(self) -> None:
        """Send everybody through the gates again."""
        self.answers.clear()
        self._kept = 0

    @property
    def size_bytes(self) -> int:
        """What is kept, estimated by the number of answers."""
        return self._kept * _BYTES_PER_ANSWER

    def _time_to_tell(self) -> None:
        now = self._clock()
        for key, alike in list(self.answers.items()):
            self.answers[key] = left = {mark: repeat for mark, repeat in alike.items() if repeat.until > now}
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


def _credentials(lines: Iterable[Sequence[bytes]]) -> tuple[bytes, ...]:
    """What no other request shares."""
    return tuple([value for name, value in lines if name == b"authorization"])


def steady_seconds(bucket: Bucket) -> float:
    """How long the numbers that a refusal tells of a bucket stay as they are, in whole seconds and tokens."""
    until_token = (math.floor(bucket.remaining) + 1 - bucket.remaining) / bucket.charge.limit.tokens_per_second
    return min(until_token, _until_less(bucket.retry_after_seconds)) - _LATE


def _until_less(seconds: float) -> float:
    """When a countdown that is rounded up shows a second less."""
    return seconds - (math.ceil(seconds) - 1)
