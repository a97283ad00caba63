"""Trusted documents in a store: one version of all, read once, bounded, and never another text under the same id."""

import asyncio
from hashlib import sha256

import pytest

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.stores import MemoryStore, StoreError
from fraiseql_guard.stores import documents as bounds
from fraiseql_guard.stores.documents import Adding, Listed, MemoryDocuments, TrustedDocument, batches
from fraiseql_guard.stores.documents_watch import BATCH_BYTES, DocumentsWatch
from fraiseql_guard.stores.failover import FailoverStore
from fraiseql_guard.stores.redis.namespace import Namespace
from tests.stores.conftest import Bench, ask
from tests.support.waiting import until

ME = TrustedDocument("me", "query Me{me{id}} # é", "Me", "query")
YOU = TrustedDocument("{you} :#'\"", "{you{id}}")
INDEX = Namespace().common("documents")
TEXTS = f"{INDEX}:texts"


def sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()


async def everything(store) -> dict[str, TrustedDocument]:
    """All documents as a process that knows nothing reads them."""
    seen: list[dict[str, TrustedDocument]] = []
    watch = DocumentsWatch(store.documents, on_change=lambda found: seen.append(dict(found)), on_problem=seen.append)
    await watch.refresh()
    return seen[-1]


# --- every store -----------------------------------------------------------------------------------------------------


async def test_what_is_added_is_listed_read_and_removed(bench: Bench) -> None:
    store = bench.store
    assert await store.documents.index(0) is None
    assert await store.documents.add([ME, YOU]) == Adding(2)
    index = await store.documents.index(0)
    assert set(index.entries) == {
        Listed("me", sha(ME.text), len(ME.text.encode()), "Me", "query"),
        Listed(YOU.id, sha(YOU.text), 9),
    }
    assert await store.documents.index(index.version) is None
    assert await store.documents.texts(["me", "other", YOU.id]) == [ME.text, None, YOU.text]
    assert await store.documents.remove(["other", "me"]) == 1
    assert await store.documents.remove(["me"]) == 0
    later = await store.documents.index(index.version)
    assert ([each.id for each in later.entries], later.version > index.version) == ([YOU.id], True)
    assert await store.documents.texts(["me"]) == [None]


async def test_an_id_keeps_its_text(bench: Bench) -> None:
    store = bench.store
    await store.documents.add([ME])
    version = (await store.documents.index(0)).version
    other = TrustedDocument("me", "{other}")
    assert await store.documents.add([YOU, other]) == Adding(conflict="me")
    assert await store.documents.add([TrustedDocument("x", "{a}"), TrustedDocument("x", "{b}")]) == Adding(conflict="x")
    assert await store.documents.index(version) is None, "nothing of it was added"
    assert await store.documents.add([ME]) == Adding(0)
    assert await store.documents.index(version) is None
    assert await store.documents.add([TrustedDocument("me", ME.text, "Renamed")]) == Adding(1)
    assert (await everything(store))["me"].name == "Renamed"


async def test_it_is_bounded_in_documents_and_bytes(bench: Bench, monkeypatch) -> None:
    for module in ("documents", "redis.documents"):
        monkeypatch.setattr(f"fraiseql_guard.stores.{module}.MAX_DOCUMENTS", 3)
        monkeypatch.setattr(f"fraiseql_guard.stores.{module}.MAX_DOCUMENTS_BYTES", 1000)
    store = bench.store
    documents = [TrustedDocument(str(number), f"{{a{number}}}") for number in range(4)]
    assert await store.documents.add(documents) == Adding(full=True)
    assert await store.documents.index(0) is None
    assert await store.documents.add(documents[:3]) == Adding(3)
    assert await store.documents.add([documents[0]]) == Adding(0), "what is there needs no room"
    assert await store.documents.add([documents[3]]) == Adding(full=True)
    await store.documents.remove(["0", "1"])
    assert await store.documents.add([TrustedDocument("long", "é" * 500)]) == Adding(full=True)
    assert await store.documents.add([TrustedDocument("long", "é" * 490)]) == Adding(1)


async def test_a_full_store_is_read_completely(bench: Bench) -> None:
    documents = [TrustedDocument(sha(str(number)), f"query Q{number}{{a}}" + " " * 1000) for number in range(1500)]
    await bench.store.documents.add(documents)
    assert await everything(bench.store) == {each.id: each for each in documents}


async def test_the_last_one_removed_leaves_a_set_that_is_known_to_be_empty(bench: Bench) -> None:
    await bench.store.documents.add([ME])
    await bench.store.documents.remove(["me"])
    assert (await bench.store.documents.index(0)).version > 0
    assert await everything(bench.store) == {}


