"""What clients see of a guarded socket, over both protocols."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from fraiseql_guard import QueryTimeoutMiddleware, RateLimitMiddleware
from fraiseql_guard.asgi.sockets.registry import BLOCKED_CALLER
from fraiseql_guard.core.request import remaining_seconds
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.asgi import graphql
from tests.support.socket_memory import L, SocketApp, T, error_of, opened
from tests.support.waiting import until

ADA, BOB = make_token(SECRET, sub="ada"), make_token(SECRET, sub="bob")
FORGED = make_token("x" * 40, sub="ada")
EXPIRED = make_token(SECRET, sub="ada", expires_in_seconds=-3600)
PROTOCOLS = pytest.mark.parametrize("protocol", [T, L])


def refusals(guard) -> float:
    guard.flush()
    return guard.metric("fraiseql_guard_refusals_total")


# --- what passes -----------------------------------------------------------------------------------------------------


@PROTOCOLS
async def test_operations_pass_and_their_answers_come_back(guarded, protocol) -> None:
    app = SocketApp()
    guard = guarded(app)
    async with opened(guard, protocol) as socket:
        await socket.init()
        assert await socket.ask("{ me { id } }") == {"data": {"ok": True}}
        await socket.start("2", "subscription { events }")
        kinds = [(await socket.receive())["type"] for _ in range(4)]
        assert kinds[0] == kinds[1] == kinds[2] != kinds[3] == "complete"
    assert guard.lines("guard.fault") == []
    assert guard.metric("fraiseql_graphql_queries_success") == 2
    assert guard.metric("fraiseql_guard_subscription_events_total") == 3
    (line,) = guard.lines("guard.socket_closed")
    told = line["context"]
    assert (told["reason"], told["operations"], told["events"]) == ("client", 2, 4)
    assert told["received_bytes"] > 0 < told["sent_bytes"]


@PROTOCOLS
async def test_messages_arrive_as_they_were_sent(guarded, protocol) -> None:
    app = SocketApp()
    texts = [
        '{"type":"connection_init", "payload":{ "x" : 1.50 }}',
        json.dumps(
            {
                "payload": {"query": "{ me { id } }", "variables": {"é": 1e2}},
                "type": {T: "subscribe", L: "start"}[protocol],
                "id": "é-1",
            }
        ),
    ]
    async with opened(guarded(app), protocol) as socket:
        for text in texts:
            await socket.send_raw(text=text, bytes=None)
            await socket.receive()
    assert app.texts == texts


async def test_pings_pass_and_only_wanted_pongs(guarded) -> None:
    app = SocketApp()
    async with opened(guarded(app)) as socket:
        await socket.init()
        await socket.send({"type": "pong"})
        await socket.send({"type": "ping"})
        assert (await socket.receive())["type"] == "pong"
    assert [message["type"] for message in app.received] == ["connection_init", "ping"]


async def test_the_end_of_an_unknown_operation_is_swallowed(guarded) -> None:
    app = SocketApp()
    async with opened(guarded(app)) as socket:
        await socket.init()
        await socket.stop("7")
        await socket.ask("{ me { id } }")
    assert [message["type"] for message in app.received] == ["connection_init", "subscribe"]


async def test_each_operation_is_a_request_of_its_own_in_the_app(guarded) -> None:
    app = SocketApp()
    async with opened(guarded(app, query_timeout=20)) as socket:
        await socket.init()
        await socket.ask("{ me { id } }")
        await socket.start("2", "subscription { events }")
        await socket.receive()
    first, second = app.contexts
    assert (first.operation_id, second.operation_id) == ("1", "2")
    assert len({first.request_id, second.request_id, first.carrier.request_id}) == 3
    assert first.trace_id == second.trace_id == first.carrier.trace_id


async def test_an_operation_knows_its_deadline(guarded) -> None:
    app = SocketApp()
    async with opened(guarded(app, query_timeout=20)) as socket:
        await socket.init()
        await socket.start("1", "{ slow }")
        await until(lambda: app.at_work == 1)
        assert 19 < remaining_seconds(app.contexts[0], asyncio.get_running_loop().time()) <= 20
        await socket.start("2", "subscription { silent }")
        await until(lambda: app.at_work == 2)
        assert app.contexts[1].ends_at is None


async def test_statements_belong_to_the_operation_that_they_are_made_for(guarded) -> None:
    class Database(SocketApp):
        async def _results(self, protocol, operation_id, query, send) -> None:
            await asyncio.sleep(0)  # another operation has begun meanwhile
            guard.guard.database.record_query(5.0, query_type="select", table_name=f"table_{operation_id}")
            await super()._results(protocol, operation_id, query, send)

    app = Database()
    guard = guarded(app)
    async with opened(guard) as socket:
        await socket.init()
        await socket.start("1", "{ me { id } }")
        await socket.start("2", "{ me { id } }")
        await until(lambda: app.finished == 2)
    found = {
        line["context"]["table_name"]: line["context"]["request_id"] for line in guard.lines("database.slow_query")
    }
    assert found == {f"table_{ctx.operation_id}": ctx.request_id for ctx in app.contexts}


# --- protocol --------------------------------------------------------------------------------------------------------

BROKEN = [
    {"bytes": b"{}", "text": None},
    {"bytes": b'{"type":"connection_init"}'},
    {"text": "[]"},
    {"text": "null"},
    {"text": "{nope"},
    {"text": "\ud800"},
    {"text": '{"type":"connection_init","type":"connection_init"}'},
    {"text": '{"type":"connection_init","payload":{"token":"a","token":"b"}}'},
    {"text": '{"type":"nothing_known"}'},
    {"text": '{"id":"1"}'},
    {"text": '{"type":1}'},
]


@PROTOCOLS
@pytest.mark.parametrize("what", BROKEN, ids=str)
async def test_a_message_that_not_every_app_reads_alike_ends_the_socket(guarded, protocol, what) -> None:
    app = SocketApp()
    guard = guarded(app)
    async with opened(guard, protocol) as socket:
        await socket.send_raw(**what)
        closed = await socket.ended()
        assert (closed.code, closed.reason) == (4400, "SOCKET_PROTOCOL")
    assert (app.received, refusals(guard)) == ([], 1)


@PROTOCOLS
@pytest.mark.parametrize(
    "id_and_payload",
    [
        {"id": 1, "payload": {"query": "{a}"}},
        {"id": "", "payload": {"query": "{a}"}},
        {"id": "x" * 129, "payload": {"query": "{a}"}},
        {"payload": {"query": "{a}"}},
        {"id": "1"},
    ],
    ids=str,
)
async def test_an_operation_without_a_fair_id_or_payload_ends_the_socket(guarded, protocol, id_and_payload) -> None:
    app = SocketApp()
    guard = guarded(app)
    async with opened(guard, protocol) as socket:
        await socket.init()
        await socket.send({"type": {T: "subscribe", L: "start"}[protocol], **id_and_payload})
        assert (await socket.ended()).code == 4400
    assert (len(app.received), refusals(guard)) == (1, 1)


async def test_a_message_has_a_largest_size(guarded) -> None:
    app = SocketApp()
    guard = guarded(app)
    async with opened(guard) as socket:
        await socket.init()
        text = json.dumps({"type": "ping", "payload": {"x": ""}})
        await socket.send_raw(text=text.replace('""', '"' + "é" * ((131072 - len(text)) // 2) + '"'))
        assert (await socket.receive())["type"] == "pong"
        await socket.send_raw(text=text.replace('""', '"' + "é" * ((131072 - len(text)) // 2 + 1) + '"'))
        closed = await socket.ended()
        assert (closed.code, closed.reason) == (4400, "MESSAGE_TOO_LARGE")
    assert refusals(guard) == 1


@PROTOCOLS
async def test_an_operation_before_the_initialization_ends_the_socket(guarded, protocol) -> None:
    app = SocketApp()
    guard = guarded(app)
    async with opened(guard, protocol) as socket:
        await socket.start("1", "{ me { id } }")
        assert (await socket.ended()).code == 4401
    assert (app.received, refusals(guard)) == ([], 1)


async def test_a_client_of_the_newer_protocol_waits_for_the_acknowledgement(guarded) -> None:
    app = SocketApp(ack_later=0.1)
    async with opened(guarded(app)) as socket:
        await socket.init(ack=False)
        await socket.start("1", "{ me { id } }")
        assert (await socket.ended()).code == 4401
    assert [message["type"] for message in app.received] == ["connection_init"]


async def test_a_legacy_client_is_served_after_the_acknowledgement(guarded) -> None:
    app = SocketApp(ack_later=0.1)
    async with opened(guarded(app), L) as socket:
        await socket.init(ack=False)
        await socket.start("1", "{ me { id } }")
        kinds = [(await socket.receive())["type"] for _ in range(3)]
        assert kinds == ["connection_ack", "data", "complete"]


@PROTOCOLS
async def test_a_second_initialization_ends_the_socket(guarded, protocol) -> None:
    guard = guarded(SocketApp())
    async with opened(guard, protocol) as socket:
        await socket.init()
        await socket.send({"type": "connection_init"})
        assert (await socket.ended()).code == 4429
    assert refusals(guard) == 1


@PROTOCOLS
async def test_an_id_that_is_in_use_ends_the_socket(guarded, protocol) -> None:
    app = SocketApp()
    guard = guarded(app)
    async with opened(guard, protocol) as socket:
        await socket.init()
        await socket.start("1", "subscription { silent }")
        await socket.start("1", "subscription { silent }")
        assert (await socket.ended()).code == 4409
    assert (len(app.received), refusals(guard)) == (2, 1)


async def test_without_an_initialization_the_socket_ends(guarded) -> None:
    guard = guarded(SocketApp(), socket_init_seconds=0.1)
    async with opened(guard) as socket:
        closed = await socket.ended()
        assert (closed.code, closed.reason) == (4408, "SOCKET_PROTOCOL")
    assert refusals(guard) == 1
    assert guard.metric("fraiseql_guard_sockets_closed_total", reason="init_timeout") == 1


async def test_an_app_that_never_acknowledges_does_not_hold_the_client(guarded) -> None:
    async with opened(guarded(SocketApp(acks=False), socket_init_seconds=0.1)) as socket:
        await socket.init(ack=False)
        assert (await socket.ended()).code == 4503


async def test_a_flood_of_messages_ends_the_socket(guarded) -> None:
    guard = guarded(SocketApp())
    async with opened(guard) as socket:
        await socket.init()
        for _ in range(300):
            await socket.send({"type": "ping"})
        closed = await socket.ended()
        assert (closed.code, closed.reason) == (4429, "TOO_MANY_MESSAGES")
    assert refusals(guard) == 1
    assert guard.metric("fraiseql_guard_sockets_closed_total", reason="flood") == 1


# --- who asks --------------------------------------------------------------------------------------------------------


@PROTOCOLS
@pytest.mark.parametrize(
    "payload",
    [
        {"authorization": f"Bearer {ADA}"},
        {"Authorization": f"bearer {ADA}"},
        {"headers": {"AUTHORIZATION": ADA}},
        {"token": ADA, "headers": {"authorization": f"Bearer {ADA}"}},
        {"authToken": ADA},
        {"accessToken": ADA},
    ],
    ids=lambda payload: "-".join(payload),
)
async def test_the_token_of_the_initialization_is_the_users(guarded, protocol, payload) -> None:
    app = SocketApp()
    guard = guarded(app, jwt_secret=SECRET)
    async with opened(guard, protocol) as socket:
        (scope,) = app.scopes
        seen = dict(scope)  # as frameworks copy it
        assert not seen["user"].is_authenticated
        await socket.init(payload)
        assert (seen["user"].identity, seen["auth"].scopes[0]) == ("ada", "authenticated")
        await socket.ask("{ me { id } }")
    assert app.contexts[0].user_id == "ada"
    assert guard.lines("guard.socket_closed")[0]["context"]["user_id"] == "ada"


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        ({"token": FORGED}, 4401, "UNAUTHENTICATED"),
        ({"token": "nonsense"}, 4401, "UNAUTHENTICATED"),
        ({"token": EXPIRED}, 4403, "UNAUTHENTICATED"),
        ({}, 4403, "UNAUTHENTICATED"),
        (None, 4403, "UNAUTHENTICATED"),
        ({"token": ADA, "authToken": BOB}, 4400, "AMBIGUOUS_TOKEN"),
    ],
    ids=["forged", "nonsense", "expired", "empty", "none", "two"],
)
@PROTOCOLS
async def test_a_bad_token_ends_the_socket_before_the_app_hears_of_it(guarded, protocol, payload, code, reason) -> None:
    app = SocketApp()
    guard = guarded(app, jwt_secret=SECRET)
    async with opened(guard, protocol) as socket:
        await socket.init(payload, ack=False)
        if protocol == L:
            told = await socket.receive()
            assert told["type"] == "connection_error"
            assert told["payload"]["extensions"]["code"] == reason
        closed = await socket.ended()
        assert (closed.code, closed.reason) == (code, reason)
    assert (app.received, refusals(guard)) == ([], 1)


async def test_the_same_bad_token_again_is_no_further_offence(guarded) -> None:
    guard = guarded(SocketApp(), jwt_secret=SECRET, brute_force_offences=3)

    async def shown(token: str) -> int:
        async with opened(guard) as socket:
            await socket.init({"token": token}, ack=False)
            return (await socket.ended()).code

    assert [await shown(FORGED) for _ in range(5)] == [4401] * 5
    assert guard.metric("fraiseql_guard_sanctions_total") == 0
    for number in range(3):
        await shown(make_token("x" * 40, sub=f"guess {number}"))
    assert guard.metric("fraiseql_guard_sanctions_total", policy="brute_force") == 1


async def test_a_token_in_the_head_needs_none_later(guarded) -> None:
    app = SocketApp()
    guard = guarded(app, jwt_secret=SECRET)
    async with opened(guard, headers={"authorization": f"Bearer {ADA}"}) as socket:
        assert app.scopes[0]["user"].identity == "ada"
        await socket.init()
        await socket.ask("{ me { id } }")
    async with opened(guard, headers={"authorization": f"Bearer {ADA}"}) as socket:
        await socket.init({"token": ADA})
    async with opened(guard, headers={"authorization": f"Bearer {ADA}"}) as socket:
        await socket.init({"token": BOB}, ack=False)
        assert (await socket.ended()).code == 4403


async def test_where_no_token_is_required_callers_are_anonymous(guarded) -> None:
    app = SocketApp()
    async with opened(guarded(app, jwt_secret=SECRET, auth_required=False)) as socket:
        await socket.init()
        assert await socket.ask("{ me { id } }") == {"data": {"ok": True}}
        assert not app.scopes[0]["user"].is_authenticated


@PROTOCOLS
async def test_public_operations_are_open_to_those_without_a_token(guarded, protocol) -> None:
    guard = guarded(SocketApp(), jwt_secret=SECRET, public_operations="login")
    async with opened(guard, protocol) as socket:
        await socket.init()
        assert await socket.ask("mutation { login }") == {"data": {"ok": True}}
        assert (await socket.ask("{ me { id } }", "2"))["extensions"]["code"] == "UNAUTHENTICATED"
        assert await socket.ask("mutation { login }", "3") == {"data": {"ok": True}}
    async with opened(guard, protocol) as socket:
        await socket.init({"token": EXPIRED}, ack=False)
        assert (await socket.ended()).code == 4403


# --- what an operation costs -----------------------------------------------------------------------------------------


@PROTOCOLS
async def test_operations_pay_like_requests(guarded, protocol) -> None:
    guard = guarded(SocketApp(), jwt_secret=SECRET, rate_limit_authenticated="31/minute", rate_limit_burst=0)
    async with opened(guard, protocol) as socket:
        await socket.init({"token": ADA})
        for number in range(30):
            assert "data" in await socket.ask("{ me { id } }", str(number))
        for number in range(3):
            refused = await socket.ask("{ me { id } }", f"more {number}")
            assert refused["extensions"]["code"] == "RATE_LIMITED"
            assert 1 <= refused["extensions"]["retryAfter"] <= 2
        assert (await graphql(guard, "{ me { id } }", token=ADA)).status == 429
        await socket.send({"type": "ping"}) if protocol == T else None
        assert protocol == L or (await socket.receive())["type"] == "pong"


@PROTOCOLS
async def test_a_budget_holds_for_messages_as_for_requests(guarded, protocol) -> None:
    options = {"jwt_secret": SECRET, "cost_budgets": "default=100"}
    document = "{ users(limit: 30) { id } }"
    over_http, over_socket = guarded(SocketApp(), **options), guarded(SocketApp(), **options)
    codes = [(await graphql(over_http, document, token=ADA)).status for _ in range(5)]
    found = []
    async with opened(over_socket, protocol) as socket:
        await socket.init({"token": ADA})
        for number in range(5):
            answer = await socket.ask(document, str(number))
            found.append(answer.get("extensions", {}).get("code", "passes"))
    assert [{200: "passes", 429: "COST_BUDGET_EXCEEDED"}[code] for code in codes] == found
    assert found[-1] == "COST_BUDGET_EXCEEDED"


@PROTOCOLS
async def test_a_socket_has_so_many_operations_and_no_more(guarded, protocol) -> None:
    guard = guarded(SocketApp(), max_subscriptions_per_socket=3)
    async with opened(guard, protocol) as socket:
        await socket.init()
        for number in range(3):
            await socket.start(str(number), "subscription { silent }")
        await socket.start("3", "subscription { silent }")
        refused = error_of(await socket.receive())
        assert (refused["extensions"]["code"], refused["extensions"]["limit"]) == ("TOO_MANY_SUBSCRIPTIONS", 3)
        await socket.stop("1")
        assert await socket.ask("{ me { id } }", "3") == {"data": {"ok": True}}


async def test_a_caller_has_so_many_subscriptions_and_no_more(guarded) -> None:
    guard = guarded(SocketApp(), jwt_secret=SECRET, max_subscriptions_per_caller=2)
    async with opened(guard) as one, opened(guard) as other:
        await one.init({"token": ADA})
        await other.init({"token": ADA})
        await one.start("1", "subscription { silent }")
        await other.start("1", "subscription { silent }")
        refused = await one.ask("subscription { silent }", "2")
        assert refused["extensions"]["code"] == "TOO_MANY_SUBSCRIPTIONS"
        assert await one.ask("{ me { id } }", "2") == {"data": {"ok": True}}
        other.leave()
        await other.done()
        await one.start("3", "subscription { events }")
        assert (await one.receive())["type"] == "next"


@PROTOCOLS
async def test_mixed_documents_are_refused(guarded, protocol) -> None:
    app = SocketApp()
    async with opened(guarded(app), protocol) as socket:
        await socket.init()
        refused = await socket.ask("query A { me { id } } subscription B { silent }", operationName="A")
        assert refused["extensions"]["code"] == "GRAPHQL_INVALID"
        assert "alone" in refused["extensions"]["detail"]
    assert len(app.received) == 1


async def test_subscriptions_leave_the_slots_to_others(guarded) -> None:
    app = SocketApp()
    guard = guarded(app, database_pool_size=10, max_subscriptions_per_socket=100)
    async with opened(guard) as socket:
        await socket.init()
        for number in range(50):
            await socket.start(str(number), "subscription { ticks }")
        while (await socket.receive())["id"] != "49":
            pass
        assert (await graphql(guard, "{ me { id } }")).status == 200


async def test_silent_subscriptions_give_up_their_slots_after_a_moment(guarded) -> None:
    guard = guarded(SocketApp(), database_pool_size=10, max_in_flight=3)
    async with opened(guard) as socket:
        await socket.init()
        for number in range(3):
            await socket.start(str(number), "subscription { silent }")
        await until(lambda: not guard.guard.reloader.components.at_work.operations)
        assert await socket.ask("{ me { id } }", "3") == {"data": {"ok": True}}


@PROTOCOLS
@pytest.mark.parametrize("options", [{"max_in_flight": 3}, {"database_pool_size": 6}], ids=str)
async def test_silent_subscriptions_that_begin_at_once_wait_for_each_other(guarded, protocol, options) -> None:
    app = SocketApp()
    guard = guarded(app, jwt_secret=SECRET, **options)
    async with opened(guard, protocol) as socket:
        await socket.init({"token": ADA})
        for number in range(8):
            await socket.start(str(number), "subscription { silent }")
        await until(lambda: app.at_work == 8)
        assert await socket.ask("{ me { id } }", "8") == {"data": {"ok": True}}
    assert [message["id"] for message in app.received[1:]] == [str(number) for number in range(9)]
    assert refusals(guard) == 0
    assert not guard.guard.reloader.components.at_work.operations


@PROTOCOLS
async def test_a_subscription_waits_for_nothing_that_takes_longer(guarded, protocol) -> None:
    app = SocketApp()
    guard = guarded(app, max_in_flight=1)
    async with opened(guard, protocol) as socket:
        await socket.init()
        await socket.start("1", "{ slow }")
        await until(lambda: app.at_work == 1)
        await socket.start("2", "subscription { silent }")
        await socket.stop("1")
        assert error_of(await socket.receive())["extensions"]["code"] == "CONCURRENCY_LIMIT"
        await until(lambda: app.at_work == 0)
    assert refusals(guard) == 1


async def test_a_client_may_leave_while_its_subscription_waits(guarded) -> None:
    app = SocketApp()
    guard = guarded(app, max_in_flight=1)
    async with opened(guard) as socket:
        await socket.init()
        for number in range(2):
            await socket.start(str(number), "subscription { silent }")
        await until(lambda: app.at_work == 1)
        socket.leave()
        await socket.done()
    assert len(app.contexts) <= 2
    assert not guard.guard.reloader.components.at_work.operations


# --- deadlines -------------------------------------------------------------------------------------------------------


@PROTOCOLS
async def test_an_operation_is_stopped_at_its_deadline_alone(guarded, protocol) -> None:
    app = SocketApp()
    guard = guarded(app, query_timeout=0.2)
    async with opened(guard, protocol) as socket:
        await socket.init()
        await socket.start("1", "{ slow }")
        await socket.start("2", "subscription { silent }")
        message = await socket.receive()
        assert (message["type"], message["id"]) == ("error", "1")
        assert error_of(message)["extensions"]["code"] == "QUERY_TIMEOUT"
        await until(lambda: app.stopped == 1)
        assert app.at_work == 1
        assert await socket.ask("{ me { id } }", "1") == {"data": {"ok": True}}
    assert guard.metric("fraiseql_guard_refusals_total", code="QUERY_TIMEOUT") == 1
    assert app.received[3]["type"] == {T: "complete", L: "stop"}[protocol]


async def test_an_app_that_executes_in_its_receive_loop_is_stopped_too(guarded) -> None:
    app = SocketApp(inline=True)
    guard = guarded(app, query_timeout=0.2)
    async with opened(guard) as socket:
        await socket.init()
        await socket.start("1", "{ slow }")
        assert error_of(await socket.receive())["extensions"]["code"] == "QUERY_TIMEOUT"
        assert (await socket.ended()).code == 4503
        await socket.done()
    assert (app.stopped, app.at_work) == (1, 0)


async def test_what_the_app_says_of_an_operation_that_is_over_is_dropped(guarded) -> None:
    app = SocketApp(ignores_stops=True)
    async with opened(guarded(app)) as socket:
        await socket.init()
        await socket.start("1", "subscription { ticks }")
        await socket.receive()
        await socket.stop("1")
        await asyncio.sleep(0.05)
        while not await socket.nothing(0):
            await socket.receive()
        assert await socket.nothing()
        assert app.at_work == 1


async def test_the_app_is_told_to_stop_after_its_own_error(guarded) -> None:
    app = SocketApp()
    async with opened(guarded(app)) as socket:
        await socket.init()
        assert await socket.ask("{ fail }") == {"message": "no"}
        await until(lambda: app.received[-1] == {"id": "1", "type": "complete"})


# --- ends ------------------------------------------------------------------------------------------------------------


@PROTOCOLS
@pytest.mark.parametrize("waits", ["acknowledgement", "operation"])
async def test_an_app_that_hangs_up_does_not_bring_its_clients_back_at_once(guarded, protocol, waits) -> None:
    app = SocketApp(acks=waits == "operation")
    async with opened(guarded(app), protocol) as socket:
        if waits == "operation":
            await socket.init()
            await socket.start("1", "subscription { silent }")
            await until(lambda: app.at_work == 1)
        app.closes = 1000
        await socket.send({"type": "connection_init"} if waits != "operation" else {"type": "ping"})
        assert (await socket.ended()).code in ((4503,) if protocol == T or waits != "operation" else (4400,))


async def test_another_code_of_the_app_is_its_own(guarded) -> None:
    app = SocketApp()
    app.closes = 4321
    guard = guarded(app)
    async with opened(guard) as socket:
        await socket.init(ack=False)
        assert (await socket.ended()).code == 4321
    assert guard.metric("fraiseql_guard_sockets_closed_total", reason="app") == 1


@PROTOCOLS
async def test_when_the_client_leaves_its_operations_are_stopped(guarded, protocol) -> None:
    app = SocketApp()
    guard = guarded(app)
    async with opened(guard, protocol) as socket:
        await socket.init()
        await socket.start("1", "{ slow }")
        await socket.start("2", "subscription { ticks }")
        await until(lambda: app.at_work == 2)
        socket.leave()
        await socket.done()
    await until(lambda: app.at_work == 0)
    assert socket.received_after_the_end == 0
    guard.flush()
    assert guard.metric("fraiseql_graphql_queries_errors") == 1


async def test_a_mutation_is_carried_through_when_its_client_leaves(guarded) -> None:
    app = SocketApp(inline=False)
    guard = guarded(app, mutation_timeout=0.5)
    async with opened(guard) as socket:
        await socket.init()
        await socket.start("1", "mutation { slow }")
        await socket.start("2", "{ slow }")
        await until(lambda: app.at_work == 2)
        socket.leave()
        await until(lambda: app.stopped == 1)  # the query
        await asyncio.sleep(0.1)
        assert (app.at_work, app.disconnects) == (1, [])
        await socket.done()  # at its deadline
    assert len(app.disconnects) == 1


async def test_a_mutation_may_be_cancelled_with_its_client(guarded) -> None:
    app = SocketApp()
    async with opened(guarded(app, cancel_mutations=True)) as socket:
        await socket.init()
        await socket.start("1", "mutation { slow }")
        await until(lambda: app.at_work == 1)
        socket.leave()
        await socket.done(1)
    await until(lambda: app.stopped == 1)


async def test_an_exception_of_send_is_a_client_that_has_left(guarded) -> None:
    app = SocketApp()
    guard = guarded(app)
    async with opened(guard) as socket:
        await socket.init()
        await socket.start("1", "subscription { ticks }")
        await socket.receive()
        socket.raises_on_send = RuntimeError("Unexpected ASGI message")
        await socket.done()
    assert len(app.disconnects) == 1
    assert guard.lines("guard.fault") == []


async def test_a_client_that_does_not_read_is_ended(guarded) -> None:
    app = SocketApp()
    guard = guarded(app, socket_send_seconds=0.2)
    async with opened(guard) as socket:
        await socket.init()
        await socket.start("1", "subscription { ticks }")
        await socket.receive()
        socket.read_no_more()
        await socket.done(5)
        await until(lambda: app.at_work == 0)
    assert guard.metric("fraiseql_guard_sockets_closed_total", reason="slow_consumer") == 1


async def test_an_idle_socket_is_ended_and_a_busy_one_is_not(guarded) -> None:
    guard = guarded(SocketApp(), socket_idle_seconds=0.3)
    async with opened(guard) as idle, opened(guard) as busy:
        await idle.init()
        await busy.init()
        await busy.start("1", "subscription { silent }")
        assert (await idle.ended()).code == 4408
        assert await busy.nothing(0.3)


async def test_a_socket_has_a_longest_life(guarded) -> None:
    async with opened(guarded(SocketApp(), socket_max_seconds=0.2)) as socket:
        await socket.init()
        assert (await socket.ended()).code == 4503


async def test_a_silent_client_is_pinged(guarded) -> None:
    app = SocketApp()
    async with opened(guarded(app, socket_ping_seconds=1)) as socket:
        await socket.init()
        assert (await socket.receive(3))["type"] == "ping"
        await socket.send({"type": "pong"})
        assert (await socket.receive(3))["type"] == "ping"
    assert len(app.received) == 1


async def test_a_live_socket_is_ended_from_outside_and_the_app_hears_why(guarded) -> None:
    app = SocketApp()
    guard = guarded(app, jwt_secret=SECRET)
    async with opened(guard) as socket:
        await socket.init({"token": ADA})
        await socket.start("1", "subscription { ticks }")
        await until(lambda: app.at_work == 1)
        live = guard.guard.runtime.live
        (connection,) = live
        assert connection.ctx.subject.kind == "user"
        connection.end(BLOCKED_CALLER)
        connection.end(BLOCKED_CALLER)
        closed = await socket.ended()
        assert (closed.code, closed.reason) == (4403, "BLOCKED")
        await socket.done()
        assert len(live) == 0
    assert [(each["code"], each["reason"]) for each in app.disconnects] == [(4403, "BLOCKED")]


async def test_an_app_that_ignores_its_end_is_cancelled_and_told_of(guarded) -> None:
    app = SocketApp(inline=True)
    async with opened(guarded(app)) as socket:
        await socket.init()
        await socket.start("1", "{ slow }")
        await until(lambda: app.at_work == 1)
        socket.leave()
        await socket.done(4)
    assert app.stopped == 1


# --- answers ---------------------------------------------------------------------------------------------------------


@PROTOCOLS
async def test_suggestions_never_leave(guarded, protocol) -> None:
    told = {"message": "Cannot query field 'pasword'. Did you mean 'password'?"}
    app = SocketApp(answer={"data": None, "errors": [told]}, error=told)
    async with opened(guarded(app, introspection="deny"), protocol) as socket:
        await socket.init()
        answered = await socket.ask("{ pasword }")
        assert answered["errors"][0]["message"] == "Cannot query field 'pasword'."
        assert (await socket.ask("{ fail }", "2"))["message"] == "Cannot query field 'pasword'."


@PROTOCOLS
async def test_costs_are_told_where_that_is_wanted(guarded, protocol) -> None:
    async with opened(guarded(SocketApp(), cost_in_response=True), protocol) as socket:
        await socket.init()
        answered = await socket.ask("{ users(limit: 10) { id } }")
        assert answered["extensions"]["cost"]["requested"] == 10


async def test_an_error_in_another_form_does_not_end_the_client(guarded) -> None:
    class OddApp(SocketApp):
        async def _results(self, protocol, operation_id, query, send) -> None:
            text = json.dumps({"id": operation_id, "type": "error", "payload": {"message": "odd"}})
            await send({"type": "websocket.send", "text": text})

    async with opened(guarded(OddApp())) as socket:
        await socket.init()
        await socket.start("1", "{ a }")
        assert (await socket.receive())["payload"] == [{"message": "odd"}]


# --- modes -----------------------------------------------------------------------------------------------------------


@PROTOCOLS
async def test_in_monitor_mode_everything_passes_and_is_noted(guarded, protocol) -> None:
    app = SocketApp()
    guard = guarded(app, mode="monitor", jwt_secret=SECRET, max_query_depth=2)
    async with opened(guard, protocol) as socket:
        await socket.init()
        deep = "{ a { b { c { d } } } }"
        assert await socket.ask(deep) == {"data": {"ok": True}}
        await socket.send({"type": "connection_init"})
        assert (await socket.receive())["type"] == "connection_ack"
    guard.flush()
    assert refusals(guard) == 0
    for code in ("UNAUTHENTICATED", "QUERY_TOO_DEEP", "SOCKET_PROTOCOL"):
        assert guard.metric("fraiseql_guard_would_refuse_total", code=code) >= 1, code


async def test_in_monitor_mode_no_socket_is_ended_for_its_silence(guarded) -> None:
    seconds = {"socket_init_seconds": 0.05, "socket_idle_seconds": 0.05, "socket_max_seconds": 0.05}
    guard = guarded(SocketApp(acks=False), mode="monitor", **seconds)
    async with opened(guard) as silent, opened(guard) as waiting:
        await waiting.init(ack=False)
        assert await silent.nothing(0.2)
        assert await waiting.nothing(0)
    guard.flush()
    assert guard.metric("fraiseql_guard_would_refuse_total", code="SOCKET_PROTOCOL") >= 1


@pytest.mark.parametrize("middleware", [RateLimitMiddleware, QueryTimeoutMiddleware])
@PROTOCOLS
async def test_a_single_protection_passes_sockets(guarded, protocol, middleware) -> None:
    app = SocketApp()
    async with opened(guarded(app, middleware, query_timeout=0.2), protocol) as socket:
        await socket.init()
        assert await socket.ask("{ me { id } }") == {"data": {"ok": True}}
        await socket.start("2", "{ slow }")
        await socket.start("3", "subscription { silent }")
        if middleware is QueryTimeoutMiddleware:
            assert error_of(await socket.receive())["extensions"]["code"] == "QUERY_TIMEOUT"
        assert await socket.nothing(0.3)


# --- documents by name -----------------------------------------------------------------------------------------------


@PROTOCOLS
async def test_documents_are_registered_and_named_as_over_http(guarded, protocol) -> None:
    app = SocketApp()
    guard = guarded(app, apq=True)
    document = "{ me { id } }"
    hashed = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(document.encode()).hexdigest()}}
    start = {T: "subscribe", L: "start"}[protocol]
    async with opened(guard, protocol) as socket:
        await socket.init()
        await socket.send({"id": "1", "type": start, "payload": {"extensions": hashed}})
        unknown = error_of(await socket.receive())
        assert unknown["message"] == "PersistedQueryNotFound"
        assert await socket.ask(document, "2", extensions=hashed) == {"data": {"ok": True}}
        await socket.send({"id": "3", "type": start, "payload": {"extensions": hashed, "variables": {"n": 1}}})
        assert (await socket.receive())["id"] == "3"
    named = app.received[-1]["payload"]
    assert (named["query"], named["variables"]) == (document, {"n": 1})


@PROTOCOLS
async def test_only_trusted_documents_pass_where_they_are_required(guarded, protocol, tmp_path) -> None:
    document = "{ me { id } }"
    manifest = tmp_path / "documents.json"
    manifest.write_text(json.dumps({hashlib.sha256(document.encode()).hexdigest(): document}))
    guard = guarded(SocketApp(), trusted_documents="require", trusted_documents_file=str(manifest))
    async with opened(guard, protocol) as socket:
        await socket.init()
        assert await socket.ask(document) == {"data": {"ok": True}}
        assert (await socket.ask("{ you { id } }", "2"))["extensions"]["code"] == "NOT_TRUSTED"
