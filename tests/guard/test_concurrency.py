"""Operations at work at once: bounded per caller, for the anonymous together and for all; slots always come back."""

import asyncio

import pytest

from fraiseql_guard.testing import make_token
from tests.support.asgi import Connection, EchoApp, graphql, request
from tests.support.waiting import PATIENCE_SECONDS, until


async def at_once(guard, count: int, **caller) -> list[int]:
    replies = await asyncio.gather(*(graphql(guard, "{me{id}}", **caller) for _ in range(count)))
    return sorted(reply.status for reply in replies)


async def test_one_caller_has_ten_at_work_and_the_next_is_told_so(guarded) -> None:
    app = EchoApp(held=True)
    guard = guarded(app)
    running = [asyncio.create_task(graphql(guard, "{me{id}}")) for _ in range(10)]
    await until(lambda: app.at_work == 10)
    refused = await graphql(guard, "{me{id}}")
    assert (refused.status, refused.code, refused.extensions["limit"]) == (429, "CONCURRENCY_LIMIT", 10)
    assert refused.header("retry-after") == "1"
    running.append(asyncio.create_task(graphql(guard, "{me{id}}", client=("198.51.100.1", 1))))
    await until(lambda: app.at_work == 11)
    app.release()
    assert {reply.status for reply in await asyncio.gather(*running)} == {200}
    assert guard.metric("fraiseql_guard_sanctions_total") == 0
    assert guard.metric("fraiseql_rate_limit_exceeded_total") == 0


async def test_the_pool_is_never_taken_whole_and_half_of_it_by_the_anonymous(guarded, secret) -> None:
    app = EchoApp(held=True)
    guard = guarded(app, database_pool_size=8, jwt_secret=secret, auth_required=False)
    anonymous = asyncio.gather(*(graphql(guard, "{me{id}}", client=(f"198.51.100.{host}", 1)) for host in range(6)))
    await until(lambda: app.at_work == 4)
    users = asyncio.gather(*(graphql(guard, "{me{id}}", token=make_token(secret, sub=f"u{n}")) for n in range(4)))
    await until(lambda: app.at_work == 6)
    app.release()
    assert sorted(reply.status for reply in await anonymous) == [200] * 4 + [503] * 2
    assert sorted(reply.status for reply in await users) == [200] * 2 + [503] * 2


async def test_subscriptions_that_begin_leave_half_of_the_pool_to_queries(guarded, secret) -> None:
    app = EchoApp(held=True)
    guard = guarded(app, database_pool_size=8, jwt_secret=secret)

    async def asked(query: str, user: str) -> int:
        return (await graphql(guard, query, token=make_token(secret, sub=user))).status

    beginning = asyncio.gather(*(asked("subscription{ticks}", f"u{number}") for number in range(6)))
    await until(lambda: app.at_work == 4)
    query = asyncio.create_task(asked("{me{id}}", "u9"))
    await until(lambda: app.at_work == 5)
    app.release()
    assert await query == 200
    assert await beginning == [200] * 6  # two have waited


@pytest.mark.parametrize("ending", ["answer", "timeout", "failure", "disconnect", "cancelled", "rate"])
async def test_a_slot_comes_back_whatever_happens(guarded, ending) -> None:
    async def broken(scope, receive, send) -> None:
        raise LookupError("the app's own")

    apps = {"failure": broken, "answer": EchoApp()}
    app = apps.get(ending, EchoApp(seconds=30))
    limit = "1/hour" if ending == "rate" else "1000/hour"
    guard = guarded(
        app, max_in_flight=1, query_timeout=0.1 if ending == "timeout" else 30,
        rate_limit_default=limit, rate_limit_burst=0,
    )  # fmt: skip
    connection = Connection([b'{"query":"{me{id}}"}'])
    task = asyncio.ensure_future(graphql(guard, "{me{id}}", connection=connection))
    await until(lambda: task.done() or getattr(app, "at_work", 0))
    if ending == "disconnect":
        connection.leave()
    if ending == "cancelled":
        task.cancel()
    if ending == "rate":
        task.cancel()
        await graphql(guard, "{me{id}}")
    await asyncio.wait([task], timeout=PATIENCE_SECONDS)
    assert task.done()
    if not task.cancelled():
        task.exception()
    assert guard.guard.runtime.concurrency.at_work == 0
    assert not guard.guard.reloader.components.at_work.operations


async def test_other_paths_take_no_slot(guarded) -> None:
    guard = guarded(EchoApp(seconds=0.05), max_in_flight=1)
    replies = await asyncio.gather(*(request(guard, "GET", "/page") for _ in range(5)))
    assert {reply.status for reply in replies} == {200}


async def test_in_monitor_mode_it_is_only_said(guarded) -> None:
    guard = guarded(EchoApp(seconds=0.05), max_in_flight=1, mode="monitor")
    assert await at_once(guard, 3) == [200] * 3
    assert guard.metric("fraiseql_guard_would_refuse_total", code="CONCURRENCY_LIMIT") == 2
    assert not guard.guard.reloader.components.at_work.operations


async def test_a_pool_full_of_slow_queries_still_answers_quick_ones(guarded, secret) -> None:
    slow_app = EchoApp(seconds=30)

    async def app(scope, receive, send) -> None:
        quick = (b"x-quick", b"1") in scope["headers"]
        await (EchoApp() if quick else slow_app)(scope, receive, send)

    def ask(user: str, kind: str = "query", **headers: str):
        token = make_token(secret, sub=user)
        return asyncio.ensure_future(graphql(guard, kind + "{users{id}}", token=token, headers=headers))

    quick = {"x-quick": "1"}
    guard = guarded(app, jwt_secret=secret, database_pool_size=10, query_timeout=3)
    slow = [ask(f"slow-{number}") for number in range(6)]
    await until(lambda: slow_app.at_work == 6)
    result = {"accept": "application/graphql-response+json, application/json;q=0.9"}
    hurried = [ask("late-1", **result), ask("late-2", **result)]
    await until(lambda: slow_app.at_work == 8)
    assert (await ask("quick", **quick)).code == "OVERLOADED"  # both last slots are taken, for a second
    for reply in await asyncio.gather(*hurried):
        assert (reply.status, reply.code, reply.extensions["limit"]) == (503, "OVERLOADED", 1.0)
        assert reply.header("retry-after") == "1"
        assert reply.header("content-type") == "application/graphql-response+json"  # it had begun
    for _ in range(5):
        assert (await ask("quick", **quick)).status == 200
    assert (await ask("quick", "mutation", **quick)).code == "OVERLOADED"  # never cut short: its outcome were unknown
    assert (await ask("slow-1", **quick)).code == "OVERLOADED"  # who has something at work has no right to the last
    assert {reply.code for reply in await asyncio.gather(*slow)} == {"QUERY_TIMEOUT"}
