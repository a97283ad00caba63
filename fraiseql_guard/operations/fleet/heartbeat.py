"""A worker's heartbeat: about once a second it says what it is, and writes out what waits to be told."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from secrets import token_hex
from typing import Any, Final, Protocol

from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.settings import VARIABLES, Settings
from fraiseql_guard.core.surroundings import NEIGHBOURS
from fraiseql_guard.operations.fleet.refusal_journal import RefusalJournal
from fraiseql_guard.operations.fleet.traffic import TrafficStats
from fraiseql_guard.operations.operator.interface import Refusal, Worker
from fraiseql_guard.operations.operator.records import Heartbeat, read_refusal, write_heartbeat
from fraiseql_guard.stores.protocol import Store, StoreError
from fraiseql_guard.telemetry.process import POOL, Host, Memory

TTL_SECONDS: Final = 4.0
"""A worker that says nothing for so long is gone."""
MAX_PAYLOAD_BYTES: Final = 16_384
_TOP: Final = (30, 10, 3, 0)
"""How many callers of each kind are published: the first number with which the payload is small enough."""
_OWN: Final = frozenset({"log_file", "admin_token", "actor"})
"""Options that may differ from worker to worker of one fleet: where it logs, and as what its shell acts elsewhere."""
_UNWRITTEN: Final = 200
"""Most refusals that wait for a store that does not answer."""

Facts = Callable[[], Mapping[str, Any]]
"""What changes: settings in force, modes, breaker, control_version, in_flight."""


class HeartbeatObserver(Protocol):
    """Hears of what breaks while a heartbeat is made."""

    def fault(self, part: str, error: BaseException) -> None:
        """Something of ours broke."""
        ...

    def warn(self, sentence: str) -> None:
        """Something of the app's broke."""
        ...


class HeartbeatTask:
    """Beats for one process, in turn with writing its journal: one command to the store a call of :meth:`tick`.

    ``facts`` describe the process at the moment, as fields of Worker; ``host`` knows its memory and pool. ``observer``
    hears of whatever breaks in here. The identity is made with the first beat, so that forked
    workers are several. ``counts_alone``: the metrics of this process are its own, and another one of this host would
    be missing from them, which is said.
    """

    def __init__(
        self,
        store: Store,
        *,
        traffic: TrafficStats,
        journal: RefusalJournal,
        host: Host,
        settings: Callable[[], Settings],
        facts: Facts,
        observer: HeartbeatObserver,
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
        """To be called twice a second. Never raises: nothing that is told is worth a request."""
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
            pass  # counted by the store; the next tick tries again
        except Exception as error:  # noqa: BLE001 - what describes the process must not stop it
            self._observer.fault("presence", error)
        self._beat_next = not self._beat_next

    def heartbeat(self) -> Heartbeat:
        """What this process would say of itself now."""
        if self._pid != os.getpid():
            self._begin()
        return Heartbeat(worker=self._worker(), callers=self._traffic.callers(_TOP[0]))

    def unwritten(self, count: int) -> Sequence[Refusal]:
        """The refusals that the store has not taken yet, the newest first."""
        read = [read_refusal(record) for record in (*self._unwritten, *self._journal.waiting(self.worker_id))]
        return [each for each in reversed(read) if each is not None][:count]

    async def leave(self) -> None:
        """Write what waits, and be gone at once. Nothing happens if no heartbeat was ever written."""
        if self._pid != os.getpid():
            return
        with suppress(StoreError):
            await self._write_journal()
            await self._store.fleet.beat(self.worker_id, b"", 0)

    async def _write_journal(self) -> None:
        self._unwritten = (self._unwritten + self._journal.take(self.worker_id))[-_UNWRITTEN:]
        if self._unwritten:
            await self._store.fleet.remember(self._unwritten)
            self._unwritten = []

    async def _look_for_neighbours(self, living: int) -> None:
        """Say once if another process of this host counts for itself. One that has died is gone after a while."""
        if self._clock() - self._started_at < 2 * TTL_SECONDS:
            return
        self._looked_for = living
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
        """The heartbeat with as many callers as there is room for."""
        worker = self._worker()
        for top in _TOP:
            callers, seen = self._traffic.callers(top), self._traffic.seen(2 * top)
            payload = write_heartbeat(Heartbeat(worker=worker, callers=callers, seen=seen))
            if len(payload) <= MAX_PAYLOAD_BYTES:
                break
        return payload

    def _worker(self) -> Worker:
        settings, memory = self._settings(), self._host.memory.memory
        pool = self._host.providers.ask(POOL, self._observer.warn)
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
            **self._facts(),
        )


def _memory_facts(memory: Memory) -> Mapping[str, float]:
    return {
        "used_bytes": memory.used_bytes,
        "limit_bytes": memory.limit_bytes,
        "usage_percent": round(memory.percent, 1),
    }


class Fingerprints:
    """Digests that are equal where the configuration is.

    That of the settings covers the secrets' texts. Its length and the key, which is made of the secrets themselves,
    leave no way to try guesses at a weak one by it as long as a strong one is beside it. Those of keys
    are of at least 32 bytes, whose tokens would confirm a guess as well.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: tuple[Settings, tuple[str, ...], str] | None = None

    def of_settings(self, settings: Settings) -> str:
        """Of every effective setting; where a value came from makes no difference, nor what is a process's own."""
        values = [getattr(settings, row.option) for row in VARIABLES if row.option not in _OWN]
        secrets = tuple([each.reveal() for each in values if isinstance(each, Secret)])
        if self._known is None or self._known[0] is not settings or self._known[1] != secrets:
            key = blake2b("\0".join(secrets).encode(errors="surrogatepass"), digest_size=32).digest()
            shown = [repr(secrets.index(each.reveal())) if isinstance(each, Secret) else repr(each) for each in values]
            digest = blake2b("\0".join(shown).encode(errors="surrogatepass"), key=key, digest_size=8)
            self._known = (settings, secrets, digest.hexdigest())
        return self._known[2]

    @staticmethod
    def of_keys(settings: Settings) -> Mapping[str, str]:
        """Of the keys that verify tokens, by slot."""
        slots = {"current": settings.jwt_secret, "old": settings.jwt_secret_old, "new": settings.jwt_secret_new}
        return {
            slot: blake2b(secret.reveal().encode(errors="surrogatepass"), key=b"slot", digest_size=6).hexdigest()
            for slot, secret in slots.items()
            if secret is not None
        }


def package_version() -> str:
    """Of this package, as it is installed."""
    try:
        return version("fraiseql-guard")
    except PackageNotFoundError:
        return "0"
