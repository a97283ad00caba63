"""``python -m tests.support.fraiseql_permissions``: a guarded FraiseQL app with a permission and a login.

Asked in its own process, because FraiseQL keeps one app a process; prints what callers and the operator see, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import fraiseql
import httpx
from fraiseql.auth.decorators import requires_permission
from fraiseql.fastapi import FraiseQLConfig, create_fraiseql_app
from graphql import GraphQLResolveInfo
from starlette.requests import Request

from examples.fraiseql_blog.database import running_database
from fraiseql_guard import Guard, logins
from fraiseql_guard.testing import make_token

SECRET = "a-secret-for-the-live-tests-of-32-bytes"


@fraiseql.query
@requires_permission("numbers:read")
async def secret_number(info: GraphQLResolveInfo) -> int:
    """For those who may."""
    return 1


@fraiseql.mutation
async def login(info: GraphQLResolveInfo, name: str) -> str:
    """A login that always fails."""
    reports = logins(info.context["request"])
    if lockout := await reports.locked(name):
        return f"locked for {lockout.retry_after_seconds}"
    await reports.failed(name)
    return "wrong"


async def with_request(request: Request) -> dict[str, Any]:
    """What resolvers need to report logins."""
    return {"request": request}


async def main() -> None:
    app = create_fraiseql_app(config=FraiseQLConfig(), types=[], context_getter=with_request)
    guard = Guard(app, jwt_secret=SECRET, auth_required=False)
    headers = {"authorization": f"Bearer {make_token(SECRET, sub='ada')}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://blog") as client,
    ):
        codes = []
        for more in ({}, headers):
            answer = (await client.post("/graphql", json={"query": "{secretNumber}"}, headers=more)).json()
            codes.append(answer["errors"][0]["extensions"]["code"])
        said = []
        for _ in range(6):
            answer = (await client.post("/graphql", json={"query": 'mutation{login(name:"al")}'})).json()
            said.append(answer["data"]["login"])
    exposition = guard.runtime.recorder.metrics.render().decode()
    print(json.dumps({"codes": codes, "said": said, "exposition": exposition}))


if __name__ == "__main__":
    with running_database() as url:
        os.environ["FRAISEQL_DATABASE_URL"] = url
        asyncio.run(main())
