"""One schema for the apps whose sockets are tested, its resolvers, and what a test may ask about them afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from fraiseql_guard import guard_deadline, guard_request_id

SDL: Final = """
type Query {
  me: User!
  slow(seconds: Float!): Float!
}

type User {
  id: String!
  deadline: Float
  requestId: String
  friend: User!
}

type Mutation {
  note(text: String!): Int!
}

type Subscription {
  count(to: Int!, pause: Float! = 0.0): Int!
  ticks(interval: Float!): Int!
  silent: Int!
  big(kilobytes: Int!): String!
  failing(after: Int!): Int!
  whoami(interval: Float!): String!
}
"""
ANONYMOUS: Final = "anonymous"


class Observed:
    """How many resolvers and generators of each name have begun, have ended, and were cancelled, and all notes."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.notes: list[str] = []

    @contextmanager
    def at_work(self, name: str) -> Iterator[None]:
        """Count one piece of work from its begin to its end, however it ends."""
        self.begun[name] += 1
        try:
            yield
        except asyncio.CancelledError:
            self.cancelled[name] += 1
            raise
        finally:
            self.ended[name] += 1

    def told(self) -> dict[str, Any]:
        """All of it as JSON."""
        counts = {"begun": self.begun, "ended": self.ended, "cancelled": self.cancelled}
        return {**{name: dict(counter) for name, counter in counts.items()}, "notes": self.notes}


def me(scope: Any) -> dict[str, Any]:
    """The caller of a request or a socket, and what the guard tells the app about it."""
    user = user_of(scope)
    return {"id": user, "deadline": guard_deadline(scope), "request_id": guard_request_id(scope)}


def user_of(scope: Mapping[str, Any]) -> str:
    """The name of the verified user."""
    user = scope.get("user")
    return user.display_name if user is not None and user.is_authenticated else ANONYMOUS


async def slow(observed: Observed, seconds: float) -> float:
    """Return after some time."""
    with observed.at_work("slow"):
        await asyncio.sleep(seconds)
    return seconds


def note(observed: Observed, text: str) -> int:
    """Keep a text; how many there are."""
    observed.notes.append(text)
    return len(observed.notes)


async def count(observed: Observed, to: int, pause: float) -> AsyncIterator[int]:
    """The numbers from 1 to ``to``."""
    with observed.at_work("count"):
        for number in range(1, to + 1):
            if pause:
                await asyncio.sleep(pause)
            yield number


async def ticks(observed: Observed, interval: float) -> AsyncIterator[int]:
    """Numbers for ever, the first at once."""
    with observed.at_work("ticks"):
        number = 0
        while True:
            number += 1
            yield number
            await asyncio.sleep(interval)


async def silent(observed: Observed) -> AsyncIterator[int]:
    """Nothing, for ever."""
    with observed.at_work("silent"):
        await asyncio.Event().wait()
        yield 0


async def big(observed: Observed, kilobytes: int) -> AsyncIterator[str]:
    """Texts of that size for ever, as fast as they are taken."""
    with observed.at_work("big"):
        text = "x" * (kilobytes * 1024)
        while True:
            yield text
            await asyncio.sleep(0)


async def failing(observed: Observed, after: int) -> AsyncIterator[int]:
    """Some numbers, and then an error."""
    with observed.at_work("failing"):
        for number in range(1, after + 1):
            yield number
        raise ValueError("the stream broke")


async def whoami(observed: Observed, scope: Any, interval: float) -> AsyncIterator[str]:
    """The name of the user for ever."""
    with observed.at_work("whoami"):
        while True:
            yield user_of(scope)
            await asyncio.sleep(interval)
