"""Whatever happens between a store and a process that watches it: never a torn set, and in the end the right one."""

from __future__ import annotations

import asyncio

from hypothesis import example, given
from hypothesis import strategies as st

from fraiseql_guard.stores import StoreError
from fraiseql_guard.stores.documents import MemoryDocuments, TrustedDocument
from fraiseql_guard.stores.documents_watch import DocumentsWatch

IDS = st.sampled_from("abcd")
TEXTS = st.sampled_from(["{a}", "{b}", "{c}"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.dictionaries(IDS, TEXTS, min_size=1, max_size=3)),
        st.tuples(st.just("remove"), st.lists(IDS, max_size=2)),
        st.tuples(st.just("look"), st.integers(0, 4)),  # how many exchanges succeed before the next one fails
        st.tuples(st.just("meanwhile"), st.dictionaries(IDS, TEXTS, min_size=1, max_size=2)),
        st.tuples(st.just("lose"), st.none()),
    ),
    max_size=30,
)


class Unsteady(MemoryDocuments):
    """Fails after so many exchanges, changes between two of them, and may lose everything."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.meanwhile: dict[str, str] = {}

    async def index(self, known_version):
        self._spend()
        found = await super().index(known_version)
        if self.meanwhile:
            changed, self.meanwhile = self.meanwhile, {}
            await self.remove(list(changed))
            await self.add([TrustedDocument(id_, text) for id_, text in changed.items()])
        return found

    async def texts(self, ids):
        self._spend()
        return await super().texts(ids)

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreError("timeout", "away")


async def texts_of(store: Unsteady) -> dict[str, str]:
    """What the store holds."""
    index = await MemoryDocuments.index(store, -1)
    ids = [each.id for each in index.entries]
    return dict(zip(ids, await MemoryDocuments.texts(store, ids), strict=True))


@given(STEPS)
@example([("add", {"a": "{b}", "b": "{a}"}), ("meanwhile", {"a": "{a}"}), ("look", 2), ("lose", None)])
def test_a_process_has_a_set_that_the_store_once_had_and_in_the_end_its_last(steps) -> None:
    asyncio.run(play(steps))


async def play(steps) -> None:
    store, seen = Unsteady(), []
    watch = DocumentsWatch(
        store,
        on_change=lambda found: seen.append({id_: each.text for id_, each in found.items()}),
        on_problem=lambda _: None,
    )
    once = [{}]
    versions = 0
    for step, what in steps:
        if step == "add":
            await store.add([TrustedDocument(id_, text) for id_, text in what.items()])
        elif step == "remove":
            await store.remove(what)
        elif step == "meanwhile":
            store.meanwhile = what
        elif step == "lose":
            versions = max(versions, store._version)
            MemoryDocuments.__init__(store)
        else:
            store.left = what
            await watch.refresh()
        if 0 < store._version <= versions:  # as on Redis, a version never comes again
            store._version += versions
        once.append(await texts_of(store))
        assert all(each in once for each in seen), "a set that was never there"
    store.meanwhile, store.left = {}, 1000
    await watch.refresh()
    await watch.refresh()
    held = await texts_of(store)
    assert seen, "in the end the process knows what there is, also that there is nothing"
    if store._version or not any(seen):
        assert seen[-1] == held
