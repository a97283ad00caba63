"""FraiseQL on PostgreSQL: ``uvicorn --no-proxy-headers main:app``."""

import os

import fraiseql
from fraiseql.fastapi import create_fraiseql_app
from graphql import GraphQLResolveInfo

from fraiseql_guard.fraiseql import protect


@fraiseql.type(sql_source="v_comment")
class Comment:
    """A comment with its replies, which have replies."""

    body: str
    replies: list["Comment"]


@fraiseql.query
async def whoami(info: GraphQLResolveInfo) -> str:
    """Who is asking."""
    user = info.context["user"]
    return user.user_id if user else "anonymous"


@fraiseql.query
async def comments(info: GraphQLResolveInfo, limit: int = 50) -> list[Comment]:
    """Comments, which PostgreSQL makes the JSON of."""
    return await info.context["db"].find("v_comment", limit=limit)


app = protect(
    create_fraiseql_app(
        database_url=os.environ["FRAISEQL_DATABASE_URL"],
        types=[Comment],
        queries=[whoami, comments],
    )
)
