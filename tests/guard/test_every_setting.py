"""Every setting that can be changed while the process runs acts once it is: on the next request, whatever requests that
began before are still at work and whatever they put back when they end."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from fraiseql_guard.asgi.logins import logins
from fraiseql_guard.core.settings import CHANGEABLE, name_of
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET, Guarded
from tests.graphql.requests import of_an_app
from tests.support.asgi import Connection, EchoApp, graphql, request
from tests.support.socket_memory import SocketApp
from tests.support.socket_memory import opened as speaking
from tests.support.upgrades import EchoSocketApp, opened

ALICE, GOLD = make_token(SECRET, sub="alice"), make_token(SECRET, sub="goldie", tier="gold")
FORGED = make_token("x" * 40, sub="alice")
ADDRESSES = itertools.count(1)
PAUSE = 0.3
"""Longer than the deadlines that are tried, shorter than those that are not."""

Probe = Callable[[Guarded], Awaitable[Any]]


def elsewhere() -> dict[str, Any]:
    """A caller who was never here."""
    number = next(ADDRESSES)
    return {"client": (f"100.{number // 65_536}.{number // 256 % 256}.{number % 256}", 1)}


class App(EchoApp):
    """Answers like EchoApp, and accepts every WebSocket, over which it speaks GraphQL where its caller says so.

    Reports a failed login on /login, streams on /stream, pauses where its caller says so.
    """

    sockets = EchoSocketApp()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        if scope["type"] == "websocket":
            await (SocketApp() if b"x-speaks" in headers else self.sockets)(scope, receive, send)
            return
        if scope["path"] == "/login":
            reports = logins(scope)
            await reports.locked("alice")
            lockout = await reports.failed("alice")
            self.answer = None if lockout is None else lockout.retry_after_seconds
        if b"x-streams" in headers:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", STREAM)]})
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            await asyncio.sleep(PAUSE)
            await send({"type": "http.response.body", "body": b"data: 2\n\n", "more_body": False})
            return
        self.seconds = PAUSE if b"x-pauses" in headers else 0.0
        await super().__call__(scope, receive, send)


STREAM = b"text/event-stream"
SUBSCRIPTION = "subscription{ticks{id}}"
PAUSES, STREAMS, SPEAKS = {"x-pauses": "1"}, {"x-streams": "1"}, {"x-speaks": "1"}
PING = {"type": "ping", "payload": {"number": 1}}
SUGGESTING = {"data": None, "errors": [{"message": 'Did you mean "secret"?'}]}
SDL = "type Query{users(limit:Int):[User] me:User} type User{id:ID}"


# --- what is looked at -----------------------------------------------------------------------------------------------


def code_of(query: str, **more: Any) -> Probe:
    """How a document is answered."""

    async def probe(guard: Guarded) -> Any:
        reply = await graphql(guard, query, **more)
        return reply.status if reply.status == 200 else (reply.status, reply.code)

    return probe


def limit_of(query: str) -> Probe:
    """Which limit the refusal of a document tells."""

    async def probe(guard: Guarded) -> Any:
        return (await graphql(guard, query)).extensions.get("limit")

    return probe


def header(name: str, ask: Callable[[Guarded], Awaitable[Any]]) -> Probe:
    async def probe(guard: Guarded) -> Any:
        return (await ask(guard)).header(name)

    return probe


def admitted(times: int, **more: Any) -> Probe:
    """How many of so many requests of a new caller are admitted."""

    async def probe(guard: Guarded) -> Any:
        caller = elsewhere()
        return [(await graphql(guard, "{me{id}}", **caller, **more)).status for _ in range(times)].count(200)

    return probe


def together(callers: int, each: int) -> Probe:
    """What becomes of requests that are at work at the same time."""

    async def probe(guard: Guarded) -> Any:
        who = [elsewhere() for _ in range(callers)] * each
        replies = await asyncio.gather(*(graphql(guard, "{me{id}}", headers=PAUSES, **caller) for caller in who))
        return sorted(reply.status for reply in replies)

    return probe


def cost_of(query: str) -> Probe:
    async def probe(guard: Guarded) -> Any:
        return (await graphql(guard, query)).json["extensions"]["cost"]["requested"]

    return probe


def raw(body: Any, path: str = "/graphql", **more: Any) -> Probe:
    async def probe(guard: Guarded) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return (await request(guard, path=path, body=content, **more)).status

    return probe


def slow_body(path: str) -> Probe:
    """How a body is answered whose second half comes late."""

    async def probe(guard: Guarded) -> Any:
        headers = {"content-type": "application/json", "transfer-encoding": "chunked"}
        reply = await request(guard, path=path, headers=headers, connection=Late(lambda: asyncio.sleep(PAUSE)))
        return reply.status

    return probe


def streamed(query: str) -> Probe:
    """What comes of a streamed answer: its events, and its heartbeats."""

    async def probe(guard: Guarded) -> Any:
        body = (await graphql(guard, query, headers=STREAMS)).body
        return body.count(b"data"), b":\n\n" in body

    return probe


def subscribed(callers: int, each: int) -> Probe:
    """What becomes of subscriptions that are open at the same time."""

    async def probe(guard: Guarded) -> Any:
        who = [elsewhere() for _ in range(callers)] * each
        asked = (graphql(guard, SUBSCRIPTION, headers=STREAMS, **caller) for caller in who)
        return sorted(reply.status for reply in await asyncio.gather(*asked))

    return probe


async def left(guard: Guarded) -> Any:
    """Whether a mutation is stopped whose client leaves."""
    connection = Connection([json.dumps({"query": "mutation{a{id}}"}).encode()])
    before = guard.app.stopped
    task = asyncio.create_task(request(guard, headers={**PAUSES, "content-type": "application/json"},
                                       content_type=None, connection=connection))  # fmt: skip
    await asyncio.sleep(0.02)
    connection.leave()
    await asyncio.gather(task, return_exceptions=True)
    return guard.app.stopped - before


def sanctioned(event: str, ask: Callable[..., Awaitable[Any]], *shown: str) -> Probe:
    """What the log says of a sanction that a new caller brings about; None if there is none."""

    async def probe(guard: Guarded) -> Any:
        before = len(guard.lines(event))
        caller = elsewhere()
        for _ in range(2):
            await ask(guard, **caller)
        lines = guard.lines(event)[before:]
        return [tuple(line["context"][name] for name in shown) for line in lines]

    return probe


async def too_often(guard: Guarded, **caller: Any) -> None:
    await request(guard, "GET", "/page", **caller)


async def forged(guard: Guarded, **caller: Any) -> None:
    await graphql(guard, "{me{id}}", token=FORGED, **caller)


async def costly(guard: Guarded, **caller: Any) -> None:
    await graphql(guard, "{users(limit:900){posts(limit:900){id}}}", **caller)


async def wrong_password(guard: Guarded, **caller: Any) -> None:
    await request(guard, path="/login", **caller)


def upgrades(number: int, *, callers: int = 1, at_once: bool = False) -> Probe:
    """What becomes of the sockets that so many new callers open: one after the other, or all open at once."""

    async def probe(guard: Guarded) -> Any:
        who = [elsewhere() for _ in range(callers)]
        sockets, seen = [], []
        for place in range(number):
            socket = await opened(guard, **who[place % callers])
            seen.append((socket.status, socket.closed))
            if socket.status == 101 and socket.closed is None:
                sockets.append(socket)
                if not at_once:
                    await sockets.pop().leave()
        for socket in sockets:
            await socket.leave()
        return seen

    return probe


def said(*messages: Mapping[str, Any], init: bool = True, reads: bool = True, seconds: float = PAUSE) -> Probe:
    """The types of what comes over a socket in a while after these messages, and the code with which it is closed."""

    async def probe(guard: Guarded) -> Any:
        async with speaking(guard, headers=SPEAKS, **elsewhere()) as socket:
            if init:
                await socket.init()
            if not reads:
                socket.read_no_more()
            for message in messages:
                await socket.send(message)
            if not reads:
                await asyncio.wait([socket.task], timeout=seconds)
                return socket.task.done()
            return await socket.heard(seconds)

    return probe


def asked(number: int, query: str) -> dict[str, Any]:
    return {"type": "subscribe", "id": str(number), "payload": {"query": query}}


async def slow_statement(guard: Guarded) -> Any:
    before = len(guard.lines("database.slow_query"))
    guard.guard.database.record_query(1.0, query_type="select", table_name="users")
    return len(guard.lines("database.slow_query")) - before


# --- the settings ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What another ``value`` changes, seen by a probe on a guard with ``base`` options."""

    value: str
    probe: Probe
    base: Mapping[str, Any] = field(default_factory=dict)


