"""Whatever happens between a store and a process that watches it: never a torn set, and in the end the right one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from fraiseql_guard.stores import StoreError
from fraiseql_guard.stores.documents import DocumentIndex, MemoryDocuments, TrustedDocument
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


class Unsteady:
    """A store that fails after so many exchanges, changes between two of them, and may lose everything."""

    def __init__(self) -> None:
        self.held = MemoryDocuments()
        self.left = 0
        self.meanwhile: dict[str, str] = {}
        self._past_versions = 0

    async def lose(self) -> None:
        self._past_versions = max(self._past_versions, (await self.present()).version)
        self.held = MemoryDocuments()

    async def present(self) -> DocumentIndex:
        """What the store holds. As on Redis, a version never comes again."""
        found = await self.held.index(-1)
        assert found is not None
        return replace(found, version=found.version + self._past_versions) if found.version else found

    async def index(self, known_version):
        self._spend()
        found = await self.present()
        if self.meanwhile:
            changed, self.meanwhile = self.meanwhile, {}
            await self.held.remove(list(changed))
            await self.held.add([TrustedDocument(id_, text) for id_, text in changed.items()])
        return None if found.version == known_version else found

    async def texts(self, ids):
        self._spend()
        return await self.held.texts(ids)

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreError("timeout", "away")


async def texts_of(store: Unsteady) -> dict[str, str]:
    """What the store holds."""
    ids = [each.id for each in (await store.present()).entries]
    return dict(zip(ids, await store.held.texts(ids), strict=True))


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
    for step, what in steps:
        if step == "add":
            await store.held.add([TrustedDocument(id_, text) for id_, text in what.items()])
        elif step == "remove":
            await store.held.remove(what)
        elif step == "meanwhile":
            store.meanwhile = what
        elif step == "lose":
            await store.lose()
        else:
            store.left = what
            await watch.refresh()
        once.append(await texts_of(store))
        assert all(each in once for each in seen), "a set that was never there"
    store.meanwhile, store.left = {}, 1000
    await watch.refresh()
    await watch.refresh()
    held = await texts_of(store)
    assert seen, "in the end the process knows what there is, also that there is nothing"
    if (await store.present()).version or not any(seen):
        assert seen[-1] == held
