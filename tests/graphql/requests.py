"""Requests as a client would send them, and the schema of a small blog."""

from __future__ import annotations

import json
from typing import Any

from graphql import GraphQLSchema, build_schema

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql import Reader, RequestAnalysis

BLOG = """
directive @cost(weight: String) on FIELD_DEFINITION | OBJECT
directive @listSize(assumedSize: Int, slicingArguments: [String], sizedFields: [String]) on FIELD_DEFINITION
type Query {
  users(limit: Int, where: Filter): [User]
  me: User
  hero: Named
  tags(limit: Int = 7): [Tag]
  stream(window: Int): [Tag] @listSize(assumedSize: 3, slicingArguments: ["window"])
  feed: [Post] @listSize(assumedSize: 4)
  postsConnection(first: Int): PostConnection
  search(limit: Int): [Hit]
}
type Mutation { createPost(title: String): Post }
type Subscription { posted: Post }
input Filter { limit: Int, size: String }
union Hit = User | Post | Comment
interface Named { name: String }
type User implements Named {
  id: ID
  name: String
  avatar(size: Int): String
  posts(limit: Int): [Post]
  followers(limit: Int): [User]
  report: Report @cost(weight: "5")
}
type Tag implements Named { name: String }
type Report { text: String }
type Post { id: ID, comments(limit: Int): [Comment], author: User }
type Comment { id: ID, author: User }
type PostConnection { edges: [PostEdge], pageInfo: PageInfo, totalCount: Int }
type PostEdge { node: Post }
type PageInfo { hasNextPage: Boolean }
"""

WIDE = {
    "max_query_depth": 90, "max_query_complexity": 2**53, "max_aliases": 10**6, "max_root_fields": 10**6,
    "max_duplicate_keys": 10**6, "max_list_size": 10**6, "max_fragments": 1000, "max_tokens": 10**5,
    "max_directives": 10**5, "introspection": "allow",
}  # fmt: skip
"""Options under which almost nothing is refused, so that numbers can be seen."""


def of_an_app(schema: GraphQLSchema | str) -> GraphQLSchema:
    """The schema as an app has it, which resolves its fields."""
    made = build_schema(schema, assume_valid_sdl=True) if isinstance(schema, str) else schema
    assert made.query_type is not None
    for item in made.query_type.fields.values():
        item.resolve = lambda _source, _info: None
    return made


def reader(schema: Any = None, **options: Any) -> Reader:
    return Reader(Settings.load({}, **options), schema)


def body(query: object, variables: object = None, **more: object) -> bytes:
    return json.dumps({"query": query, "variables": variables, **more}).encode()


def post(
    to: Reader, payload: bytes, content_type: str = "application/json", *, authenticated: bool = False
) -> RequestAnalysis:
    return to.read("POST", content_type, b"", payload, authenticated=authenticated)


def ask(
    query: str, variables: object = None, *, schema: Any = None, name: str | None = None, **options: Any
) -> RequestAnalysis:
    """One request to a fresh reader."""
    return post(reader(schema, **options), body(query, variables, operationName=name))


def complexity(
    query: str, variables: object = None, *, schema: Any = None, name: str | None = None, **options: Any
) -> int:
    """The complexity that a request is measured at, with the limits out of the way."""
    reading = ask(query, variables, schema=schema, name=name, **{**WIDE, **options})
    assert reading.denial is None, reading.denial
    assert reading.measured is not None
    return reading.measured.complexity


def refusal(reading: RequestAnalysis) -> str | None:
    """The code of a refusal."""
    return reading.denial.code.name if reading.denial else None
