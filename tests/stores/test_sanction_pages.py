"""Sanctions and limits page by page, counted without being listed, and the jobs that lift all: on every store."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Rate
from fraiseql_guard.stores.lift_jobs import DONE, RUNNING, SILENT_SECONDS, STOPPED
from fraiseql_guard.stores.sanction_pages import Cursor, Longest, moment_of
from tests.stores.conftest import Bench, ask

MANY = 150


def subject(number: int) -> Subject:
    return Subject("address", f"192.0.2.{number}/32")


async def impose(bench: Bench, numbers: range, *, seconds: float = 600) -> None:
    for number in numbers:
        await bench.store.sanctions.impose(Sanction(subject(number), PolicyName.BRUTE_FORCE, seconds + number))


async def test_pages_hold_everything_once_and_the_longest_first(bench: Bench) -> None:
    await impose(bench, range(MANY))
    found: list[Sanction] = []
    cursor, sizes = "", []
    while True:
        page = await bench.store.sanctions.page(40, cursor)
        assert page.total == MANY
        found += page.items
        sizes.append(len(page.items))
        if not page.cursor:
            break
        cursor = page.cursor
    assert [each.subject.name for each in found] == [subject(number).name for number in reversed(range(MANY))]
    assert sum(sizes) == MANY
    assert await bench.store.sanctions.count() == MANY


async def test_a_page_goes_on_where_others_were_lifted_or_came(bench: Bench) -> None:
    await impose(bench, range(20))
    first = await bench.store.sanctions.page(10)
    await bench.store.sanctions.lift_many([(each.subject, each.policy) for each in first.items])
    await impose(bench, range(100, 103), seconds=3_000)
    rest = await bench.store.sanctions.page(50, first.cursor)
    assert {each.subject.name for each in rest.items} == {subject(number).name for number in range(10)}


async def test_everyone_who_is_sanctioned_all_the_time_is_scanned(bench: Bench) -> None:
    await impose(bench, range(MANY))
    seen: set[str] = set()
    async for batch in bench.store.sanctions.batches():
        seen |= {each.name for each, _ in batch}
        await bench.store.sanctions.lift_many([each for each in batch if each[0].name.endswith("1/32")])
    assert seen == {subject(number).name for number in range(MANY)}
    assert await bench.store.sanctions.count() == MANY - len([each for each in seen if each.endswith("1/32")])


async def test_one_subjects_sanctions_and_limit_are_found_without_a_list(bench: Bench) -> None:
    await impose(bench, range(3))
    await bench.store.limits.set(subject(1), Rate.of(5, 60), 2, 60, actor="bob")
    [found] = await bench.store.sanctions.of(subject(1))
    assert (found.policy, round(found.expires_in_seconds)) == (PolicyName.BRUTE_FORCE, 601)
    assert await bench.store.sanctions.of(subject(9)) == []
    held = await bench.store.limits.of(subject(1))
    assert held is not None
    assert (held.rate, held.actor) == (Rate.of(5, 60), "bob")
    assert await bench.store.limits.of(subject(2)) is None


async def test_limits_come_in_pages(bench: Bench) -> None:
    for number in range(7):
        await bench.store.limits.set(subject(number), Rate.of(5, 60), 2, 600 + number)
    first = await bench.store.limits.page(5)
    rest = await bench.store.limits.page(5, first.cursor)
    names = [each.subject.name for each in (*first.items, *rest.items)]
    assert names == [subject(number).name for number in reversed(range(7))]
    assert (first.total, rest.cursor) == (7, "")


@pytest.mark.parametrize("cursor", ["x", "1", "_", "-1_1", "1_-1", "1_1\n", "9" * 40 + "_1", "1_1 0"])
async def test_a_cursor_that_no_page_gave_is_refused(bench: Bench, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await bench.store.sanctions.page(5, cursor)


@pytest.mark.redis
async def test_expired_notes_go_a_few_at_a_time(redis_store) -> None:
    for first in range(0, 1_000, 100):
        members = [part for number in range(first, first + 100) for part in (1, f'["address","{number}","","dos"]')]
        await ask(redis_store, "ZADD", "fg:{sanctions}", *members)
    await redis_store.sanctions.impose(Sanction(subject(1), PolicyName.OPERATOR, 60))
    left = await ask(redis_store, "ZCARD", "fg:{sanctions}")
    assert 900 < left < 1_000
    assert await redis_store.sanctions.count() == 1
    assert len(await redis_store.sanctions.all()) == 1


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 7))
def test_pages_of_ends_that_are_alike_miss_nothing(ends: list[int], limit: int) -> None:
    entries = list(enumerate(ends))
    found: list[int] = []
    cursor = Cursor()
    for _ in range(len(ends) + 1):
        longest = Longest[int](cursor, limit)
        longest.add((end, name) for name, end in entries)
        page = longest.page()
        found += page.items
        if not page.cursor:
            break
        cursor = Cursor.read(page.cursor)
    assert sorted(found) == list(range(len(ends)))
    assert [ends[name] for name in found] == sorted(ends, reverse=True)


@pytest.mark.parametrize(("score", "moment"), [(b"17", "17"), (b"1.5", "2"), (b"inf", "inf"), (b"1e+300", "inf")])
def test_a_score_becomes_a_moment(score: bytes, moment: str) -> None:
    assert moment_of(score) == moment


async def test_a_job_is_joined_and_then_done_once_more(bench: Bench) -> None:
    store = bench.store
    assert await store.lift_jobs.read("any") is None
    assert (await store.lift_jobs.begin("any", "one", actor="bob", worker="w", total=5)).granted
    assert (await store.lift_jobs.advance("any", "one", seen=3, lifted=2)).granted
    joined = await store.lift_jobs.begin("any", "two", actor="eve", worker="x", total=9)
    assert not joined.granted
    assert joined.job is not None
    assert (joined.job.id, joined.job.actor, joined.job.seen, joined.job.lifted) == ("one", "bob", 3, 2)
    assert not (await store.lift_jobs.finish("any", "one", state=DONE)).granted, "it was asked for once more"
    ended = await store.lift_jobs.finish("any", "one", state=DONE)
    assert ended.granted
    assert ended.job is not None
    assert (ended.job.state, ended.job.lifted) == (DONE, 2)
    assert (await store.lift_jobs.begin("any", "three", actor="", worker="", total=0)).granted


async def test_jobs_of_two_origins_are_two(bench: Bench) -> None:
    assert (await bench.store.lift_jobs.begin("automatic", "one", actor="", worker="", total=0)).granted
    assert (await bench.store.lift_jobs.begin("operator", "two", actor="", worker="", total=0)).granted


async def test_another_worker_takes_over_what_was_stopped(bench: Bench) -> None:
    store = bench.store
    await store.lift_jobs.begin("any", "one", actor="bob", worker="w", total=5)
    await store.lift_jobs.finish("any", "one", state=STOPPED, why="tired")
    job = await store.lift_jobs.read("any")
    assert job is not None
    assert (job.state, job.why) == (STOPPED, "tired")
    assert (await store.lift_jobs.begin("any", "two", actor="bob", worker="x", total=5)).granted
    assert not (await store.lift_jobs.advance("any", "one", seen=1, lifted=1)).granted, "it is the other one's now"
    assert not (await store.lift_jobs.finish("any", "one", state=DONE)).granted


async def test_a_silent_job_is_taken_over_with_what_it_did(bench: Bench) -> None:
    store = bench.store
    await store.lift_jobs.begin("any", "one", actor="bob", worker="w", total=5)
    await store.lift_jobs.advance("any", "one", seen=3, lifted=3)
    if bench.real_time:
        key, past = "fg:{lift}:any", f"{1}"
        await store.keys.send(key, ("HSET", key, "beat", past))
    else:
        await bench.wait(SILENT_SECONDS + 1)
    job = await store.lift_jobs.read("any")
    assert job is not None
    assert (job.state, job.silent) == (RUNNING, True)
    taken = await store.lift_jobs.begin("any", "two", actor="eve", worker="x", total=2)
    assert taken.granted
    assert taken.job is not None
    assert (taken.job.lifted, taken.job.worker, taken.job.silent) == (3, "x", False)


async def test_the_loop_turns_while_many_are_read(bench: Bench) -> None:
    await impose(bench, range(MANY))
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(turn())
    await asyncio.sleep(0)
    before = turns
    await bench.store.sanctions.page(MANY)
    task.cancel()
    assert turns > before
