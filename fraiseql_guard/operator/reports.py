"""What is going on: workers, offenders, refusals, and what operators have done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from fraiseql_guard.context import Subject
from fraiseql_guard.operator import configuration
from fraiseql_guard.operator.bench import Bench, answering
from fraiseql_guard.operator.interface import (
    Action,
    NotAppliedError,
    NotFoundError,
    Offender,
    Refusal,
    Status,
    Switch,
    Worker,
)
from fraiseql_guard.operator.records import Caller, read_action, read_refusal
from fraiseql_guard.operator.switches import Switches
from fraiseql_guard.operator.targets import target_of
from fraiseql_guard.settings import Mode, name_of
from fraiseql_guard.stores.control import EntryKind
from fraiseql_guard.stores.fleet import RECENT_SIZE
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.surroundings import counting_apart, several_on

_NO_ANSWER: Final = "the store does not answer: workers, switches and sanctions are not known"


class Reports:
    """The part of the operator that only looks."""

    def __init__(self, bench: Bench, switches: Switches) -> None:
        self._bench = bench
        self._switches = switches
        self._apart: str | None = None

    async def status(self) -> Status:
        """Operator.status. Says also of a store that does not answer that it does not."""
        bench = self._bench
        workers: Sequence[Worker] = ()
        switches: Sequence[Switch] = ()
        sanctions, answers = 0, False
        with suppress(StoreError, NotAppliedError):
            await bench.store.ping()
            workers = sorted((each.worker for each in await bench.heartbeats()), key=lambda each: (each.host, each.pid))
            switches = await self._switches.switches()
            networks = sum(1 for _ in (await bench.control()).of(EntryKind.BLOCK))
            sanctions = len(await bench.store.sanctions()) + networks
            answers = True
        return Status(
            at=bench.clock(),
            store="redis" if bench.settings.redis_url else "memory",
            store_answers=answers,
            workers=workers,
            switches=switches,
            sanctions=sanctions,
            notes=[*_notes(workers), *self._alone(workers)] if answers else [_NO_ANSWER],
        )

    def _alone(self, workers: Sequence[Worker]) -> Iterator[str]:
        """What each process does for itself."""
        settings = self._bench.settings
        if settings.redis_url is None and settings.worker_count > 1:
            yield f"{name_of('redis_url')} is not set: what is changed here holds in this one process alone"
        apart = Counter(worker.host for worker in workers if worker.counts_alone)
        if several := {host: count for host, count in apart.items() if count > 1}:
            yield several_on(several)
        elif apart and settings.redis_url is None:  # the others are not to be seen from here
            if self._apart is None:
                self._apart = counting_apart(settings) or ""
            if self._apart:
                yield self._apart

    async def offenders(self, count: int = 20) -> Sequence[Offender]:
        """Operator.offenders."""
        seen: dict[tuple[str, str], list[Caller]] = {}
        for beat in await self._bench.heartbeats():
            for caller in beat.callers:
                seen.setdefault((caller.kind, caller.name), []).append(caller)
        found = [_offender(callers) for callers in seen.values()]
        worst = sorted(found, key=lambda each: (-each.refusals, -each.requests))
        return [each for each in worst if each.refusals][: max(0, count)]

    async def refusals(self, count: int = 50) -> Sequence[Refusal]:
        """Operator.refusals."""
        with answering():
            read = [read_refusal(record) for record in await self._bench.store.recent(count)]
        return [each for each in read if each is not None]

    async def why(self, request_id: str) -> Refusal:
        """Operator.why."""
        for refusal in await self.refusals(RECENT_SIZE):
            if refusal.request_id == request_id:
                return refusal
        raise NotFoundError(
            f"no refusal of request {str(request_id)[:64]} is remembered: it was admitted, is too long ago, "
            "or was one of many of its caller"
        )

    async def actions(self, count: int = 50) -> Sequence[Action]:
        """Operator.actions."""
        with answering():
            read = [read_action(record) for record in await self._bench.store.actions(count)]
        return [each for each in read if each is not None]

    async def config(self) -> Sequence[Mapping[str, Any]]:
        """Operator.config."""
        return configuration.rows(self._bench.settings)


def _offender(callers: Sequence[Caller]) -> Offender:
    first, codes = callers[0], Counter[str]()
    for caller in callers:
        codes.update(caller.by_code)
    return Offender(
        target=target_of(Subject(first.kind, first.name, first.group)),  # type: ignore[arg-type]
        requests=sum(each.requests for each in callers),
        refusals=sum(each.refusals for each in callers),
        by_code=dict(codes.most_common()),
    )


def _notes(workers: Sequence[Worker]) -> Iterator[str]:
    """Sentences that deserve a look."""
    if not workers:
        yield "no worker has said that it is alive"
    for what, value in _ALIKE.items():
        if len(values := Counter(value(each) for each in workers)) > 1:
            shares = ", ".join(f"{count} have {each or 'none'}" for each, count in values.most_common())
            yield f"the workers differ in their {what}: {shares}"
    if opened := [each for each in workers if each.breaker_open]:
        yield f"{len(opened)} of {len(workers)} workers have given up the store: {name_of('on_store_failure')} decides"
    watching = sorted({name for each in workers for name, mode in each.modes.items() if mode == Mode.MONITOR})
    if watching:
        yield f"monitor mode, nothing is refused: {', '.join(watching)}"


_ALIKE: Final[Mapping[str, Callable[[Worker], str]]] = {
    "version": lambda worker: worker.version,
    "configuration": lambda worker: worker.fingerprint,
}
