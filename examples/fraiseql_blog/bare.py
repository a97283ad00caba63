"""The FraiseQL application without the guard.

FraiseQL keeps its pool, configuration and schema registry in module globals: one application a process, made when
this module is imported. The database is the one in FRAISEQL_DATABASE_URL (``serve`` starts one and sets it).
"""

# FraiseQL evaluates the annotations of types and resolvers, so they are not postponed here.

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import fraiseql
from fastapi import FastAPI
from fraiseql.db import DatabaseQuery
from fraiseql.fastapi import FraiseQLConfig, create_fraiseql_app
from graphql import GraphQLResolveInfo, GraphQLSchema
from psycopg.sql import SQL

from examples.fraiseql_blog.notifications import Notifications
from fraiseql_guard.fraiseql import subscriptions

config = FraiseQLConfig()  # FRAISEQL_DATABASE_URL, FRAISEQL_QUERY_TIMEOUT, ...
notifications = Notifications(str(config.database_url), ["new_post", "new_comment"])


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


@fraiseql.subscription
async def new_posts(info: GraphQLResolveInfo, author_id: UUID | None = None) -> AsyncGenerator[Post, None]:
    """Posts as they are stored: those of one author, or all."""
    author = {} if author_id is None else {"author_id": author_id}
    with notifications.subscribed("new_post") as stored:
        async for post_id in stored:
            # PostgreSQL makes the answer, as for a query: under the field's name or alias, with the selected fields.
            post = await info.context["db"].find_one("v_post", info.path.key, info, id=UUID(post_id), **author)
            if post is not None:
                yield post


@fraiseql.subscription
async def new_comments(info: GraphQLResolveInfo, post_id: UUID) -> AsyncGenerator[Comment, None]:
    """Comments on a post as they are stored."""
    with notifications.subscribed("new_comment") as stored:
        async for comment_id in stored:
            wanted = {"id": UUID(comment_id), "post_id": post_id}
            comment = await info.context["db"].find_one("v_comment", info.path.key, info, **wanted)
            if comment is not None:
                yield comment


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Listens to PostgreSQL; with a lifespan FraiseQL opens a new pool at each start, else it reuses a closed pool."""
    async with notifications.running():
        yield


bare_app: FastAPI = subscriptions(
    create_fraiseql_app(
        config=config,
        types=[Author, Comment, Post, User, SlowPost, Report, Viewer],  # the rest has registered itself
        lifespan=lifespan,
    )
)

schema: GraphQLSchema = bare_app.state.graphql_schema
