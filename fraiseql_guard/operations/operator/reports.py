"""Reports of what is going on: workers, offenders, refusals, and what operators have done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fraiseql_guard.core.settings import Mode, name_of
from fraiseql_guard.core.signals import KeyFamily
from fraiseql_guard.core.surroundings import counting_apart, several_on
from fraiseql_guard.operations.operator import configuration
from fraiseql_guard.operations.operator.alone import OwnKnowledge, alone
from fraiseql_guard.operations.operator.deps import OperatorDeps, store_answering
from fraiseql_guard.operations.operator.interface import NotAppliedError, NotFoundError, Offender, Status, Switch
from fraiseql_guard.operations.operator.offenders import offenders_among
from fraiseql_guard.operations.operator.records import iso_time, read_action, read_refusal
from fraiseql_guard.operations.operator.shared_values import Action, Refusal, Worker
from fraiseql_guard.operations.operator.switches import switches_of
from fraiseql_guard.stores.fleet import RECENT_SIZE
from fraiseql_guard.stores.overrides import OverrideKind
from fraiseql_guard.stores.protocol import StoreError

_NO_ANSWER: Final = "the store does not answer: workers, switches and sanctions are not known"
_ALONE: Final = "the store does not answer: everything here is what"


class Reports:
    """The operator's methods that change nothing. ``own`` is what this process knows by itself; None outside of a
    guard."""

    def __init__(self, deps: OperatorDeps, own: OwnKnowledge | None = None) -> None:
        self._deps = deps
        self._own = own
        self._apart: str | None = None

    async def status(self) -> Status:
        """Operator.status. While the store does not answer, it is what this process knows by itself (``alone``)."""
        deps = self._deps
        try:
            # A local bucket may answer while Redis does not: ask Redis itself.
            await deps.store.ping()
            workers = sorted((each.worker for each in await deps.heartbeats()), key=lambda each: (each.host, each.pid))
            control = await deps.control()
            switches = switches_of(control)
            sanctions = await deps.store.sanctions.count() + sum(1 for _ in control.of(OverrideKind.BLOCK))
        except (StoreError, NotAppliedError):
            return await self._without_store()
        notes = [*_notes(workers), *self._apart_from_others(workers), *deps.store.unreadable.sentences()]
        return self._status(workers, switches, sanctions, notes)

    async def _without_store(self) -> Status:
        """The status while the store does not answer."""
        # A command on Redis has no process to tell of.
        own = self._own
        if own is None:
            return replace(self._status((), (), None, [_NO_ANSWER]), store_answers=False)
        beat, control = own.heartbeat(), own.control()
        worker = beat.worker
        notes = [f"{_ALONE} the worker {worker.host}/{worker.pid} knows by itself", *_notes([worker])]
        found = self._status([worker], switches_of(control), None, notes)
        return replace(found, store_answers=False, alone=await alone(own, beat, control))

    def _status(
        self, workers: Sequence[Worker], switches: Sequence[Switch], sanctions: int | None, notes: Sequence[str]
    ) -> Status:
        now = self._deps.clock()
        return Status(
            at=now,
            time=iso_time(now),
            store="redis" if self._deps.settings.redis_url else "memory",
            store_answers=True,
            workers=workers,
            switches=switches,
            sanctions=sanctions,
            notes=notes,
        )

    def _apart_from_others(self, workers: Sequence[Worker]) -> Iterator[str]:
        """Sentences about workers that do not share what they should: their store, or their metrics."""
        settings = self._deps.settings
        if settings.redis_url is None and settings.worker_count > 1:
            yield f"{name_of('redis_url')} is not set: what is changed here holds in this one process alone"
        apart = Counter(worker.host for worker in workers if worker.counts_alone)
        several = {host: count for host, count in apart.items() if count > 1}
        if several:
            yield several_on(several)
        elif apart and settings.redis_url is None:  # without a shared store, this worker cannot see the others
            yield from filter(None, [self._counting_apart()])

    def _counting_apart(self) -> str:
        """A sentence if the surroundings say that other workers count apart; "" if not. Looked up once."""
        if self._apart is None:
            self._apart = counting_apart(self._deps.settings) or ""
        return self._apart

    async def offenders(self, count: int = 20) -> Sequence[Offender]:
        """Operator.offenders."""
        return offenders_among(await self._deps.heartbeats(), count)

    async def refusals(self, count: int = 50) -> Sequence[Refusal]:
        """Operator.refusals."""
        with store_answering():
            records = await self._deps.store.fleet.recent(count)
        return self._deps.readable(KeyFamily.REFUSALS, records, read_refusal)

    async def why(self, request_id: str) -> Refusal:
        """Operator.why."""
        # The store keeps only the last refusals, so a look through all of them is quick.
        for refusal in await self.refusals(RECENT_SIZE):
            if refusal.request_id == request_id:
                return refusal
        raise NotFoundError(
            f"no refusal of request {str(request_id)[:64]} is remembered: it was admitted, is too long ago, "
            "was one of many of its caller, or the id is not whole"
        )

    async def actions(self, count: int = 50) -> Sequence[Action]:
        """Operator.actions."""
        with store_answering():
            records = await self._deps.store.fleet.actions(count)
        return self._deps.readable(KeyFamily.ACTIONS, records, read_action)

    async def config(self) -> Sequence[Mapping[str, Any]]:
        """Operator.config."""
        return configuration.rows(self._deps.settings)


def _notes(workers: Sequence[Worker]) -> Iterator[str]:
    """Sentences that an operator should read: about differences between workers, open breakers, and monitor mode."""
    if not workers:
        yield "no worker has said that it is alive"
    yield from _differences(workers)
    opened = sum(each.breaker_open for each in workers)
    if opened:
        yield f"{opened} of {len(workers)} workers have given up the store: {name_of('on_store_failure')} decides"
    watching = sorted({name for each in workers for name, mode in each.modes.items() if mode == Mode.MONITOR})
    if watching:
        yield f"monitor mode, nothing is refused: {', '.join(watching)}"


def _differences(workers: Sequence[Worker]) -> Iterator[str]:
    """A sentence for each thing in which all workers should be alike and are not."""
    for what, value in _ALIKE.items():
        values = Counter(value(each) for each in workers)
        if len(values) > 1:
            shares = ", ".join(f"{count} have {each or 'none'}" for each, count in values.most_common())
            yield f"the workers differ in their {what}: {shares}"


_ALIKE: Final[Mapping[str, Callable[[Worker], str]]] = {
    "version": lambda worker: worker.version,
    "configuration": lambda worker: worker.fingerprint,
}
