"""What counts: failures alone, answers that were not modified, and what an operation really cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard import Guard, RateLimitMiddleware, limits
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.testing import ManualClock
from tests.support.asgi import Connection, EchoApp, Reply, graphql, request
from tests.support.nesting import Between
from tests.support.properties import examples
from tests.support.redis_server import RedisServer
from tests.support.waiting import turns, until

FIVE = {"rate_limit_default": "5/hour", "rate_limit_burst": 0}
FAILURES = {**FIVE, "rate_limit_count": "failures"}
TEN = "{users(limit:10){id}}"
ERRORS = {"errors": [{"message": "wrong password"}], "data": None}


class TellingApp:
    """Answers as it is told, with headers of its own."""

    def __init__(
        self,
        answer: Any = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
        media_type: str = "application/json",
    ) -> None:
        self.answer = {"data": {}} if answer is None else answer
        self.status, self.headers, self.chunked, self.media_type = status, headers or {}, chunked, media_type

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b"" if self.status == 304 else json.dumps(self.answer).encode()
        lines = [(b"content-type", self.media_type.encode())]
        lines += [(name.encode(), value.encode()) for name, value in self.headers.items()]
        if not self.chunked:
            lines.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": self.status, "headers": lines})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def closing(*guards: Any) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for guard in guards:
            await (getattr(guard, "guard", guard)).aclose()


def adjusted(guard: Any, reason: str) -> float:
    return guard.metric("fraiseql_guard_adjustments_total", reason=reason)


async def left(guard: Any, bucket: str = "default") -> int:
    """What the next request finds, less what it takes itself: seen from inside, as the store has it."""
    found: list[Any] = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        found.extend(await limits(scope).peek())
        await TellingApp(status=500)(scope, receive, send)

    inside, guard.guard.app = guard.guard.app, look
    for pause in (0.0, 1.1):
        await asyncio.sleep(pause)
        if (await request(guard, "GET", "/page")).status != 429:
            break  # else it is refused from memory, for a second
    guard.guard.app = inside
    return next(each.remaining for each in found if each.policy == bucket)


# --- failures alone --------------------------------------------------------------------------------------------------


async def test_what_succeeds_is_given_back(guarded, store):
    guard = guarded(TellingApp(), **FAILURES, **store)
    async with closing(guard):
        for number in range(1, 9):
            reply = await graphql(guard, "{me{id}}")
            assert reply.status == 200
            assert '"default";r=4' in (reply.header("ratelimit") or "")  # what was true when it was admitted
            await until(lambda number=number: adjusted(guard, "success") == number)
        assert await left(guard) == 4


@pytest.mark.parametrize(
    ("app", "counts"),
    [
        (TellingApp(status=401), True),
        (TellingApp(status=500), True),
        (TellingApp(status=302), False),
        (TellingApp({"data": {"ok": True}}), False),
        (TellingApp(ERRORS), True),
        (TellingApp([{"data": {}}, ERRORS]), True),
    ],
    ids=["401", "500", "302", "200", "errors", "errors in a batch"],
)
async def test_what_fails_counts(guarded, app, counts):
    guard = guarded(app, batching=True, **FAILURES)
    async with closing(guard):
        for _ in range(5):
            await graphql(guard, "{me{id}}")
            await asyncio.sleep(0.01)
        assert (await graphql(guard, "{me{id}}")).status == (429 if counts else app.status)


async def test_outside_graphql_the_status_tells(guarded, store):
    app = TellingApp(status=403)
    guard = guarded(app, **FAILURES, **store)
    async with closing(guard):
        for _ in range(4):
            await request(guard, "POST", "/login", body=b"{}")
        app.status = 200
        for number in range(1, 4):
            assert (await request(guard, "POST", "/login", body=b"{}")).status == 200
            await until(lambda number=number: adjusted(guard, "success") == number)
        app.status = 403
        statuses = [(await request(guard, "POST", "/login", body=b"{}")).status for _ in range(2)]
    assert statuses == [403, 429]


async def test_attempts_at_the_same_time_are_no_more_than_the_limit(guarded, store):
    app = EchoApp(held=True)
    guard = guarded(app, **FAILURES, **store)
    async with closing(guard):
        attempts = [asyncio.create_task(graphql(guard, "{me{id}}")) for _ in range(9)]
        await until(lambda: app.at_work == 5 and sum(each.done() for each in attempts) == 4)
        app.release()
        statuses = sorted([(await each).status for each in attempts])
        assert statuses == [200] * 5 + [429] * 4
        await until(lambda: adjusted(guard, "success") == 5)
        assert await left(guard) == 4


async def test_an_answer_that_its_client_did_not_get_whole_counts(guarded):
    async def cut(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-type", b"application/json"), (b"content-length", b"20")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})

    guard = guarded(cut, **FAILURES)
    async with closing(guard):
        for path in ("/page", "/graphql"):
            await request(guard, "POST", path, body=b'{"query":"{me{id}}"}')
        guard.flush()
        assert adjusted(guard, "success") == 0
        assert await left(guard) == 2


async def test_a_client_that_leaves_has_not_succeeded(guarded):
    app = EchoApp(held=True)
    guard = guarded(app, **FAILURES)
    async with closing(guard):
        connection = Connection([b'{"query":"{me{id}}"}'])
        attempt = asyncio.create_task(
            request(guard, headers={"content-type": "application/json"}, connection=connection)
        )
        await until(lambda: app.at_work)
        connection.leave()
        await attempt
        assert await left(guard) == 3
    assert adjusted(guard, "success") == 0


async def test_a_budget_is_spent_all_the_same(guarded):
    guard = guarded(TellingApp(), cost_budgets="default=25", **FAILURES)
    async with closing(guard):
        assert [(await graphql(guard, TEN)).status for _ in range(3)] == [200, 200, 429]


async def test_what_the_app_has_charged_or_given_back_itself(guarded, store):
    async def charging(scope: Any, receive: Any, send: Any) -> None:
        await limits(scope).charge(2)
        await TellingApp()(scope, receive, send)

    async def refunding(scope: Any, receive: Any, send: Any) -> None:
        await limits(scope).refund()
        await TellingApp()(scope, receive, send)

    guard = guarded(charging, rate_limit_default="10/hour", rate_limit_burst=0, rate_limit_count="failures", **store)
    async with closing(guard):
        await request(guard, "GET", "/page")
        await until(lambda: adjusted(guard, "success") == 1)
        guard.guard.app = refunding
        await request(guard, "GET", "/page")  # nothing is left to give back
        assert await left(guard) == 7
    assert adjusted(guard, "success") == 1


async def test_two_guards_give_back_what_each_was_paid(guarded, server):
    server.flush()
    options = {"redis_url": server.url, "store_timeout_ms": 5000, **FAILURES}
    inner = RateLimitMiddleware(TellingApp(), **{**FAILURES, "rate_limit_default": "3/hour"})
    innermost = Guard(Between(inner), **options)
    outer = guarded(Between(innermost), **options)
    async with closing(outer, innermost, inner):
        for number in range(1, 9):
            assert (await request(outer, "GET", "/page")).status == 200
            await until(lambda number=number: adjusted(outer, "success") == number)
            await asyncio.sleep(0.02)
        assert await left(outer) == 4


@pytest.mark.redis
async def test_what_cannot_be_given_back_is_paid_and_counted_as_lost(guarded):
    with RedisServer() as server:

        async def ending(scope: Any, receive: Any, send: Any) -> None:
            server.kill()
            await TellingApp()(scope, receive, send)

        guard = guarded(ending, redis_url=server.url, **FAILURES)
        async with closing(guard):
            assert (await request(guard, "GET", "/page")).status == 200
            await until(lambda: adjusted(guard, "lost") == 1)


async def test_what_is_still_to_be_given_back_at_the_end_is_given_back(guarded, server):
    server.flush()
    options = {"redis_url": server.url, "store_timeout_ms": 5000, **FAILURES}
    first = guarded(TellingApp(), **options)
    async with closing(first):
        for _ in range(5):
            await request(first, "GET", "/page")
    second = guarded(TellingApp(), **options)
    async with closing(second):
        assert await left(second) == 4


async def test_in_monitor_mode_as_well(guarded):
    guard = guarded(TellingApp(status=500), mode="monitor", **FAILURES)
    async with closing(guard):
        for _ in range(7):
            await request(guard, "GET", "/page")
        guard.guard.app.status = 200
        await request(guard, "GET", "/page")  # nothing was taken from it
        guard.flush()
    assert guard.metric("fraiseql_guard_would_refuse_total", code="RATE_LIMITED") == 3
    assert adjusted(guard, "success") == 0


async def test_a_rule_says_which_of_its_requests_count(guarded, store):
    rules = json.dumps(
        {
            "rules": [
                {"name": "logins", "match": {"path": "/login"}, "rate": "3/hour", "count": "failures"},
                {"name": "search", "match": {"path": "/search"}, "count": "all"},
            ]
        }
    )
    guard = guarded(TellingApp(), rules=rules, **FIVE, **store)
    async with closing(guard):
        for number in range(1, 9):
            assert (await request(guard, "POST", "/login", body=b"{}")).status == 200
            await until(lambda number=number: adjusted(guard, "success") == number)
        statuses = [(await request(guard, "GET", "/search")).status for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        guard.guard.app.status = 401
        statuses = [(await request(guard, "POST", "/login", body=b"{}")).status for _ in range(5)]
        assert statuses == [401] * 3 + [429] * 2


# --- not modified ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "statuses"), [({}, [304, 429]), ({"rate_limit_not_modified": "refund"}, [304])])
async def test_what_was_not_modified(guarded, options, statuses):
    guard = guarded(TellingApp(status=304), **FIVE, **options)
    async with closing(guard):
        replies = []
        for _ in range(6):
            replies.append((await request(guard, "GET", "/page")).status)
            await asyncio.sleep(0.01)
        assert sorted(set(replies)) == statuses
        assert adjusted(guard, "not_modified") == (6 if options else 0)
        guard.guard.app.status = 200
        if options:
            await request(guard, "GET", "/page")
            assert await left(guard) == 3


# --- what an operation cost ------------------------------------------------------------------------------------------

BUDGET = {"cost_budgets": "default=100", "rate_limit_default": "1000/hour"}


@pytest.mark.parametrize(
    ("header", "points"),
    [
        *[("3", 3), ("3.2", 4), ("0", 0), ("10", 10), ("17", 17), ("1e9", 100)],
        *[("-4", 10), ("nan", 10), ("inf", 10), ("x", 10), ("", 10), ("9" * 40, 10)],
    ],
)
async def test_a_header_settles_the_estimate(guarded, store, header, points):
    app = TellingApp(headers={"X-GraphQL-Cost": header})
    guard = guarded(app, cost_header="x-graphql-cost", **BUDGET, **store)
    async with closing(guard):
        reply = await graphql(guard, TEN)
        assert reply.header("X-GraphQL-Cost") is None  # it is the operator's
        assert reply.status == 200
        await asyncio.sleep(0.05)
        assert 100 - (await budget_left(guard)) == points


async def budget_left(guard: Any) -> int:
    """Looked at by an operation that costs nothing but one point."""
    found: list[Any] = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        found.extend(await limits(scope).peek())
        await TellingApp(status=500)(scope, receive, send)

    inside, guard.guard.app = guard.guard.app, look
    reply = await graphql(guard, "{me}")
    guard.guard.app = inside
    if not found:  # not even one point is left
        assert reply.code == "COST_BUDGET_EXCEEDED"
        return 0
    return next(each.remaining for each in found if each.policy == "cost") + 1


async def test_the_header_may_be_shown(guarded):
    app = TellingApp(headers={"x-graphql-cost": "3"})
    guard = guarded(app, cost_header="X-GraphQL-Cost", hide_cost_header=False, **BUDGET)
    async with closing(guard):
        assert (await graphql(guard, TEN)).header("x-graphql-cost") == "3"


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        ({"data": {}, "extensions": {"cost": {"requestedQueryCost": 10, "actualQueryCost": 4}}}, 4),  # as Shopify's
        ({"data": {}, "extensions": {"cost": {"actualQueryCost": 30.5}}}, 31),
        ({"data": {}, "extensions": {"cost": 4}}, 10),
        ({"data": {}, "extensions": {"cost": {"actualQueryCost": True}}}, 10),
        ({"data": {}, "extensions": {"cost": {"actualQueryCost": -1}}}, 10),
        ({"data": {}, "extensions": None}, 10),
        ({"data": {}, "extensions": {"cost": {"actualQueryCost": 10**400}}}, 10),
        ([{"data": {}}], 10),
        ({"data": {"extensions": {"cost": {"actualQueryCost": 1}}}}, 10),
    ],
    ids=str,
)
async def test_extensions_settle_the_estimate(guarded, answer, points):
    guard = guarded(TellingApp(answer), cost_extension="cost.actualQueryCost", **BUDGET)
    async with closing(guard):
        assert (await graphql(guard, TEN)).json == json.loads(json.dumps(answer))
        await asyncio.sleep(0.02)
        assert 100 - await budget_left(guard) == points


async def test_a_batch_costs_what_its_answers_say_together(guarded):
    each = {"data": {}, "extensions": {"cost": {"actual": 2}}}
    app = TellingApp([each, each])
    guard = guarded(app, cost_extension="cost.actual", batching=True, **BUDGET)
    batch = json.dumps([{"query": TEN}, {"query": TEN}]).encode()
    async with closing(guard):
        assert (await request(guard, body=batch)).status == 200
        await asyncio.sleep(0.02)
        assert 100 - await budget_left(guard) == 4
        app.answer = [each, {"data": {}}]
        assert (await request(guard, body=batch)).status == 200
        await asyncio.sleep(0.02)
        assert 100 - await budget_left(guard) == 4 + 1 + 20


async def test_a_header_comes_before_the_extensions(guarded):
    app = TellingApp({"data": {}, "extensions": {"cost": 7}}, headers={"x-cost": "2"})
    guard = guarded(app, cost_header="x-cost", cost_extension="cost", **BUDGET)
    async with closing(guard):
        await graphql(guard, TEN)
        await asyncio.sleep(0.02)
        assert 100 - await budget_left(guard) in (2, 7)


@pytest.mark.parametrize(
    "app",
    [
        TellingApp({"data": {}, "extensions": {"cost": 2}}, chunked=True),
        TellingApp({"data": "x" * 300_000, "extensions": {"cost": 2}}),
        TellingApp({"data": {}, "extensions": {"cost": 2}}, media_type="text/event-stream"),
        TellingApp({"data": {}, "extensions": {"cost": 2}}, headers={"content-encoding": "gzip"}),
    ],
    ids=["streamed", "large", "events", "encoded"],
)
async def test_what_cannot_be_looked_at_keeps_its_estimate(guarded, app):
    guard = guarded(app, cost_extension="cost", **BUDGET)
    async with closing(guard):
        await graphql(guard, TEN)
        await asyncio.sleep(0.02)
        assert 100 - await budget_left(guard) == 10


async def test_what_costs_more_empties_the_budget_at_most(guarded, store):
    app = TellingApp(headers={"x-cost": "95"})
    guard = guarded(app, cost_header="x-cost", **BUDGET, **store)
    async with closing(guard):
        assert (await graphql(guard, TEN)).status == 200
        await until(lambda: adjusted(guard, "cost_above") == 1)
        await asyncio.sleep(0.05)
        refused = await graphql(guard, TEN)
        assert (refused.code, refused.extensions["remaining"]) == ("COST_BUDGET_EXCEEDED", 5)


async def test_nothing_is_settled_for_who_has_no_budget(guarded):
    guard = guarded(TellingApp(headers={"x-cost": "3"}), cost_header="x-cost")
    async with closing(guard):
        assert (await graphql(guard, TEN)).header("x-cost") is None
        assert (await request(guard, "GET", "/page")).header("x-cost") is None
    assert adjusted(guard, "cost_below") == 0


async def test_the_guards_own_note_does_not_hide_the_apps(guarded):
    app = TellingApp({"data": {}, "extensions": {"cost": {"actual": 3}}})
    guard = guarded(app, cost_extension="cost.actual", cost_in_response=True, **BUDGET)
    async with closing(guard):
        await graphql(guard, TEN)
        await asyncio.sleep(0.02)
        assert 100 - await budget_left(guard) == 3


async def test_guards_around_guards_settle_once(guarded, server):
    server.flush()
    options = {"redis_url": server.url, "store_timeout_ms": 5000, "cost_header": "x-cost", **BUDGET}
    inner = Guard(TellingApp(headers={"x-cost": "4"}), **options)
    outer = guarded(Between(inner), **options)
    async with closing(outer, inner):
        assert (await graphql(outer, TEN)).header("x-cost") is None
        await until(lambda: adjusted(outer, "cost_below") == 1)
        await asyncio.sleep(0.05)
        assert 100 - await budget_left(outer) == 4


@pytest.mark.parametrize("options", [{"cost_extension": "cost..actual"}, {"cost_header": "x cost"}], ids=str)
def test_a_wrong_name_stops_the_start(options):
    with pytest.raises(SettingsError, match=f"FRAISEQL_GUARD_{next(iter(options)).upper()}"):
        Settings.load({}, **options)


# --- whatever the order ----------------------------------------------------------------------------------------------


@examples(40)
@given(
    operations=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 12) | st.none(), st.booleans(), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_points_are_neither_made_nor_lost(operations: list[tuple[int, int | None, bool, bool]]):
    """Whatever an answer says, the app gives back, and whether it fails: a budget holds no more than it can, and an
    operation gets back no more than it has paid."""

    async def run() -> None:
        app = SettlingApp()
        guard = Guard(app, clock=ManualClock(), cost_header="x-cost", rate_limit_count="failures", **BUDGET)
        before = 100
        for app.cost, app.refund, app.after, app.fails in operations:
            reply = await graphql(guard, TEN)
            await turns()  # what is made after the answer
            app.cost = app.refund = None
            look: Reply = await graphql(guard, "{me}")
            if look.status != 200:
                break
            points = next(each.remaining for each in app.seen if each.policy == "cost") + 1
            tokens = next(each.remaining for each in app.seen if each.policy == "default")
            assert points <= min(100, before)
            assert tokens <= 1200
            if reply.status == 429:
                assert points == before
            before = points - 1
        await guard.aclose()

    asyncio.run(run())


class SettlingApp:
    """Says what an operation cost, gives points back before or after its answer, and fails as it is told."""

    cost: int | None = None
    refund: int | None = None
    after = fails = False
    seen: Any = ()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        mine = limits(scope)
        self.seen = await mine.peek()
        headers = {} if self.cost is None else {"x-cost": str(self.cost)}
        if self.refund is not None and not self.after:
            await mine.refund(points=self.refund)
        await TellingApp(ERRORS if self.fails else None, headers=headers)(scope, receive, send)
        if self.refund is not None and self.after:
            await mine.refund(points=self.refund)
