"""The Starlette example without the guard behaves as its schema says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from examples.starlette_blog.bare import make_app, make_schema
from examples.starlette_blog.blog import Blog


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(make_schema(), Blog(users=6, posts_each=3, comments_each=2))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://blog") as client:
        yield client


async def data_of(client: httpx.AsyncClient, query: str, **variables: Any) -> Any:
    answer = await client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]


async def test_lists_follow_their_limit_and_offset(client: httpx.AsyncClient) -> None:
    query = (
        "query($n: Int, $o: Int) { users(limit: $n, offset: $o) { id posts(limit: 2) { comments(limit: 1) { id } } } }"
    )
    data = await data_of(client, query, n=2, o=1)
    assert [user["id"] for user in data["users"]] == ["user-2", "user-3"]
    assert [len(user["posts"]) for user in data["users"]] == [2, 2]
    assert all(len(post["comments"]) == 1 for user in data["users"] for post in user["posts"])


async def test_lists_have_default_limits(client: httpx.AsyncClient) -> None:
    data = await data_of(client, "{ users { id } posts { id } }")
    assert len(data["users"]) == 6
    assert len(data["posts"]) == 18


async def test_a_user_is_found_by_id_or_is_null(client: httpx.AsyncClient) -> None:
    data = await data_of(
        client, '{ known: user(id: "user-6") { name invitedBy { id } } unknown: user(id: "x") { name } }'
    )
    assert data == {"known": {"name": "User 6", "invitedBy": {"id": "user-3"}}, "unknown": None}


async def test_the_connection_walks_all_posts_once(client: httpx.AsyncClient) -> None:
    query = """query($after: String) { postsConnection(first: 7, after: $after) {
        edges { cursor node { id } } pageInfo { hasNextPage endCursor } totalCount } }"""
    seen, after, more = [], None, True
    while more:
        connection = (await data_of(client, query, after=after))["postsConnection"]
        seen += [edge["node"]["id"] for edge in connection["edges"]]
        after, more = connection["pageInfo"]["endCursor"], connection["pageInfo"]["hasNextPage"]
    assert len(seen) == len(set(seen)) == connection["totalCount"]


async def test_the_search_finds_every_member_of_the_union(client: httpx.AsyncClient) -> None:
    query = """query($text: String!) { search(text: $text, limit: 1) {
        __typename ... on User { name } ... on Post { title } ... on Comment { body author { name } } } }"""
    found = [(await data_of(client, query, text=text))["search"][0] for text in ("user", "post", "comment")]
    assert [item["__typename"] for item in found] == ["User", "Post", "Comment"]


async def test_the_mutation_stores_a_post(client: httpx.AsyncClient) -> None:
    create = 'mutation { createPost(input: {authorId: "user-1", title: "New", body: "Text"}) { id author { id } } }'
    created = (await data_of(client, create))["createPost"]
    posts = (await data_of(client, '{ user(id: "user-1") { posts { id } } }'))["user"]["posts"]
    assert created["author"] == {"id": "user-1"}
    assert {"id": created["id"]} in posts


async def test_the_slow_field_answers(client: httpx.AsyncClient) -> None:
    assert await data_of(client, "{ slow(seconds: 0.01) }") == {"slow": True}


@pytest.mark.parametrize(
    "query",
    [
        "{ users(limit: -1) { id } }",
        '{ postsConnection(after: "x") { totalCount } }',
        '{ postsConnection(after: "-1") { totalCount } }',
        'mutation { createPost(input: {authorId: "x", title: "", body: ""}) { id } }',
        "{ nonsense }",
    ],
)
async def test_bad_arguments_are_graphql_errors(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.post("/graphql", json={"query": query})
    assert answer.status_code == 200
    assert answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("body", [b"", b"[", b"[]", b"{}", b'{"query": 1}', b'{"query": "{"}', b"\xff"])
async def test_what_is_no_request_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    assert (await client.post("/graphql", content=body)).status_code == 400


async def test_queries_come_by_get_and_mutations_do_not(client: httpx.AsyncClient) -> None:
    query = "query($n: Int) { users(limit: $n) { id } }"
    answer = await client.get("/graphql", params={"query": query, "variables": json.dumps({"n": 1})})
    assert answer.json() == {"data": {"users": [{"id": "user-1"}]}}
    mutation = 'mutation { createPost(input: {authorId: "user-1", title: "", body: ""}) { id } }'
    assert (await client.get("/graphql", params={"query": mutation})).status_code == 405


async def test_the_health_check_answers(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).text == "ok\n"
