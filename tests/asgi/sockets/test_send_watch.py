"""Sends that take too long, of several sockets that share one timer."""

from __future__ import annotations

import asyncio

from fraiseql_guard.asgi.sockets.send_watch import SendWatch


class Slow:
    """A socket whose client takes nothing; ``refusals``: how often its end is not enforced."""

    send_seconds = 0.01

    def __init__(self, *, refusals: int = 0) -> None:
        self._refusals = refusals
        self.asked = 0
        self.ended = asyncio.Event()

    def end_slow(self) -> bool:
        self.asked += 1
        if self.asked <= self._refusals:
            return False
        self.ended.set()
        return True


async def test_each_socket_whose_send_takes_too_long_is_ended_once() -> None:
    watch = SendWatch(asyncio.get_running_loop())
    sockets = [Slow(), Slow(), Slow()]
    for each in sockets:
        watch.begin(each)
    for each in sockets:
        await each.ended.wait()
    last = Slow()
    watch.begin(last)
    await last.ended.wait()
    assert [each.asked for each in (*sockets, last)] == [1, 1, 1, 1]


async def test_a_send_that_is_done_ends_nothing() -> None:
    watch = SendWatch(asyncio.get_running_loop())
    quick, slow = Slow(), Slow()
    watch.end(watch.begin(quick))
    watch.begin(slow)
    await slow.ended.wait()
    assert quick.asked == 0


async def test_a_socket_that_was_only_noted_is_ended_once_that_is_enforced() -> None:
    watch = SendWatch(asyncio.get_running_loop())
    noted = Slow(refusals=2)
    watch.begin(noted)
    await noted.ended.wait()
    assert noted.asked == 3
