"""Memories stay within their bounds, and what was not used for longest goes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.lru import Lru, Memo, RankedLru

KEYS = st.sampled_from("abcdef")
DEEDS = st.lists(
    st.tuples(st.sampled_from(["put", "get", "look", "pop", "pop oldest"]), KEYS, st.integers(0, 60)), max_size=60
)
MOST_BYTES = 50


def used(model: dict[str, int], key: str) -> None:
    """Move an entry of a plain dictionary to its end."""
    if key in model:
        model[key] = model.pop(key)


def drop_oldest(model: dict[str, int]) -> None:
    if model:
        del model[next(iter(model))]


def do(lru: Lru[str, int], model: dict[str, int], deed: str, key: str) -> None:
    """The same to both, which must answer the same."""
    if deed == "get":
        assert lru.get(key) == model.get(key)
        used(model, key)
    elif deed == "look":
        assert (lru.look(key), lru.holds(key), key in lru) == (model.get(key), key in model, key in model)
    elif deed == "pop":
        assert lru.pop(key) == model.pop(key, None)
    else:
        lru.pop_oldest()
        drop_oldest(model)


def same(lru: Lru[str, int], model: dict[str, int]) -> bool:
    entries = list(model.items())
    assert (list(lru.items()), lru.oldest(2)) == (entries, entries[:2])
    assert sorted(lru.values()) == sorted(model.values())
    return len(lru) == lru.count() == len(model)


@given(st.integers(0, 5), DEEDS)
def test_it_holds_what_was_used_last(size, deeds):
    lru: Lru[str, int] = Lru(size)
    model: dict[str, int] = {}
    for deed, key, number in deeds:
        if deed == "put":
            lru.put(key, number)
            model.pop(key, None)
            model[key] = number
            if len(model) > size:
                drop_oldest(model)
        else:
            do(lru, model, deed, key)
        assert same(lru, model)
    lru.clear()
    assert same(lru, {})


@given(st.integers(0, 5), DEEDS)
def test_with_sizes_it_holds_so_many_bytes_as_well(size, deeds):
    lru: Lru[str, int] = Lru(size, max_bytes=MOST_BYTES)
    model: dict[str, int] = {}
    for deed, key, number in deeds:
        if deed == "put":
            lru.put_sized(key, number, number)
            if number <= MOST_BYTES:
                model.pop(key, None)
                model[key] = number
            while len(model) > size or sum(model.values()) > MOST_BYTES:
                drop_oldest(model)
        else:
            do(lru, model, deed, key)
        assert same(lru, model)
        assert lru.size_bytes == sum(model.values())
    lru.clear()
    assert same(lru, {})
    assert lru.size_bytes == 0


def test_there_cannot_be_room_for_less_than_none():
    with pytest.raises(ValueError, match="max_entries is -1"):
        Lru(-1)


@given(st.integers(1, 5), st.lists(st.tuples(KEYS, st.booleans(), st.sampled_from(["put", "get", "pop"])), max_size=60))
def test_an_entry_above_goes_after_all_others(size, deeds):
    lru: RankedLru[str, int] = RankedLru(size)
    above: dict[str, int] = {}
    below: dict[str, int] = {}
    for number, (key, ranks_above, deed) in enumerate(deeds):
        found = {**above, **below}.get(key)
        if deed == "get":
            assert lru.look(key) == lru.get(key) == found
            used(above, key)
            used(below, key)
        else:
            above.pop(key, None)
            below.pop(key, None)
        if deed == "pop":
            assert lru.pop(key) == found
        if deed == "put":
            lru.put(key, number, above=ranks_above)
            (above if ranks_above else below)[key] = number
            if len(above) + len(below) > size:
                drop_oldest(below or above)
        assert list(lru.items()) == [*above.items(), *below.items()]
        assert lru.oldest(1) == [*list(below.items())[:1], *list(above.items())[:1]]
        assert sorted(lru.values()) == sorted([*above.values(), *below.values()])
        assert len(lru) == lru.count() == len(above) + len(below)


def test_a_memo_asks_once_until_it_is_full():
    asked: list[str] = []

    def ask(key: str) -> str:
        asked.append(key)
        return key.upper()

    memo = Memo(ask, 2, keeps=lambda key: len(key) < 3)
    assert [memo[key] for key in ("a", "a", "b", "a", "long", "long")] == ["A", "A", "B", "A", "LONG", "LONG"]
    assert asked == ["a", "b", "long", "long"]
    assert (memo["c"], memo["c"], memo["a"]) == ("C", "C", "A")
    assert asked[4:] == ["c", "a"]
    assert len(memo) <= 2
