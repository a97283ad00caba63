"""Keeps the last refusals for the command ``why REQUEST_ID``, until the heartbeat writes them to the store."""

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
from fraiseql_guard.core.signals import COST_BUDGET_EXCEEDED, RATE_LIMITED
from fraiseql_guard.operations.operator.records import write_refusal
from fraiseql_guard.operations.operator.shared_values import Refusal
from fraiseql_guard.telemetry.recorder.remedies import remedy

PER_MINUTE: Final = 3
"""Most refusals of one caller that are noted in a minute, so that a flood does not push out those of others."""
_SUBJECTS: Final = 5_000
_WAITING_OF_USERS: Final = 100
_WAITING_OF_ALL: Final = 20
"""Most records that wait to be written. Callers without a verified user share a small part, because a flood can come
from any number of addresses."""
_DETAIL_CHARACTERS: Final = 256
_OF_BUCKETS: Final = (RATE_LIMITED, COST_BUDGET_EXCEEDED)


class RefusalJournal:
    """Refusals that wait to be written to the store. ``clock`` is Unix time."""

    __slots__ = ("_clock", "_noted", "_waiting")

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._noted: Lru[tuple[str, str], list[int]] = Lru(_SUBJECTS)
        self._waiting: deque[Refusal] = deque()

    def note(self, ctx: RequestContext, denial: Denial, enforced: bool) -> None:
        """Note the refusal of a request, or one that is not enforced, if there is room."""
        room = _WAITING_OF_USERS if ctx.identity is not None else _WAITING_OF_ALL
        if len(self._waiting) >= room:
            return
        now = self._clock()
        if not self._may_note(ctx, int(now // 60)):
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
                path=_beginning(denial.path),
                retry_after_seconds=denial.retry_after_seconds,
                query_hash=ctx.query_hash,
                operation=measured.name if measured else None,
                rule=ctx.rule.name if ctx.rule is not None else "",
                enforced=enforced,
                limit_key=ctx.short_key if denial.code in _OF_BUCKETS else None,
                remedy=remedy(denial.code),
            )
        )

    def take(self, worker: str) -> list[bytes]:
        """Remove all waiting refusals, and return them as records of the store, with the worker's id."""
        records = self.waiting(worker)
        self._waiting.clear()
        return records

    def waiting(self, worker: str) -> list[bytes]:
        """The waiting refusals as records of the store, with the worker's id. They go on waiting."""
        records: list[bytes] = []
        for each in self._waiting:
            with suppress(TypeError):  # text from outside that is no UTF-8 cannot be written as JSON
                records.append(write_refusal(replace(each, worker=worker)))
        return records

    def _may_note(self, ctx: RequestContext, minute: int) -> bool:
        """Count a refusal of the caller in this minute. Returns whether it may be noted."""
        key = ctx.subject.kind, ctx.subject.name
        noted = self._noted.get(key)
        # A fixed minute instead of a sliding window takes one number for each caller.
        if noted is None or noted[0] != minute:
            self._noted.put(key, [minute, 1])
            return True
        noted[1] += 1
        return noted[1] <= PER_MINUTE


def _beginning(text: str | None) -> str | None:
    return text[:_DETAIL_CHARACTERS] if text else None
