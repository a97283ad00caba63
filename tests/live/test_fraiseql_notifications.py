"""The subscriptions of the FraiseQL example: what PostgreSQL notifies reaches its subscribers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import md5
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.processes import FRAISEQL, Server, needs_fraiseql
from tests.support.socket_client import L, RawSocket, T, connected
from tests.support.sse_client import streamed
from tests.support.waiting import until

pytestmark = needs_fraiseql

LISTENS = "SELECT pid FROM pg_stat_activity WHERE query ILIKE 'LISTEN%'"
WORKS = """
SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()
"""
CREATE = (
    "mutation($input: CreatePostInput!) { createPost(input: $input) { ... on CreatePostSuccess { post { title } } } }"
)
AUTHOR, OTHER = (str(UUID(md5(name, usedforsecurity=False).hexdigest())) for name in (b"user-1", b"user-2"))


class Blog:
    """The served example and its database."""

    def __init__(self, server: Server) -> None:
        import psycopg

        self.server = server
        self.database = psycopg.connect(server.database_url or "", autocommit=True)

    @property
    def ws(self) -> str:
        return self.server.url.replace("http", "ws", 1) + "/graphql"

    def write(self, title: str, author: str = AUTHOR) -> None:
        statement = "INSERT INTO tb_post (author_id, title, body) VALUES (%s, %s, '')"
        self.database.execute(statement, (author, title))

    def works_on(self, name: str) -> bool:
        """Whether PostgreSQL executes a statement with this name in it."""
        return self.database.execute(WORKS, (f"%{name}%",)).fetchone() is not None

    def titles(self) -> set[str]:
        return {title for (title,) in self.database.execute("SELECT title FROM tb_post").fetchall()}


@pytest.fixture(scope="module")
def blog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blog]:
    with Server(FRAISEQL, tmp_path_factory.mktemp("blog"), {}, bare=True) as server:
        made = Blog(server)
        yield made
        made.database.close()


async def subscribed(socket: RawSocket, blog: Blog, document: str = "subscription { newPosts { title } }") -> None:
    """Begin ``document``, and wait until it is there: until a post that it is told of has come."""
    await socket.subscribe("posts", document)
    while True:
        blog.write("first")
        try:
            await socket.receive(0.2)
        except TimeoutError:
            continue
        return


async def title(socket: RawSocket) -> Any:
    """Of the next post, past those with which the test found out that it is subscribed."""
    while True:
        message = await socket.receive()
        (post,) = message["payload"]["data"].values()
        if message["id"] == "posts" and post["title"] != "first":
            return post["title"]


@pytest.mark.parametrize("protocol", [T, L])
async def test_posts_are_told_as_they_are_stored(blog: Blog, protocol: str) -> None:
    async with connected(blog.ws, protocols=(protocol,)) as socket, connected(blog.ws) as writer:
        await socket.init()
        await writer.init()
        await subscribed(socket, blog, "subscription { told: newPosts { title author { name } } }")
        for name in ("one", "two", "three"):
            await writer.ask(CREATE, variables={"input": {"authorId": AUTHOR, "title": name, "body": "Text."}})
        assert [await title(socket) for _ in range(3)] == ["one", "two", "three"]
        blog.write("with its author")
        message = await socket.receive()
        told = {name: value for name, value in message["payload"]["data"]["told"].items() if name != "__typename"}
        assert (told["title"], told["author"]["name"]) == ("with its author", "User 1")
        await socket.complete("posts")
        # Its connection goes back to the pool each time: nothing but the one that listens is held.
        assert len(blog.database.execute(LISTENS).fetchall()) == 1


async def test_posts_are_streamed_as_events(blog: Blog) -> None:
    async with streamed(f"{blog.server.url}/graphql", "subscription { newPosts { title } }") as stream:
        found: list[str] = []
        number = 0
        while len(found) < 3:
            number += 1
            blog.write(f"event {number}")
            try:
                event = await stream.next(0.2)
            except TimeoutError:
                continue
            found.append(event.json["data"]["newPosts"]["title"])
        assert found == sorted(found, key=lambda each: int(each.split()[1]))


async def test_arguments_choose_what_is_told(blog: Blog) -> None:
    async with connected(blog.ws) as socket:
        await socket.init()
        variables = {"author": AUTHOR}
        await socket.subscribe("all", "subscription { newPosts { title } }")
        await subscribed(socket, blog)
        await socket.complete("all")
        await socket.subscribe("posts2", "subscription($author: UUID) { newPosts(authorId: $author) { title } }",
                               variables=variables)  # fmt: skip
        await socket.complete("posts")
        while True:  # until the second one is there
            blog.write("mine")
            try:
                if (await socket.receive(0.2))["id"] == "posts2":
                    break
            except TimeoutError:
                continue
        blog.write("not mine", OTHER)
        blog.write("the last")
        told = []
        while "the last" not in told:
            message = await socket.receive()
            if message["id"] == "posts2":
                told.append(message["payload"]["data"]["newPosts"]["title"])
        assert set(told) <= {"mine", "the last"}


async def test_comments_on_a_post_are_told(blog: Blog) -> None:
    (post,) = blog.database.execute("SELECT id FROM tb_post LIMIT 1").fetchone()
    statement = "INSERT INTO tb_comment (id, post_id, author_id, body) VALUES (%s, %s, %s, %s)"
    async with streamed(
        f"{blog.server.url}/graphql", "subscription($post: UUID!) { newComments(postId: $post) { body } }",
        variables={"post": str(post)},
    ) as stream:  # fmt: skip
        event = None
        while event is None:
            blog.database.execute(statement, (uuid4(), post, AUTHOR, "Well said."))
            try:
                event = await stream.next(0.2)
            except TimeoutError:
                continue
        assert event.json["data"]["newComments"]["body"] == "Well said."


async def test_after_a_lost_connection_it_listens_again(blog: Blog) -> None:
    async with connected(blog.ws) as socket:
        await socket.init()
        await subscribed(socket, blog)
        ((pid,),) = blog.database.execute(LISTENS).fetchall()
        blog.database.execute("SELECT pg_terminate_backend(%s)", (pid,))

        def listens_anew() -> bool:
            return bool({found for (found,) in blog.database.execute(LISTENS).fetchall()} - {pid})

        await until(listens_anew)
        found = None
        while found is None:  # until the last LISTEN has been executed
            blog.write("after the loss")
            found = await asyncio.wait_for(title(socket), 30)
        assert found == "after the loss"


async def test_a_mutation_is_done_although_its_client_leaves(blog: Blog) -> None:
    async with connected(blog.ws) as socket:
        await socket.init()
        wanted = {"authorId": AUTHOR, "title": "left alone", "body": "Text.", "delaySeconds": 0.5}
        await socket.subscribe("1", CREATE, variables={"input": wanted})
        await until(lambda: blog.works_on("create_post"))
        socket.abort()
    await until(lambda: "left alone" in blog.titles())


async def test_a_query_is_stopped_in_postgresql_when_its_client_ends_it(blog: Blog) -> None:
    async with connected(blog.ws) as socket:
        await socket.init()
        await socket.subscribe("1", "{ report(seconds: 60) { users } }")
        await until(lambda: blog.works_on("pg_sleep"))
        await socket.complete("1")
        await until(lambda: not blog.works_on("pg_sleep"))
        assert (await socket.ask("{ users(limit: 1) { id } }", number="2"))[0]["data"]


async def test_a_subscriber_that_takes_nothing_is_ended(blog: Blog) -> None:
    from examples.fraiseql_blog.notifications import FellBehindError, Notifications

    notifications = Notifications(blog.server.database_url or "", ["new_post"], queue_length=3)
    async with notifications.running():
        with notifications.subscribed("new_post") as slow, notifications.subscribed("new_post") as quick:
            for number in range(5):
                blog.write(f"post {number}")
                await asyncio.wait_for(anext(quick), 30)
            assert [await anext(slow) for _ in range(3)]
            with pytest.raises(FellBehindError):
                await anext(slow)


async def test_without_a_database_it_does_not_start() -> None:
    import psycopg

    from examples.fraiseql_blog.notifications import Notifications

    with pytest.raises(psycopg.OperationalError):
        async with Notifications("postgresql://x@127.0.0.1:1/x", ["new_post"]).running():
            raise AssertionError
