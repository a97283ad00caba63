"""Who asks: some users as on any day, and the attack. Both go on until the drill ends."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

import httpx
import psycopg
from websockets.exceptions import WebSocketException

from examples.drills.definitions import Attack
from examples.drills.office import initialized, opened
from examples.drills.scene import Scene
from fraiseql_guard.core.fraiseql_variables import DATABASE_VARIABLE
from fraiseql_guard.testing import make_token

USERS: Final = 4
USER_PAUSE_SECONDS: Final = 0.6
_DOCUMENTS: Final = ("{ users(limit: 3) { name } }", "{ posts(limit: 2) { title author { name } } }")
_PATIENCE_SECONDS: Final = 10.0
_FORGERS_KEY: Final = "this key is not the one that the app verifies with"


@dataclass(slots=True)
class Goodput:
    """What became of the requests of ordinary users."""

    sent: int = 0
    served: int = 0
    first_failure: str = ""

    @property
    def ratio(self) -> float:
        """Served part; 1 is all."""
        return self.served / self.sent if self.sent else 1.0


class Crowd:
    """Callers on both sides, each request at the next instance, as a load balancer would send it."""

    def __init__(self, scene: Scene, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._scene = scene
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self._turns = itertools.count()
        self.goodput = Goodput()
        self.attacked_at: float | None = None
        """When the first request of the attack was sent."""

    async def __aenter__(self) -> Self:
        limits = httpx.Limits(max_connections=100)
        self._client = httpx.AsyncClient(timeout=_PATIENCE_SECONDS, trust_env=False, limits=limits)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def begin_ordinary(self) -> None:
        """A few users, each at an address of their own."""
        for number in range(USERS):
            token = make_token(self._scene.secret, sub=f"user-{number}")
            self._tasks.append(asyncio.create_task(self._live(f"198.51.100.{number + 1}", token)))

    def count_from_now(self) -> None:
        """The warm-up does not count."""
        self.goodput = Goodput()

    def begin(self, attack: Attack) -> None:
        """The attack, from as many callers as it has."""
        numbers: Iterator[int] = itertools.count() if attack.times is None else iter(range(attack.times))
        if attack.statement:
            self._tasks.append(asyncio.create_task(self._run_in_database(attack.statement)))
        for caller in range(attack.callers):
            address = attack.address.replace("{n}", str(caller + 20))
            if attack.user is None:
                token = make_token(_FORGERS_KEY, sub="root")
            else:
                token = make_token(self._scene.secret, sub=attack.user.replace("{n}", str(caller)))
            self._tasks.append(asyncio.create_task(self._attack(attack, numbers, address, token)))

    async def _run_in_database(self, statement: str) -> None:
        """What a colleague has begun in the app's own database, with the app's own account."""
        url = self._scene.environment[DATABASE_VARIABLE]
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            with suppress(psycopg.errors.QueryCanceled):
                await connection.execute(statement.encode())

    async def _live(self, address: str, token: str) -> None:
        for document in itertools.cycle(_DOCUMENTS):
            goodput = self.goodput
            problem = await self._problem(document, address, token)
            goodput.sent += 1
            goodput.served += not problem
            goodput.first_failure = goodput.first_failure or problem
            await asyncio.sleep(USER_PAUSE_SECONDS)

    async def _problem(self, document: str, address: str, token: str) -> str:
        """Why a request was not served; empty if it was."""
        try:
            answer = await self._send(document, address, token)
        except httpx.HTTPError as error:
            return repr(error)
        if answer.is_success and not answer.json().get("errors"):
            return ""
        return f"{answer.status_code} {answer.text[:200]}"

    async def _attack(self, attack: Attack, numbers: Iterator[int], address: str, token: str) -> None:
        for number in numbers:
            if self.attacked_at is None:
                self.attacked_at = self._clock()
            # Each instance in turn gets each document once.
            document = attack.document.replace("{n}", str(number // len(self._scene.instances)))
            if attack.sockets:
                self._tasks.append(asyncio.create_task(self._hold_socket(address, token, turn=number)))
            else:
                with suppress(httpx.HTTPError):
                    await self._send(document, address, token, turn=number)
            await asyncio.sleep(attack.pause_seconds)

    async def _hold_socket(self, address: str, token: str, turn: int) -> None:
        """Open a socket, and hold it for as long as the server lets it live."""
        instances = self._scene.instances
        with suppress(OSError, WebSocketException, TimeoutError):
            async with opened(instances[turn % len(instances)].url, address) as socket:
                await initialized(socket, token)
                await socket.wait_closed()

    async def _send(self, document: str, address: str, token: str, turn: int | None = None) -> httpx.Response:
        instances = self._scene.instances
        url = instances[(next(self._turns) if turn is None else turn) % len(instances)].url
        headers = {"X-Forwarded-For": address, "Authorization": f"Bearer {token}"}
        return await self._client.post(f"{url}/graphql", json={"query": document}, headers=headers)