# --- Redis alone -----------------------------------------------------------------------------------------------------


@pytest.mark.redis
async def test_documents_end_a_year_after_the_last_look(redis_store) -> None:
    await redis_store.documents.add([ME])
    for key in (INDEX, TEXTS):
        await ask(redis_store, "EXPIRE", key, 86_400)
    await redis_store.documents.index(0)
    for key in (INDEX, TEXTS):
        assert await ask(redis_store, "TTL", key) > 364 * 86_400


@pytest.mark.redis
async def test_a_version_never_comes_again(redis_store) -> None:
    await redis_store.documents.add([ME])
    version = (await redis_store.documents.index(0)).version
    await ask(redis_store, "FLUSHALL")
    assert (await redis_store.documents.index(version)).version == 0
    await redis_store.documents.add([ME])
    assert (await redis_store.documents.index(version)).version > version


# --- the copy of a process -------------------------------------------------------------------------------------------


class Moody(MemoryDocuments):
    """Counts what is read, and fails when told."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self.lost: set[str] = set()
        self.left = 1_000_000

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreError("timeout", "away")

    async def index(self, known_version):
        self._spend()
        return await super().index(known_version)

    async def texts(self, ids):
        self._spend()
        self.read += ids
        return [None if id_ in self.lost else text
                for id_, text in zip(ids, await super().texts(ids), strict=True)]  # fmt: skip


class Restartable:
    """A store that forgets everything when it is restarted without persistence."""

    def __init__(self, held=None) -> None:
        self.held = held or MemoryDocuments()

    def restart(self) -> None:
        self.held = MemoryDocuments()

    def __getattr__(self, name):
        return getattr(self.held, name)


class Process:
    """A worker's copy, and what it has said."""

    def __init__(self, store) -> None:
        self.documents: dict[str, TrustedDocument] | None = None
        self.problems: list[str] = []
        self.watch = DocumentsWatch(store, on_change=self._take, on_problem=self.problems.append, poll_seconds=0.01)

    def _take(self, documents) -> None:
        self.documents = dict(documents)

    @property
    def ids(self) -> set[str] | None:
        return None if self.documents is None else set(self.documents)


async def test_a_text_is_read_once() -> None:
    store = Moody()
    process = Process(store)
    await store.add([ME, TrustedDocument("same", ME.text)])
    await process.watch.refresh()
    await store.add([YOU])
    for _ in range(3):
        await process.watch.refresh()
    assert store.read == ["me", "same", YOU.id]
    assert process.ids == {"me", "same", YOU.id}
    await store.remove(["me"])
    await process.watch.refresh()
    assert (process.ids, store.read[3:]) == ({"same", YOU.id}, [])


async def test_during_an_outage_the_last_known_documents_stay() -> None:
    store = Moody()
    process = Process(store)
    store.left = 0
    await process.watch.refresh()
    assert process.documents is None, "never reached"
    store.left = 10
    await store.add([ME])
    await process.watch.refresh()
    store.left = 0
    await store.add([YOU])
    await process.watch.refresh()
    assert (process.ids, process.problems) == ({"me"}, [])
    store.left = 10
    await process.watch.refresh()
    assert process.ids == {"me", YOU.id}


