"""The FraiseQL application without the guard.

FraiseQL keeps its pool, configuration and schema registry in module globals: one application a process, made when
this module is imported. The database is the one in FRAISEQL_DATABASE_URL (``serve`` starts one and sets it).
"""

# FraiseQL evaluates the annotations of types and resolvers, so they are not postponed here.

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import fraiseql
from fastapi import FastAPI
from fraiseql.db import DatabaseQuery
from fraiseql.fastapi import FraiseQLConfig, create_fraiseql_app
from graphql import GraphQLResolveInfo, GraphQLSchema
from psycopg.sql import SQL


@fraiseql.type
class Author:
    """Who wrote a post, and who invited them. A type of its own: FraiseQL refuses types that name each other."""

    id: UUID
    name: str
    invited_by: "Author | None"


@fraiseql.type(sql_source="v_comment")
class Comment:
    """A comment with its replies, which have replies."""

    id: UUID
    body: str
    replies: list["Comment"]


@fraiseql.type(sql_source="v_post")
class Post:
    """A post with its author and comments, read as one JSONB document."""

    id: UUID
    title: str
    body: str
    author: Author
    comments: list[Comment]


@fraiseql.type(sql_source="v_user")
class User:
    """A user with all their posts."""

    id: UUID
    name: str
    email: str
    posts: list[Post]


@fraiseql.type(sql_source="v_slow_post")
class SlowPost:
    """A post from the view that takes a second a row."""

    id: UUID
    title: str
    waited: bool


@fraiseql.type
class Report:
    """Counts from a statement of our own."""

    users: int
    posts: int


@fraiseql.type
class Viewer:
    """Who is asking, as FraiseQL was told."""

    user_id: str
    roles: list[str]
    permissions: list[str]


@fraiseql.query
async def viewer(info: GraphQLResolveInfo) -> Viewer | None:
    """The verified user; null for anonymous callers."""
    user = info.context["user"]
    return user and Viewer(user_id=user.user_id, roles=user.roles, permissions=user.permissions)


@fraiseql.query
async def users(info: GraphQLResolveInfo, limit: int = 20, offset: int = 0) -> list[User]:
    """Users (the find path: PostgreSQL makes the JSON, Python does not touch it)."""
    return await info.context["db"].find("v_user", limit=limit, offset=offset)


@fraiseql.query
async def user(info: GraphQLResolveInfo, id: UUID) -> User | None:
    """One user."""
    return await info.context["db"].find_one("v_user", id=id)


@fraiseql.query
async def posts(info: GraphQLResolveInfo, limit: int = 20, offset: int = 0) -> list[Post]:
    """Posts with their authors and comments."""
    return await info.context["db"].find("v_post", limit=limit, offset=offset)


@fraiseql.query
async def slow_posts(info: GraphQLResolveInfo, limit: int = 5) -> list[SlowPost]:
    """Posts from a slow view, on the path (find) that FraiseQL's own query timeout does not cover."""
    return await info.context["db"].find("v_slow_post", limit=limit)


@fraiseql.query
async def report(info: GraphQLResolveInfo, seconds: float = 0.0) -> Report:
    """A slow statement on the path (run) that FraiseQL's own query timeout covers."""
    statement = DatabaseQuery(
        statement=SQL(
            "SELECT (SELECT count(*) FROM tb_user) AS users, (SELECT count(*) FROM tb_post) AS posts,"
            " pg_sleep(%(seconds)s)"
        ),
        params={"seconds": seconds},
    )
    (row,) = await info.context["db"].run(statement)
    return Report(users=row["users"], posts=row["posts"])


@fraiseql.input
class CreatePostInput:
    """A new post. ``delay_seconds`` makes the function wait first, as a lock would."""

    author_id: UUID
    title: str
    body: str
    delay_seconds: float | None = None


@fraiseql.success
class CreatePostSuccess:
    """The post as it was stored."""

    post: Post


@fraiseql.error
class CreatePostError:
    """Why there is no post."""


@fraiseql.mutation(function="create_post", schema="public")
class CreatePost:
    """Store a post."""

    input: CreatePostInput
    success: CreatePostSuccess
    error: CreatePostError


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Nothing of ours; with a lifespan FraiseQL opens a new pool at each start, without one it reuses a closed pool."""
    yield


bare_app: FastAPI = create_fraiseql_app(
    config=FraiseQLConfig(),  # FRAISEQL_DATABASE_URL, FRAISEQL_QUERY_TIMEOUT, ...
    types=[Author, Comment, Post, User, SlowPost, Report, Viewer],  # queries and mutations registered themselves
    lifespan=lifespan,
)

schema: GraphQLSchema = bare_app.state.graphql_schema
