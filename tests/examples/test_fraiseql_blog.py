"""The FraiseQL example without the guard: what the host does by itself, on a real PostgreSQL."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.processes import FRAISEQL, Server, needs_fraiseql

pytestmark = needs_fraiseql

USER = str(UUID(hashlib.md5(b"user-1", usedforsecurity=False).hexdigest()))
CREATE = """mutation($input: CreatePostInput!) { createPost(input: $input) {
    __typename ... on CreatePostSuccess { post { id title author { name } } }
    ... on CreatePostError { status code message } } }"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fraiseql")
    with Server(FRAISEQL, folder, {"FRAISEQL_QUERY_TIMEOUT": "1"}, bare=True) as server:
        yield server


def data_of(answer: httpx.Response) -> Any:
    assert answer.status_code == 200
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]


def statements_on(server: Server, relation: str) -> int:
    import psycopg

    with psycopg.connect(server.database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE state = 'active' AND pid <> pg_backend_pid() AND strpos(query, %s) > 0",
            [relation],
        ).fetchone()
        return row[0]


def test_lists_follow_their_limit_on_the_find_path(server: Server) -> None:
    users = data_of(server.post("{ users(limit: 2) { name posts { title comments { body } } } }"))["users"]
    assert len(users) == 2
    assert all(post["comments"] for user in users for post in user["posts"])


def test_variables_decide_the_limit(server: Server) -> None:
    query = "query($n: Int, $o: Int) { posts(limit: $n, offset: $o) { title } }"
    titles = [data_of(server.post(query, {"n": 3, "o": offset}))["posts"] for offset in (0, 3)]
    assert [len(page) for page in titles] == [3, 3]
    assert titles[0] != titles[1]


def test_a_user_is_found_by_id_or_is_null(server: Server) -> None:
    query = "query($id: UUID!) { user(id: $id) { name } }"
    assert data_of(server.post(query, {"id": USER}))["user"]["name"] == "User 1"
    assert data_of(server.post(query, {"id": str(UUID(int=0))}))["user"] is None


def test_self_references_nest(server: Server) -> None:
    query = "{ posts(limit: 1, offset: 150) { author { name invitedBy { name } } comments { replies { body } } } }"
    (post,) = data_of(server.post(query))["posts"]
    assert post["author"]["invitedBy"]["name"] == "User 15"
    assert all(comment["replies"] for comment in post["comments"])


def test_the_run_path_answers(server: Server) -> None:
    assert data_of(server.post("{ report { users posts } }"))["report"]["users"] == 40


def test_the_mutation_stores_a_post(server: Server) -> None:
    created = data_of(server.post(CREATE, {"input": {"authorId": USER, "title": "New", "body": "Text"}}))["createPost"]
    assert created["__typename"] == "CreatePostSuccess"
    assert created["post"]["author"]["name"] == "User 1"
    titles = data_of(server.post("{ posts(limit: 1000) { id title } }"))["posts"]
    assert created["post"]["id"] in {post["id"] for post in titles}


def test_the_mutation_names_its_error(server: Server) -> None:
    answer = data_of(server.post(CREATE, {"input": {"authorId": str(UUID(int=0)), "title": "New", "body": "Text"}}))
    assert answer["createPost"]["__typename"] == "CreatePostError"
    assert answer["createPost"]["code"] == 404


def test_the_hosts_own_timeout_covers_run(server: Server) -> None:
    answer = server.post("{ report(seconds: 20) { users } }")
    assert answer.status_code == 200
    assert "statement timeout" in answer.json()["errors"][0]["message"]


def test_the_hosts_own_timeout_does_not_cover_find(server: Server) -> None:
    assert len(data_of(server.post("{ slowPosts(limit: 2) { title waited } }"))["slowPosts"]) == 2


def test_a_client_that_leaves_does_not_end_its_query(server: Server) -> None:
    with pytest.raises(httpx.ReadTimeout):
        server.post("{ slowPosts(limit: 5) { title } }", timeout=1.0)
    for expected in (1, 0):
        deadline = time.monotonic() + 60
        while (seen := statements_on(server, "v_slow_post")) != expected and time.monotonic() < deadline:
            time.sleep(0.1)
        assert seen == expected


def test_the_host_is_healthy_and_ready(server: Server) -> None:
    for path in ("/health", "/ready"):
        assert httpx.get(f"{server.url}{path}", trust_env=False).status_code == 200
