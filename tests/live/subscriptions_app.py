"""A FraiseQL app with subscriptions that tell what becomes of them, and with an auth provider or a guard.

Each function makes it in another way. FraiseQL keeps its schema in module globals: one app a process.
"""

# FraiseQL evaluates the annotations of types and resolvers, so they are not postponed here.

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import fraiseql
from fastapi import FastAPI
from fraiseql.auth.base import AuthProvider, UserContext
from fraiseql.db import DatabaseQuery
from fraiseql.fastapi import FraiseQLConfig, create_fraiseql_app
from fraiseql.fastapi.dependencies import get_db
from graphql import GraphQLError
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier

from fraiseql_guard import Guard, guard_deadline, guard_request_id
from fraiseql_guard.fraiseql import protect, subscriptions
from tests.support.socket_schema import Observed

observed = Observed()
mark: ContextVar[str] = ContextVar("mark", default="")


@fraiseql.type
class Caller:
    """What a resolver is told about the one who asks."""

    user_id: str | None
    tenant: str
    request_id: str | None
    deadline: float | None
    marks: list[str]


@fraiseql.type
class Sample:
    """Values that JSON has no words for."""

    id: UUID
    at: datetime
    name: str | None


def caller(context: Any) -> Caller:
    user, scope = context["user"], context["request_scope"]
    return Caller(
        user_id=user and user.user_id, tenant=context["tenant"], request_id=guard_request_id(scope),
        deadline=guard_deadline(scope), marks=[mark.get(), scope.get("mark", "")],
    )  # fmt: skip


@fraiseql.query
async def who(info: Any) -> Caller:
    return caller(info.context)


@fraiseql.query
async def wait(info: Any, seconds: float) -> Caller:
    with observed.at_work("wait"):
        await asyncio.sleep(seconds)
    return caller(info.context)


@fraiseql.subscription
async def who_is_it(info: Any) -> AsyncGenerator[Caller, None]:
    yield caller(info.context)


@fraiseql.subscription
async def count(info: Any, to: int, pause_seconds: float = 0.0) -> AsyncGenerator[int, None]:
    with observed.at_work("count"):
        for number in range(1, to + 1):
            await asyncio.sleep(pause_seconds)
            yield number


@fraiseql.subscription
async def silent(info: Any) -> AsyncGenerator[int, None]:
    with observed.at_work("silent"):
        await asyncio.Event().wait()
        yield 0


@fraiseql.subscription
async def flood(info: Any) -> AsyncGenerator[str, None]:
    with observed.at_work("flood"):
        while True:
            yield "x" * 65_536


@fraiseql.subscription
async def slow_to_close(info: Any) -> AsyncGenerator[int, None]:
    try:
        yield 1
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)
        observed.ended["slow_to_close"] += 1


@fraiseql.subscription
async def failing(info: Any, after: int) -> AsyncGenerator[int, None]:
    for number in range(1, after + 1):
        yield number
    raise ValueError("the stream broke")


@fraiseql.subscription
async def refusing(info: Any) -> AsyncGenerator[int, None]:
    raise GraphQLError("not for you", extensions={"code": "FORBIDDEN", "rule": object})
    yield 0


@fraiseql.subscription
async def samples(info: Any, id_: UUID) -> AsyncGenerator[Sample, None]:
    yield Sample(id=id_, at=datetime(2026, 1, 1, tzinfo=UTC), name=None)


@fraiseql.subscription
async def rows(info: Any) -> AsyncGenerator[int, None]:
    statement = DatabaseQuery(statement=SQL("SELECT 7 AS n"), params={})
    (row,) = await info.context["db"].run(statement)
    yield row["n"]


@fraiseql.query
async def sleep(info: Any, seconds: float) -> Caller:
    """Have PostgreSQL work for so long."""
    statement = DatabaseQuery(statement=SQL("SELECT pg_sleep(%(seconds)s)"), params={"seconds": seconds})
    with observed.at_work("sleep"):
        await info.context["db"].run(statement)
    return caller(info.context)


@fraiseql.subscription
async def heard(info: Any, channel: str) -> AsyncGenerator[str, None]:
    """What PostgreSQL is notified of, behind a first event that says that it is listened to."""
    url = os.environ["FRAISEQL_DATABASE_URL"]
    with observed.at_work("heard"):
        async with await AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
            yield "listening"
            async for notification in connection.notifies():
                yield notification.payload


class Tokens(AuthProvider):
    """Takes a token for the name of its user."""

    async def validate_token(self, token: str) -> dict[str, Any]:
        return {"sub": token}

    async def get_user_from_token(self, token: str) -> UserContext:
        return UserContext(user_id=token)


async def own_context(request: Any) -> dict[str, Any]:
    return {"tenant": request.headers.get("x-tenant", "none"), "request_scope": request.scope}


@asynccontextmanager
async def lifespan(_app: FastAPI):
    yield


def host(**options: Any) -> FastAPI:
    app = create_fraiseql_app(
        config=FraiseQLConfig(), types=[Caller, Sample], context_getter=own_context, lifespan=lifespan, **options
    )

    @app.get("/probe")
    async def probe() -> dict[str, Any]:
        return {**observed.told(), "tasks": len(asyncio.all_tasks())}

    return app


def bare() -> Any:
    return subscriptions(host())


def impatient() -> Any:
    return subscriptions(host(), init_seconds=0.3)


class Marking:
    """Marks each message with its number, in the context of the task that receives it and in the scope."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        numbers = iter(range(1000))

        async def marking() -> Any:
            message = await receive()
            if message["type"] == "websocket.receive":
                scope["mark"] = str(next(numbers))
                mark.set(scope["mark"])
            return message

        await self.app(scope, marking, send)


def marked() -> Any:
    return Marking(bare())


def with_provider() -> Any:
    """Its callers have to be authenticated; the dependency that opens the database is closed at an operation's end."""
    app = host(auth=Tokens())

    async def database():
        with observed.at_work("database"):
            yield await get_db()

    app.dependency_overrides[get_db] = database
    return subscriptions(app)


def mounted_then_protected() -> Any:
    return protect(subscriptions(host()))


def protected_then_mounted() -> Any:
    return subscriptions(protect(host()))


def guard_added_later() -> Any:
    app = subscriptions(host())
    app.add_middleware(Guard)
    return app
