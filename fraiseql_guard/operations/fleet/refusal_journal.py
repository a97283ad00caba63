"""The last refusals, so that ``why REQUEST_ID`` has an answer: noted with the request, written by a background task."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.operations.operator.interface import Refusal
from fraiseql_guard.operations.operator.records import write_refusal
from fraiseql_guard.telemetry.recorder.remedies import remedy

PER_MINUTE: Final = 3
"""Refusals of one subject that are noted in a minute: a flood must not push out what others ask about."""
_SUBJECTS: Final = 5_000
_WAITING_OF_USERS: Final = 100
_WAITING_OF_ALL: Final = 20
"""Most records that wait to be written. Addresses are free, so a flood from many of them fills no more than this."""
_DETAIL_CHARACTERS: Final = 256


class RefusalJournal:
    """Records of refusals that wait to be written to the store. ``clock`` tells the seconds since 1970."""

    __slots__ = ("_clock", "_noted", "_waiting")

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._noted: Lru[tuple[str, str], list[int]] = Lru(_SUBJECTS)
        self._waiting: deque[Refusal] = deque()

    def note(self, ctx: RequestContext, denial: Denial, enforced: bool) -> None:
        """A request is refused, or would be."""
        if len(self._waiting) >= (_WAITING_OF_USERS if ctx.identity is not None else _WAITING_OF_ALL):
            return
        now = self._clock()
        if not self._room(ctx, int(now // 60)):
            return
        measured = ctx.measured
        self._waiting.append(
            Refusal(
                request_id=ctx.request_id,
                trace_id=ctx.trace_id,
                at=round(now, 3),
                code=denial.code.name,
                status=denial.status,
                protection=denial.owner.value,
                user_id=ctx.user_id,
                ip_address=ctx.address,
                endpoint=ctx.endpoint,
                method=ctx.method[:_DETAIL_CHARACTERS],
                message=denial.code.message,
                detail=denial.detail[:_DETAIL_CHARACTERS] or (denial.reason.value if denial.reason else ""),
                limit=denial.limit,
                actual=denial.actual,
                path=denial.path[:_DETAIL_CHARACTERS] if denial.path else None,
                retry_after_seconds=denial.retry_after_seconds,
                query_hash=ctx.query_hash,
                operation=measured.name if measured else None,
                enforced=enforced,
                remedy=remedy(denial.code),
            )
        )

    def take(self, worker: str) -> list[bytes]:
        """What waits, as it is kept, with the worker's id; it waits no longer."""
        records = self.waiting(worker)
        self._waiting.clear()
        return records

    def waiting(self, worker: str) -> list[bytes]:
        """The same, and it goes on waiting."""
        records: list[bytes] = []
        for each in self._waiting:
            with suppress(TypeError):  # text from outside that is no UTF-8: it could not be read either
                records.append(write_refusal(replace(each, worker=worker)))
        return records

    def _room(self, ctx: RequestContext, minute: int) -> bool:
        key = ctx.subject.kind, ctx.subject.name
        noted = self._noted.get(key)
        if noted is None or noted[0] != minute:
            self._noted.put(key, [minute, 1])
            return True
        noted[1] += 1
        return noted[1] <= PER_MINUTE
