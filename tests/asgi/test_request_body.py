"""One reader of receive for the app and the watcher alike."""

import asyncio

from fraiseql_guard.asgi.body_budget import BufferBudget
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.core.deadline_timers import DeadlineTimers
from fraiseql_guard.core.loop_task import PerLoop


def make(receive, *, buffer_bytes: int = 1000, max_bytes: int | None = None, limit: int = 10_000) -> RequestBody:
    return RequestBody(
        receive, buffer_bytes=buffer_bytes, max_bytes=max_bytes, idle_seconds=30, budget=BufferBudget(limit),
        timers=PerLoop(DeadlineTimers), on_excess=lambda denial: None,
    )  # fmt: skip


class Once:
    """A server that says http.disconnect to exactly one reader, and never again."""

    def __init__(self) -> None:
        self.said = False
        self.gone = asyncio.Event()
        self.body_sent = False

    async def __call__(self):
        if not self.body_sent:
            self.body_sent = True
            return {"type": "http.request", "body": b"x", "more_body": False}
        assert not self.said, "a second reader"
        await self.gone.wait()
        self.said = True
        return {"type": "http.disconnect"}


async def test_the_disconnect_is_shown_to_everyone_who_asks() -> None:
    server = Once()
    body = make(server)
    assert await body.read_body() == b"x"
    assert (await body())["body"] == b"x"
    waiting = [asyncio.ensure_future(body()) for _ in range(3)]
    await asyncio.sleep(0)
    server.gone.set()
    assert {message["type"] for message in await asyncio.gather(*waiting)} == {"http.disconnect"}
    assert (await body())["type"] == "http.disconnect"


async def test_the_disconnect_is_not_lost_when_nobody_waits_for_it_any_more() -> None:
    server = Once()
    body = make(server)
    await body.read_body()
    await body()
    impatient = asyncio.ensure_future(body())  # as request.is_disconnected() does
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    server.gone.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert body.disconnected
    assert (await body())["type"] == "http.disconnect"


async def test_memory_is_given_back_once() -> None:
    budget = BufferBudget(100)
    body = RequestBody(
        Once(), buffer_bytes=10, max_bytes=None, idle_seconds=1, budget=budget, timers=PerLoop(DeadlineTimers),
        on_excess=lambda denial: None,
    )  # fmt: skip
    await body.read_body()
    assert budget.used == 1
    body.close()
    body.close()
    assert budget.used == 0