async def test_a_set_is_in_force_when_it_is_complete_and_what_was_read_stays_read() -> None:
    store = Moody()
    documents = [TrustedDocument(str(number), str(number) * (BATCH_BYTES // 2 + 1)) for number in range(6)]
    await store.add(documents)
    process = Process(store)
    store.left = 4
    await process.watch.refresh()
    assert (process.documents, store.read) == (None, ["0", "1", "2"])
    store.left = 10
    await process.watch.refresh()
    assert (process.ids, store.read) == ({*"012345"}, [*"012345"])


async def test_documents_that_the_store_has_lost_stay_and_it_is_said_once() -> None:
    store = Restartable()
    process = Process(store)
    await store.add([ME])
    await process.watch.refresh()
    store.restart()
    for _ in range(3):
        await process.watch.refresh()
    assert process.ids == {"me"}
    assert [each.partition(":")[0] for each in process.problems] == ["the store has lost its trusted documents"]
    started_later = Process(store)
    await started_later.watch.refresh()
    assert (started_later.ids, started_later.problems) == (set(), [])
    await store.add([YOU])
    await process.watch.refresh()
    assert process.ids == {YOU.id}


async def test_documents_that_are_lost_before_they_were_complete_leave_none_and_the_process_knows_it() -> None:
    moody = Moody()
    store = Restartable(moody)
    process = Process(store)
    await store.add([TrustedDocument(str(number), str(number) * BATCH_BYTES) for number in range(2)])
    moody.left = 2
    await process.watch.refresh()
    assert (process.ids, moody.read) == (None, ["0"])
    store.restart()
    await process.watch.refresh()
    assert (process.ids, process.problems) == (set(), [])
    async with asyncio.timeout(10):
        await process.watch.wait_until_known(60)  # no request is kept waiting


async def test_what_is_said_of_lost_documents_is_how_many_are_in_force() -> None:
    store = Restartable()
    process = Process(store)
    await store.add([ME, TrustedDocument("same", ME.text)])
    await process.watch.refresh()
    store.restart()
    await process.watch.refresh()
    (problem,) = process.problems
    assert "the last known 2 stay in force" in problem


async def test_a_text_that_is_gone_or_another_is_said_once_and_changes_nothing() -> None:
    store = Moody()
    process = Process(store)
    await store.add([ME])
    await process.watch.refresh()
    await store.add([YOU])
    store.lost = {YOU.id}
    for _ in range(4):
        await process.watch.refresh()
    assert process.ids == {"me"}
    assert [each.partition(" (")[0] for each in process.problems] == [
        "the store has not the texts of 1 trusted documents"
    ]
    store.lost = set()
    await process.watch.refresh()
    assert process.ids == {"me", YOU.id}


async def test_polling_sees_a_change_and_ends() -> None:
    store = MemoryDocuments()
    process = Process(store)
    process.watch.ensure_polling()
    await process.watch.wait_until_known(60)
    assert process.ids == set()
    await store.add([ME])
    await until(lambda: process.ids == {"me"})
    await process.watch.aclose()
    await store.remove(["me"])
    await asyncio.sleep(0.05)
    assert process.ids == {"me"}


class Unheard:
    """An observer that no test asks."""

    def store_failed(self, *_: object) -> None:
        pass

    store_fallback = store_recovered = store_unreadable = store_failed


async def test_while_the_store_is_given_up_nothing_is_added_and_nobody_asks_it() -> None:
    primary = MemoryStore()
    primary.documents = documents = Moody()
    store = FailoverStore(primary, settings=Settings.load({}), observer=Unheard(), probe_seconds=60)
    assert await store.documents.add([ME]) == Adding(1)
    index = await store.documents.index(0)
    assert await store.documents.texts([each.id for each in index.entries]) == [ME.text]
    documents.left = 0
    for _ in range(6):
        with pytest.raises(StoreError):
            await store.documents.index(0)
    assert (documents.left, store.breaker_open) == (-5, True)
    for change in (store.documents.add([YOU]), store.documents.remove(["me"])):
        with pytest.raises(StoreError):
            await change
    documents.left = 10
    assert [each.id for each in (await primary.documents.index(0)).entries] == ["me"]
    await store.aclose()


async def test_nobody_waits_for_ever() -> None:
    store = Moody()
    store.left = 0
    process = Process(store)
    process.watch.ensure_polling()
    await process.watch.wait_until_known(0.02)
    assert process.documents is None
    await process.watch.aclose()


def test_batches_hold_everything_once_and_are_no_larger_than_asked_for() -> None:
    entries = [Listed(str(size), "", size) for size in (5, 4, 3, 20, 1, 1, 1)]
    assert [[each.size_bytes for each in batch] for batch in batches(entries, 8)] == [[5], [4, 3], [20], [1, 1, 1]]
    assert list(batches([], 8)) == []
    assert bounds.MAX_DOCUMENT_BYTES <= bounds.MAX_DOCUMENTS_BYTES


@pytest.mark.redis
async def test_an_index_that_changes_while_it_is_read_is_read_again(redis_store, monkeypatch) -> None:
    documents = [TrustedDocument(str(number), f"{{a{number}}}") for number in range(1500)]
    await redis_store.documents.add(documents)
    exchange, pages = redis_store.keys.ask, 0

    async def meanwhile(key, command):
        nonlocal pages
        pages += command[0] == "HSCAN"
        if pages == 2 and command[0] == "HSCAN":
            await redis_store.documents.remove(["7"])
        return await exchange(key, command)

    monkeypatch.setattr(redis_store.keys, "ask", meanwhile)
    index = await redis_store.documents.index(0)
    assert {each.id for each in index.entries} == {each.id for each in documents} - {"7"}
    assert await redis_store.documents.index(index.version) is None


@pytest.mark.redis
async def test_what_other_software_has_written_there_is_left_out(redis_store) -> None:
    await redis_store.documents.add([ME, YOU])
    await ask(redis_store, "HSET", INDEX, ":me", "nonsense")
    assert [each.id for each in (await redis_store.documents.index(0)).entries] == [YOU.id]
    assert await redis_store.documents.add([YOU]) == Adding()
