"""One task beside the requests, in whichever event loop is alive."""

import asyncio

from fraiseql_guard.telemetry.process.periodic_task import PeriodicTask
from tests.support.waiting import until


async def test_it_works_at_once_and_again_until_it_is_closed() -> None:
    times: list[str] = []
    ticker = PeriodicTask(interval_seconds=0.01)
    ticker.ensure_running(lambda: times.append("old"))
    ticker.ensure_running(lambda: times.append("new"))  # a stack was rebuilt: the task stays, its work changes
    await until(lambda: len(times) > 1)
    await ticker.aclose()
    count = len(times)
    assert set(times) == {"new"}
    await asyncio.sleep(0.05)
    assert len(times) == count


def test_another_event_loop_gets_a_task_of_its_own() -> None:
    times: list[int] = []
    ticker = PeriodicTask()

    async def once() -> None:
        ticker.ensure_running(lambda: times.append(1))
        await asyncio.sleep(0)

    for _ in range(3):
        asyncio.run(once())
    assert len(times) == 3