def page(guard: Guarded) -> Awaitable[Any]:
    return request(guard, "GET", "/page")


def as_alice(query: str = "{me{id}}") -> Callable[[Guarded], Awaitable[Any]]:
    return lambda guard: graphql(guard, query, token=ALICE)


DEEP = "{a{b{c{d{e{f{g{h{i{j{k{l}}}}}}}}}}}}"
TIGHT = {"rate_limit_default": "2/hour", "rate_limit_burst": 0}
COSTED = {"cost_in_response": True}
ABUSE = ("security.rate_limit_abuse", too_often)
BRUTE = ("security.brute_force_detected", forged)
DOS = ("security.dos_detected", costly)
LOCKOUT = ("security.brute_force_detected", wrong_password)
ONE_ABUSE = {**TIGHT, "rate_limit_default": "1/hour", "rate_limit_abuse_offences": 1}
POLICY = "ratelimit-policy"
IN_VARIABLES = {"query": "{me{id}}", "variables": {"a": {"b": {"c": [1, 2, 3]}}}}
CASES: Mapping[str, Case] = {
    "mode": Case("monitor", code_of(DEEP)),
    "mode_rate_limit": Case("monitor", admitted(4), TIGHT),
    "mode_auth": Case("monitor", code_of("{me{id}}", token=FORGED)),
    "mode_query_limits": Case("monitor", code_of(DEEP)),
    "mode_timeout": Case("monitor", code_of("{me{id}}", headers=PAUSES), {"query_timeout": 0.05}),
    "rate_limit_default": Case("50/minute", header("x-ratelimit-limit", page)),
    "rate_limit_authenticated": Case("50/minute", header("x-ratelimit-limit", as_alice())),
    "rate_limit_graphql": Case("400/minute", header(POLICY, as_alice())),
    "rate_limit_graphql_query": Case("400/minute", header(POLICY, as_alice())),
    "rate_limit_graphql_mutation": Case("400/minute", header(POLICY, as_alice("mutation{a{id}}"))),
    "rate_limit_burst": Case("1", admitted(5), TIGHT),
    "rate_limit_public": Case(
        "70/minute",
        header(POLICY, lambda guard: graphql(guard, "mutation{login{id}}")),
        {"public_operations": "login", "auth_required": True},
    ),
    "rate_limit_headers": Case("none", header(POLICY, page)),
    "expose_limits": Case("false", limit_of(DEEP)),
    "max_in_flight": Case("1", together(1, 2)),
    "database_pool_size": Case("3", together(2, 1)),
    "tiers": Case("gold=7/minute", header("x-ratelimit-limit", lambda guard: graphql(guard, "{me{id}}", token=GOLD))),
    "max_query_depth": Case("1", code_of("{me{id}}")),
    "max_query_complexity": Case("4", code_of("{users(limit:5){id}}")),
    "max_list_size": Case("4", code_of("{users(limit:5){id}}")),
    "max_offset": Case("4", code_of("{users(limit:5,offset:5){id}}")),
    "max_aliases": Case("0", code_of("{a:me{id} b:me{id}}")),
    "max_root_fields": Case("1", code_of("{me{id} you{id}}")),
    "max_duplicate_keys": Case("1", code_of("{me{id id id}}")),
    "max_directives": Case("0", code_of("{me @include(if:true){id}}")),
    "max_operations": Case("1", raw({"query": "query A{me{id}} query B{me{id}}", "operationName": "A"})),
    "max_fragments": Case("0", code_of("{...F} fragment F on Query{me{id}}")),
    "max_tokens": Case("3", code_of("{me{id}}")),
    "max_query_chars": Case("5", code_of("{me{id}}")),
    "max_literal_depth": Case("1", code_of("{me(a:[[[1]]]){id}}")),
    "max_variables_depth": Case("1", raw(IN_VARIABLES)),
    "max_variables_nodes": Case("1", raw(IN_VARIABLES)),
    "monitor_limits": Case("max_query_depth", code_of(DEEP)),
    "list_multiplier": Case("7", cost_of("{users{id}}"), COSTED),
    "field_costs": Case("User.posts=50", cost_of("{me{posts(limit:1){id}}}"), COSTED),
    "list_fields": Case("crew", cost_of("{me{crew{id}}}"), COSTED),
    "slicing_arguments": Case("n", cost_of("{users(n:7){id}}"), COSTED),
    "list_arguments": Case("users.ids", cost_of('{users(ids:["a","b","c"]){id}}'), COSTED),
    "filter_arguments": Case("matching", cost_of("{users(matching:{first:50}){id}}"), COSTED),
    "edges_node_one_level": Case("false", code_of("{page(first:2){edges{node{id}}}}"), {"max_query_depth": 3}),
    "unsliced_lists": Case("refuse", code_of("{users{id}}"), {"schema": SDL}),
    "unknown_fields": Case("pass", code_of("{me{nam}}"), {"schema": of_an_app(SDL)}),
    "introspection": Case("allow", code_of("{__schema{types{name}}}")),
    "introspection_max_list_depth": Case("1", code_of("{__schema{types{fields{name}}}}"), {"introspection": "allow"}),
    "cost_budgets": Case("gold=3", code_of("{users{id}}", token=GOLD)),
    "cost_in_response": Case("true", raw({"query": "{me{id}}"})),
    "hide_suggestions": Case("false", raw({"query": "{me{id}}"})),
    "batching": Case("true", raw([{"query": "{me{id}}"}])),
    "max_batch_size": Case("1", raw([{"query": "{me{id}}"}, {"query": "{you{id}}"}]), {"batching": True}),
    "max_body_bytes": Case("10", raw({"query": "{me{id}}"})),
    "max_request_bytes": Case("10", raw(b"x" * 50, "/upload")),
    "body_timeout_seconds": Case("0.05", slow_body("/graphql")),
    "body_idle_seconds": Case("0.05", slow_body("/upload")),
    "query_timeout": Case("0.05", code_of("{me{id}}", headers=PAUSES)),
    "mutation_timeout": Case("0.05", code_of("mutation{a{id}}", headers=PAUSES)),
    "request_timeout": Case("0.05", raw(b"", "/page", headers=PAUSES)),
    "stream_idle_seconds": Case("0.05", streamed("{users{id}}")),
    "stream_max_seconds": Case("0.05", streamed("{users{id}}")),
    "stream_heartbeat_seconds": Case("0.05", streamed(SUBSCRIPTION)),
    "max_subscriptions": Case("2", subscribed(2, 1)),
    "max_subscriptions_per_caller": Case("1", subscribed(1, 2)),
    "cancel_mutations": Case("true", left),
    "rate_limit_abuse_offences": Case("1", sanctioned(*ABUSE), {**ONE_ABUSE, "rate_limit_abuse_offences": 5}),
    "rate_limit_abuse_window_seconds": Case("600", sanctioned(*ABUSE, "time_window_minutes"), ONE_ABUSE),
    "rate_limit_abuse_block_seconds": Case("600", sanctioned(*ABUSE, "sanction_seconds"), ONE_ABUSE),
    "brute_force_offences": Case("1", sanctioned(*BRUTE)),
    "brute_force_window_seconds": Case("600", sanctioned(*BRUTE, "time_window_seconds"), {"brute_force_offences": 1}),
    "brute_force_block_seconds": Case("600", sanctioned(*BRUTE, "sanction_seconds"), {"brute_force_offences": 1}),
    "dos_offences": Case("1", sanctioned(*DOS)),
    "dos_window_seconds": Case("600", sanctioned(*DOS, "time_window_seconds"), {"dos_offences": 1}),
    "dos_block_seconds": Case("600", sanctioned(*DOS, "sanction_seconds"), {"dos_offences": 1}),
    "lockout_offences": Case("1", sanctioned(*LOCKOUT)),
    "lockout_window_seconds": Case("600", sanctioned(*LOCKOUT, "time_window_seconds"), {"lockout_offences": 1}),
    "lockout_seconds": Case("600", sanctioned(*LOCKOUT, "sanction_seconds"), {"lockout_offences": 1}),
    "sockets": Case("refuse", upgrades(1)),
    "rate_limit_sockets": Case("2/hour", upgrades(7), {"rate_limit_sockets": "3/hour"}),
    "max_sockets_per_caller": Case("1", upgrades(2, at_once=True)),
    "max_sockets": Case("4", upgrades(2, callers=2, at_once=True)),
    "max_subscriptions_per_socket": Case("1", said(asked(1, "subscription{silent}"), asked(2, "{me{id}}"))),
    "max_message_bytes": Case("40", said(PING)),
    "socket_messages": Case("1/minute", said(*[PING] * 10)),
    "socket_init_seconds": Case("0.05", said(init=False)),
    "socket_idle_seconds": Case("0.05", said()),
    "socket_max_seconds": Case("0.05", said()),
    "socket_ping_seconds": Case("1", said(seconds=1.3)),
    "socket_send_seconds": Case("0.05", said(asked(1, "subscription{ticks}"), reads=False, seconds=5 * PAUSE)),
    "slow_query_seconds": Case("0.5", slow_statement),
}


