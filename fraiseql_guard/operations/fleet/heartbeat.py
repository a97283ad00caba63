"""Writes a worker's heartbeat to the store about once a second, and its recent refusals."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from secrets import token_hex
from typing import Any, Final, Protocol

from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.settings import VARIABLES, Settings
from fraiseql_guard.core.surroundings import NEIGHBOURS
from fraiseql_guard.operations.fleet.live_report import LiveReport
from fraiseql_guard.operations.fleet.refusal_journal import RefusalJournal
from fraiseql_guard.operations.fleet.traffic import TrafficStats
from fraiseql_guard.operations.operator.records import Heartbeat, read_refusal, write_heartbeat
from fraiseql_guard.operations.operator.shared_values import Refusal, Worker
from fraiseql_guard.operations.tuning.watch import UsageWatch
from fraiseql_guard.stores.protocol import Store, StoreError
from fraiseql_guard.telemetry.process import POOL, Memory, ProcessMonitor

TTL_SECONDS: Final = 4.0
"""How long a heartbeat is kept. A worker without one counts as gone."""
MAX_PAYLOAD_BYTES: Final = 16_384
"""Largest heartbeat, without its usage report (at most MAX_BYTES of tuning/watch.py)."""
_TOP: Final = ((30, 20), (10, 20), (10, 8), (3, 3), (0, 0))
"""Numbers of callers of each kind, and of live connections, in a heartbeat: the first pair is used with which it is
small enough."""
_OWN: Final = frozenset({"log_file", "admin_token", "actor"})
"""Options that may differ between the workers of one fleet, and so are not part of the fingerprint: where a worker
logs, and the names and tokens of commands in its environment."""
_UNWRITTEN: Final = 200
"""Most refusals that wait while the store does not answer."""

Facts = Callable[[], Mapping[str, Any]]
"""Returns fields of Worker that change while it runs: modes, breaker_open, control_version, in_flight, ..."""


class HeartbeatObserver(Protocol):
    """Receives faults and warnings while a heartbeat is made."""

    def fault(self, part: str, error: BaseException) -> None:
        """Report an error of the guard itself, in the named part."""
        ...

    def warn(self, sentence: str) -> None:
        """Warn an operator in a sentence, for example of a pool of the app that cannot be read."""
        ...


class HeartbeatTask:
    """Writes the heartbeats of one process, in turn with its journal of refusals: one command to the store for each
    call of :meth:`tick`.

    ``facts`` returns the worker's present state. ``host`` has its memory and pool, ``live`` its live connections and
    ``usage`` its usage; the last two may be None. The worker's id is made with the first heartbeat, so that each forked
    worker has its own. ``counts_alone``: /metrics shows this process alone, and the observer is warned if the same host
    has another worker, which /metrics would miss. ``clock`` is Unix time.
    """

    def __init__(
        self,
        store: Store,
        *,
        traffic: TrafficStats,
        journal: RefusalJournal,
        host: ProcessMonitor,
        settings: Callable[[], Settings],
        facts: Facts,
        observer: HeartbeatObserver,
        live: LiveReport | None = None,
        usage: UsageWatch | None = None,
        counts_alone: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._counts_alone = counts_alone
        self._warns = counts_alone
        self._looked_for = 1
        self._store = store
        self._traffic = traffic
        self._journal = journal
        self._settings = settings
        self._facts = facts
        self._host = host
        self._live = live
        self._usage = usage
        self._observer = observer
        self._clock = clock
        self._digest = Fingerprints()
        self._version = package_version()
        self._pid = 0
        self._started_at = 0.0
        self._beat_next = True
        self._unwritten: list[bytes] = []
        self.worker_id = ""

    async def tick(self) -> None:
        """Called twice a second: writes a heartbeat or the journal. Never raises."""
        if self._pid != os.getpid():
            self._begin()
        try:
            if self._beat_next:
                living = await self._store.fleet.beat(self.worker_id, self._payload(), TTL_SECONDS)
                if self._warns and living != self._looked_for:
                    await self._look_for_neighbours(living)
            else:
                await self._write_journal()
        except StoreError:
            pass  # the store reports its failures itself; the next tick tries again
        except Exception as error:  # noqa: BLE001 - a failed report must not stop the worker
            self._observer.fault("presence", error)
        self._beat_next = not self._beat_next

    def heartbeat(self) -> Heartbeat:
        """The heartbeat that this process would write now."""
        if self._pid != os.getpid():
            self._begin()
        connections = self._live.largest() if self._live is not None else ()
        callers = self._traffic.callers(_TOP[0][0])
        return Heartbeat(worker=self._worker(), callers=callers, connections=connections)

    def unwritten(self, count: int) -> Sequence[Refusal]:
        """The last refusals that are not in the store yet, newest first, at most ``count``."""
        read = [read_refusal(record) for record in (*self._unwritten, *self._journal.waiting(self.worker_id))]
        return [each for each in reversed(read) if each is not None][:count]

    async def leave(self) -> None:
        """Write the journal, and delete the heartbeat in the store. Does nothing if this process has written none."""
        if self._pid != os.getpid():
            return
        with suppress(StoreError):
            await self._write_journal()
            await self._store.fleet.beat(self.worker_id, b"", 0)

    async def _write_journal(self) -> None:
        # Refusals that could not be written wait, and are written with the new ones.
        self._unwritten = (self._unwritten + self._journal.take(self.worker_id))[-_UNWRITTEN:]
        if self._unwritten:
            await self._store.fleet.remember(self._unwritten)
            self._unwritten = []

    async def _look_for_neighbours(self, living: int) -> None:
        """Warn once if another worker of this host is alive, whose counts are missing from this worker's /metrics."""
        # Wait until the heartbeat of a process that this one replaces is gone.
        if self._clock() - self._started_at < 2 * TTL_SECONDS:
            return
        self._looked_for = living
        # Ids are host-pid-token: another pid of the same host is a neighbour.
        own = self.worker_id.rsplit("-", 2)
        others = [beat.worker_id.rsplit("-", 2) for beat in await self._store.fleet.beats()]
        if any(other[0] == own[0] and other[1:2] != own[1:2] for other in others):
            self._warns = False
            self._observer.warn(NEIGHBOURS)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._started_at = self._clock()
        self.worker_id = f"{socket.gethostname()[:64]}-{self._pid}-{token_hex(3)}"

    def _payload(self) -> bytes:
        """The heartbeat as bytes, with as many callers and connections as fit into MAX_PAYLOAD_BYTES."""
        worker = self._worker()
        for top, connections in _TOP:
            callers, seen = self._traffic.callers(top), self._traffic.seen(2 * top)
            largest = self._live.largest(connections) if self._live is not None else ()
            beat = Heartbeat(worker=worker, callers=callers, seen=seen, connections=largest)
            payload = write_heartbeat(beat)
            if len(payload) <= MAX_PAYLOAD_BYTES:
                break
        usage = self._usage.for_heartbeat() if self._usage is not None else None
        return payload if usage is None else write_heartbeat(replace(beat, usage=usage))

    def _worker(self) -> Worker:
        settings, memory = self._settings(), self._host.memory.memory
        pool = self._host.fact_sources.ask(POOL, self._observer.warn)
        # Called before ``keys`` is read, since it adds deferred counts to them.
        series, now = self._traffic.series(), self._clock()
        return Worker(
            id=self.worker_id,
            host=socket.gethostname(),
            pid=self._pid,
            version=self._version,
            started_at=round(self._started_at, 3),
            seen_at=round(now, 3),
            fingerprint=self._digest.of_settings(settings),
            token_keys=dict(self._traffic.keys),
            series=series,
            series_ends_at=round(now, 3),
            counts_alone=self._counts_alone,
            memory=None if memory is None else _memory_facts(memory),
            pool=None if pool is None else {name: int(value) for name, value in pool.items()},
            live=None if self._live is None else self._live.numbers(),
            **self._facts(),
        )


