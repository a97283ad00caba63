"""In whatever order clients, apps and deadlines act: everything that was taken is given back once, and counted once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard import Guard
from fraiseql_guard.asgi.sockets.registry import SHUT_DOWN
from fraiseql_guard.testing import samples_of
from tests.support.properties import examples
from tests.support.socket_memory import L, MemorySocket, T, say
from tests.support.waiting import until

IDS = st.sampled_from(["1", "2", "3"])
QUERIES = st.sampled_from(
    ["{ me { id } }", "mutation { a { id } }", "subscription { a { id } }", "{", "query A{a} subscription B{b}"]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), IDS, QUERIES),
        st.tuples(st.just("stop"), IDS),
        st.tuples(st.sampled_from(["result", "error", "complete"]), IDS),
        st.tuples(st.just("wait")),
        st.tuples(st.sampled_from(["leave", "hang up", "crash", "end", "broken message"])),
    ),
    max_size=14,
)
RESULTS = {T: "next", L: "data"}


class DrivenApp:
    """Does on a socket what the test says, whether the protocol allows it or not."""

    def __init__(self) -> None:
        self.send: Any = None
        self.protocol = ""
        self.told: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.send, self.protocol = send, scope["subprotocols"][0]
        await receive()
        await send({"type": "websocket.accept", "subprotocol": self.protocol})
        hearing = asyncio.create_task(self._hear(receive))
        telling = asyncio.create_task(self.told.get())
        try:
            await asyncio.wait([hearing, telling], return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                if telling.result() == "crash":
                    raise RuntimeError("the app broke")
                await send({"type": "websocket.close", "code": 1000})
        finally:
            for each in (hearing, telling):
                each.cancel()

    async def _hear(self, receive: Any) -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            if json.loads(message["text"])["type"] == "connection_init":
                await say(self.send, {"type": "connection_ack"})

    async def says(self, what: str, operation_id: str) -> None:
        kind = {"result": RESULTS[self.protocol]}.get(what, what)
        await say(self.send, {"id": operation_id, "type": kind, "payload": {"data": {"a": 1}}})


async def act(step: tuple[str, ...], guard: Guard, app: DrivenApp, socket: MemorySocket) -> None:
    match step:
        case ("start", operation_id, query):
            await socket.start(operation_id, query)
        case ("stop", operation_id):
            await socket.stop(operation_id)
        case ("result" | "error" | "complete", operation_id):
            await app.says(step[0], operation_id)
        case ("leave",):
            socket.leave()
        case ("hang up" | "crash",):
            app.told.put_nowait(step[0])
        case ("broken message",):
            await socket.send_raw(text="{")
        case ("end",):
            for connection in guard.runtime.live:
                connection.end(SHUT_DOWN)
    for _ in range(4):
        await asyncio.sleep(0.03 if step == ("wait",) else 0)


async def play(steps: list[tuple[str, ...]], protocol: str) -> None:
    app = DrivenApp()
    guard = Guard(app, query_timeout=0.06, mutation_timeout=0.08, rate_limit_default="1000/second")
    socket = MemorySocket(guard, protocol)
    socket.accepted = await socket.next_message()
    await socket.init()
    for step in steps:
        await act(step, guard, app, socket)
    socket.leave()
    _, pending = await asyncio.wait([socket.task], timeout=5)
    assert not pending
    socket.task.exception()
    runtime = guard.runtime
    assert runtime.concurrency is not None
    assert runtime.concurrency.at_work == 0
    assert runtime.subscription_room.open_subscriptions == 0
    assert len(runtime.live) == 0
    assert runtime.budget.used == 0
    guard.flush()
    counted = counts(guard)
    assert counted["fraiseql_graphql_queries"] == counted["success"] + counted["errors"]
    assert counted["faults"] == 0
    assert counted["open"] == counted["subscriptions"] == 0
    assert counted["opened"] == counted["closed"] == 1
    await until(lambda: not [task for task in asyncio.all_tasks() if "sockets" in repr(task.get_coro())])
    await guard.aclose()


def counts(guard: Guard) -> dict[str, float]:
    guard.runtime.publish()
    page = samples_of(guard.recorder.metrics.render().decode())

    def total(name: str) -> float:
        return sum(each.value for each in page.get(name, ()))

    return {
        "fraiseql_graphql_queries": total("fraiseql_graphql_queries_total"),
        "success": total("fraiseql_graphql_queries_success"),
        "errors": total("fraiseql_graphql_queries_errors"),
        "faults": total("fraiseql_guard_faults_total"),
        "open": total("fraiseql_guard_sockets"),
        "subscriptions": total("fraiseql_guard_subscriptions"),
        "opened": total("fraiseql_guard_sockets_opened_total"),
        "closed": total("fraiseql_guard_sockets_closed_total"),
    }


@examples(60)
@given(STEPS, st.sampled_from([T, L]))
def test_everything_is_given_back_once(steps: Any, protocol: str) -> None:
    asyncio.run(play(steps, protocol))
