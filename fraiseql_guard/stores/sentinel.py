"""Asks Sentinels which server is the master now (redis.io: Guidelines for Sentinel clients)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from fraiseql_guard.stores.address import Address
from fraiseql_guard.stores.connection import Channel, fixed
from fraiseql_guard.stores.protocol import StoreError

ANSWER_SECONDS: Final = 0.4
"""Sentinels that have not answered after this time have no say; less than an attempt to connect may take."""

Place = tuple[str, int]


async def find_master(sentinels: Sequence[Address], name: str) -> Place:
    """Host and port of the master that most of the Sentinels name.

    All are asked at once, and none is waited for once more than half of them agree: one that is dead or frozen costs
    nothing, and one that is cut off from the others is outvoted. StoreError if no Sentinel names a master.
    """
    channels = [Channel(fixed(sentinel)) for sentinel in sentinels]
    command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
    asked = {asyncio.ensure_future(channel.ask(command, timeout_seconds=ANSWER_SECONDS)) for channel in channels}
    votes: Counter[Place] = Counter()
    failures: list[StoreError] = []
    waiting = asked
    try:
        while waiting and max(votes.values(), default=0) * 2 <= len(sentinels):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for answer in done:
                _count(answer, votes, failures)
    finally:
        await asyncio.gather(*(channel.aclose() for channel in channels))
        await asyncio.gather(*asked, return_exceptions=True)
    if votes:
        return votes.most_common(1)[0][0]
    if failures:
        raise StoreError(failures[0].reason, f"no Sentinel answers: {failures[0].detail}")
    raise StoreError("connection", "the Sentinels know no master of this name")


def _count(answer: asyncio.Future[Any], votes: Counter[Place], failures: list[StoreError]) -> None:
    error = answer.exception()
    if isinstance(error, StoreError):
        failures.append(error)
    elif error is not None:
        raise error
    elif (found := answer.result()) is not None:
        votes[found[0].decode(), int(found[1])] += 1