async def body_of(guard: Guarded) -> Any:
    return (await graphql(guard, "{me{id}}")).body


# --- requests at work ------------------------------------------------------------------------------------------------


class Late(Connection):
    """A body in two parts; the second comes when something has happened."""

    def __init__(self, happens: Callable[[], Awaitable[Any]]) -> None:
        whole = json.dumps({"query": "{me{id}}"}).encode()
        super().__init__([whole[:5], whole[5:]])
        self._happens = happens

    async def receive(self) -> Any:
        if len(self.messages) == 1:
            await self._happens()
        return await super().receive()


class AtWork:
    """Requests that are held where they wait: for their body, for the store, for the app's word on their user."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self._tasks: list[asyncio.Task[Any]] = []

    async def user_status(self, identity: Any) -> str:
        await self.goes_on.wait()
        return "active"

    def hold_store(self, guard: Guarded) -> None:
        store = guard.guard.runtime.store
        admit = store.admit

        async def held(trip: Any) -> Any:
            await self.goes_on.wait()
            return await admit(trip)

        object.__setattr__(store, "admit", held)

    async def begin(self, guard: Guarded) -> None:
        self.goes_on.clear()
        asked = [
            request(guard, "GET", "/page"),
            request(guard, "GET", "/page", token=ALICE),
            graphql(guard, "{me{id}}"),
            graphql(guard, "{me{id}}", token=ALICE),
            graphql(guard, "{me{id}}", token=GOLD),
            graphql(guard, "{me{id}}", token=FORGED),
            request(guard, connection=Late(self.goes_on.wait), headers={"content-type": "application/json"}),
        ]
        self._tasks = [asyncio.create_task(each) for each in asked]
        for _ in range(20):
            await asyncio.sleep(0)

    async def end(self) -> None:
        self.goes_on.set()
        await asyncio.gather(*self._tasks)


async def told(guard: Guarded, option: str, value: str | None) -> None:
    store, kind, key = guard.guard.runtime.store, OverrideKind.SETTING, name_of(option)
    if option == "mode" or option.startswith("mode_"):
        kind, key = OverrideKind.MODE, option.removeprefix("mode").removeprefix("_") or "all"
    if value is None:
        await store.overrides.delete(kind, key)
    else:
        await store.overrides.put(Override(kind, key, 600, value=value))
    await guard.guard.runtime.control.refresh()


async def course(guarded: Any, case: Case, option: str, *, changed: bool, given: bool) -> list[Any]:
    """What is seen before, after the change while others are at work, when they have ended, and (if there was a
    change) once it is taken back."""
    at_work = AtWork()
    base = {"jwt_secret": SECRET, "auth_required": False, "user_status": at_work.user_status, **case.base}
    answer = SUGGESTING if option == "hide_suggestions" else None
    guard = guarded(App(answer=answer), **{**base, **({option: case.value} if given else {})})
    at_work.hold_store(guard)
    probe = body_of if option in ("cost_in_response", "hide_suggestions") else case.probe
    await guard.guard.runtime.control.refresh()
    await request(guard, "GET", "/page")
    await at_work.begin(guard)
    if changed:
        await told(guard, option, case.value)
    await at_work.end()
    seen = [await probe(guard)]
    if changed:
        await at_work.begin(guard)
        await told(guard, option, None)
        await at_work.end()
        seen.append(await probe(guard))
    await guard.guard.aclose()
    return seen


@pytest.mark.parametrize("option", sorted(CHANGEABLE))
async def test_a_change_acts_on_the_next_request_whatever_is_at_work(guarded: Any, option: str) -> None:
    case = CASES[option]
    (before,) = await course(guarded, case, option, changed=False, given=False)
    (wanted,) = await course(guarded, case, option, changed=False, given=True)
    assert before != wanted, "the probe does not see this setting"
    assert await course(guarded, case, option, changed=True, given=False) == [wanted, before]


def test_every_changeable_setting_has_its_case() -> None:
    assert CASES.keys() == CHANGEABLE