def _memory_facts(memory: Memory) -> Mapping[str, float]:
    return {
        "used_bytes": memory.used_bytes,
        "limit_bytes": memory.limit_bytes,
        "usage_percent": round(memory.percent, 1),
    }


class Fingerprints:
    """Digests by which equal configurations are recognized.

    The digest of the settings covers the secrets' texts. It is short, and its key is made of all secrets together, so
    that it does not help to guess a weak secret beside a strong one. Signing keys have at least 32 bytes; their digests
    confirm a guess no better than any token that they sign.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: tuple[Settings, tuple[str, ...], str] | None = None

    def of_settings(self, settings: Settings) -> str:
        """The digest of all effective settings, from whatever sources, without the options that may differ between
        workers."""
        values = [getattr(settings, row.option) for row in VARIABLES if row.option not in _OWN]
        secrets = tuple([each.reveal() for each in values if isinstance(each, Secret)])
        # Settings are replaced and never edited, but a secret's file may change.
        if self._known is None or self._known[0] is not settings or self._known[1] != secrets:
            key = blake2b("\0".join(secrets).encode(errors="surrogatepass"), digest_size=32).digest()
            # A number replaces each secret, whose text is in the key.
            shown = [repr(secrets.index(each.reveal())) if isinstance(each, Secret) else repr(each) for each in values]
            digest = blake2b("\0".join(shown).encode(errors="surrogatepass"), key=key, digest_size=8)
            self._known = (settings, secrets, digest.hexdigest())
        return self._known[2]

    @staticmethod
    def of_keys(settings: Settings) -> Mapping[str, str]:
        """The digests of the keys that verify tokens, by slot (current, old, new)."""
        slots = {"current": settings.jwt_secret, "old": settings.jwt_secret_old, "new": settings.jwt_secret_new}
        return {
            slot: blake2b(secret.reveal().encode(errors="surrogatepass"), key=b"slot", digest_size=6).hexdigest()
            for slot, secret in slots.items()
            if secret is not None
        }


def package_version() -> str:
    """The installed version of this package; "0" if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # once, at the start

    try:
        return version("fraiseql-guard")
    except PackageNotFoundError:
        return "0"
