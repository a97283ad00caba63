"""What the real FraiseQL makes of documents that two readers could read in two ways: never more than was counted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from graphql import GraphQLSchema

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql import Reader
from tests.graphql.requests import WIDE, body
from tests.support.processes import FRAISEQL, Server, needs_fraiseql

pytestmark = needs_fraiseql

POSTS = "posts { title comments { body } }"
NESTED_SWITCHES: list[tuple[str, dict[str, Any]]] = [
    ("{ users(limit: 9) { posts @skip(if: true) { title } name } }", {}),
    ("{ users(limit: 9) { ... @include(if: false) { posts { title } } name } }", {}),
    ("{ users(limit: 9) { ...F @skip(if: true) name } } fragment F on User { posts { title } }", {}),
    ("{ ...F } fragment F on Query { users(limit: 9) { posts @skip(if: true) { title } } }", {}),
    ("query A($s: Boolean = true) { users(limit: 9) { posts @skip(if: $s) { title } name } }", {}),
    ("query A($s: Boolean!) { users(limit: 9) { posts @skip(if: $s) { title } name } }", {"s": True}),
]  # fmt: skip
"""FraiseQL does not look at @skip and @include below the root."""
DOCUMENTS: list[tuple[str, dict[str, Any]]] = [
    # several operations
    ("query A { users(limit: 1) { name } } query B { users(limit: 30) { name } }", {}),
    ("query A { users(limit: 30) { name } } query B { users(limit: 1) { name } }", {}),
    ("query A { a: users(limit: 1) { id } b: users(limit: 1) { id } } query B { users(limit: 30) { name } }", {}),
    ("query B { users(limit: 30) { name } posts(limit: 30) { title } } query A { users(limit: 1) { name } }", {}),
    ("{ users(limit: 1) { name } } query B { users(limit: 30) { name } }", {}),
    ("query A { users(limit: 1) { name } } query A { users(limit: 30) { name } }", {}),
    ("query A { users(limit: 1) { name } } mutation B { a: users(limit: 30) { name } }", {}),
    # defaults
    ("query A($n: Int = 1) { users(limit: $n) { name } } query B($n: Int = 30) { users(limit: $n) { name } }", {}),
    ("query A($n: Int = 30) { users(limit: $n) { name } } query B($n: Int = 1) { posts(limit: $n) { title } }", {}),
    ("query A($n: Int = 1) { a: users(limit: $n) { name } b: users(limit: $n) { name } } query B($n: Int = 30)"
     " { users { id } }", {}),
    ("query A($n: Int) { users(limit: $n) { name } } query B($n: Int = 35) { users(limit: $n) { name } }", {}),
    ("query A($n: Int = 30) { users(limit: $n) { name } }", {"n": 2}),
    ("query A($n: Int = 30) { users(limit: $n) { name } }", {"n": None}),
    ("query A($n: Int) { users(limit: $n) { name } }", {}),
    ("query A($n: Int) { users(limit: $n) { name } }", {"n": None}),
    ("query A($n: Int, $n: Int = 30) { users(limit: $n) { name } }", {}),
    ("query A($n: Int!) { users(limit: $n) { name } }", {}),
    ("query A { users(limit: $n) { name } }", {"n": 30}),
    ("query A($N: Int = 1) { users(limit: $n) { name } }", {"n": 30}),
    ("query A { users { name } }", {"limit": 40}),
    # what a size may be
    ("{ users(limit: null) { name } }", {}),
    ("{ users { name } }", {}),
    ("{ users(limit: 0) { name } }", {}),
    ("{ users(limit: -1) { name } }", {}),
    ("{ users(limit: 30.0) { name } }", {}),
    ('{ users(limit: "30") { name } }', {}),
    ("{ users(limit: true) { name } }", {}),
    ("{ users(limit: [30]) { name } }", {}),
    ("query A($n: Int) { users(limit: $n) { name } }", {"n": "30"}),
    ("query A($n: Int) { users(limit: $n) { name } }", {"n": 30.0}),
    ("query A($n: Int) { users(limit: $n) { name } }", {"n": "null"}),
    ("query A($n: Int) { users(limit: $n) { name } }", {"n": True}),
    ("query A($n: [Int]) { users(limit: $n) { name } }", {"n": [30]}),
    # arguments that are repeated or unknown
    ("{ users(limit: 1, limit: 30) { name } }", {}),
    ("{ users(limit: 30, limit: 1) { name } }", {}),
    ("{ users(limit: 1, first: 30) { name } }", {}),
    ("{ users(limit: 1, LIMIT: 30) { name } }", {}),
    ("{ users(limit: 1, where: {id: {eq: 1}}) { name } }", {}),
    ("{ users(limit: 1, orderBy: [{name: ASC}]) { name } }", {}),
    ("{ users(limit: 1) { posts(limit: 1) { title } } }", {}),
    # equal keys
    ("{ users(limit: 9) { name } users(limit: 9) { name } users(limit: 9) { name } }", {}),
    ("{ users(limit: 1) { name } users(limit: 30) { name } }", {}),
    ("{ a: users(limit: 9) { name } b: users(limit: 9) { name } }", {}),
    ("{ ...F ...F } fragment F on Query { users(limit: 9) { name } }", {}),
    ("{ ... on Query { users(limit: 9) { name } } ... { users(limit: 9) { email } } }", {}),
    (f"{{ users(limit: 9) {{ {POSTS} {POSTS} }} }}", {}),
    ("{ users(limit: 9) { posts { title } posts { author { name } } } }", {}),
    ("{ users(limit: 9) { posts { title } ...F } } fragment F on User { posts { comments { body } } }", {}),
    ("{ users(limit: 9) { posts } }", {}),
    # what is taken out, and what is not
    ("{ users(limit: 30) @skip(if: true) { name } }", {}),
    ("{ a: users(limit: 30) @skip(if: true) { name } b: users(limit: 1) { name } }", {}),
    ("{ a: users(limit: 30) @skip(if: true) @include(if: true) { name } b: users(limit: 1) { name } }", {}),
    ("{ a: users(limit: 30) @include(if: false) @include(if: true) { name } b: users(limit: 1) { name } }", {}),
    ("query A($s: Boolean = true) { users(limit: 30) @skip(if: $s) { name } }", {}),
    ("query A($s: Boolean = true) { a: users(limit: 30) @skip(if: $s) { name } b: users(limit: 1) { name } }", {}),
    ("query A($s: Boolean = true) { users(limit: 30) @skip(if: $s) { name } } query B($s: Boolean = false)"
     " { users(limit: 1) { id } }", {}),
    ("query A($s: Boolean = true) { a: users(limit: 30) @skip(if: $s) { name } b: users(limit: 1) { id } }"
     " query B($s: Boolean = false) { users(limit: 1) { id } }", {}),
    ("query A($s: Boolean!) { a: users(limit: 30) @skip(if: $s) { name } b: users(limit: 1) { name } }", {"s": True}),
    ("query A($s: Boolean!) { a: users(limit: 30) @skip(if: $s) { name } b: users(limit: 1) { name } }", {"s": "true"}),
    ("query A($s: Boolean!) { a: users(limit: 30) @skip(if: $s) { name } b: users(limit: 1) { name } }", {"s": 1}),
    ("query A($i: Boolean) { a: users(limit: 30) @include(if: $i) { name } b: users(limit: 1) { name } }", {}),
    ("query A($i: Boolean) { a: users(limit: 30) @include(if: $i) { name } b: users(limit: 1) { name } }", {"i": None}),
    ("query A($i: Boolean) { a: users(limit: 30) @include(if: $i) { name } b: users(limit: 1) { name } }", {"i": 0}),
    ("query A($i: Boolean=false) { a: users(limit: 30) @include(if: $i) { name } b: users(limit: 1) { name } }", {}),
    ("{ ...F @skip(if: true) a: users(limit: 1) { name } } fragment F on Query { users(limit: 30) { name } }", {}),
    ("{ ... @include(if: false) { users(limit: 30) { name } } a: users(limit: 1) { name } }", {}),
    ("{ ... on Mutation { users(limit: 30) { name } } a: users(limit: 1) { name } }", {}),
    *NESTED_SWITCHES,
    ("{ users(limit: 9) { ... on Post { posts { title } } name } }", {}),
    # other places
    ("{ users(limit: 5) { posts { author { invitedBy { invitedBy { name } } } comments { replies { body } } } } }", {}),
    ("{ users(limit: 3) { __typename { posts { title } } name } }", {}),
    ("{ posts(limit: 5) { author { posts { title } } } }", {}),
    ("{ users(limit: 3) { unknown { name } name } }", {}),
    ("subscription { users(limit: 30) { name } }", {}),
    ("mutation { users(limit: 30) { name } }", {}),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bare:
    """FraiseQL without a guard, and readers that measure what is sent to it."""

    server: Server
    readers: dict[str, Reader]

    def most_objects(self, query: str, variables: dict[str, Any], name: str | None) -> int:
        """How many objects FraiseQL answers on either of its routes; the most of them."""
        payload = {"query": query, "variables": variables, "operationName": name}
        answers = [
            httpx.post(f"{self.server.url}{path}", json=payload, trust_env=False, timeout=30)
            for path in ("/graphql", "/graphql/rust")
        ]
        return max(objects(answer.json().get("data")) for answer in answers if "json" in answer.headers["content-type"])


# FraiseQL's resolvers take null for "all of them", and no schema says how many that are: an assumption, and none about
# semantics, so it is the right one here.
USERS = 40


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    settings = Settings.load({}, **WIDE, list_multiplier=USERS)
    with Server(
        FRAISEQL, tmp_path_factory.mktemp("bare"), {"FRAISEQL_ENVIRONMENT": "development"}, bare=True
    ) as server:
        yield Bare(server, {"without": Reader(settings, None), "with": Reader(settings, own_schema)})


def own_schema() -> GraphQLSchema:
    """The example's schema, made in this process, which connects to nothing."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FraiseQL's
        patch.setenv("FRAISEQL_DATABASE_URL", "postgresql://nobody@localhost/nothing")
        from examples.fraiseql_blog.bare import schema

        return schema


def objects(value: Any) -> int:
    """JSON objects inside, without the outermost."""
    if isinstance(value, list):
        return sum(1 + objects(item) if isinstance(item, dict) else objects(item) for item in value)
    if isinstance(value, dict):
        return sum(isinstance(item, dict) + objects(item) for item in value.values())
    return 0


@pytest.mark.parametrize("schema", ["without", "with"])
@pytest.mark.parametrize("name", [None, "A", "B"])
@pytest.mark.parametrize(("query", "variables"), DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_nothing_costs_more_there_than_was_counted(bare: Bare, query, variables, name, schema) -> None:
    payload = body(query, variables, operationName=name)
    if schema == "without" and (query, variables) in NESTED_SWITCHES:
        pytest.skip("only its schema tells that the host is FraiseQL")
    reading = bare.readers[schema].read("POST", "application/json", b"", payload, authenticated=True)
    if reading.denial is not None:
        return  # nothing of it reaches the host
    assert reading.measured is not None
    assert bare.most_objects(query, variables, name) <= reading.measured.complexity


UNKNOWN_FIELDS = {
    "below one of several root fields": "{ users(limit: 1) { id nope } posts(limit: 1) { title } }",
    "below a root field, in production": "{ users(limit: 1) { id nope } }",
    "in the case of the database": "{ posts(limit: 1, offset: 70) { author { invited_by { name } } } }",
    "at the root of another operation": "query A { users(limit: 1) { id } } query B { nope }",
    "taken out": "{ users(limit: 1) { id } posts(limit: 1) { id } nope @skip(if: true) }",
    "below a leaf": "{ posts(limit: 1) { title { nope } } users(limit: 1) { id } }",
    "on a type that is not there": "{ posts(limit: 1) { title ... on Nope { nope } } users(limit: 1) { id } }",
}
"""FraiseQL runs documents without validating them in more than one way, and answers these with what it has."""


@pytest.fixture(scope="module")
def in_production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("production")
    with Server(FRAISEQL, folder, {"FRAISEQL_ENVIRONMENT": "production"}, bare=True) as server:
        yield server


@pytest.mark.parametrize("case", UNKNOWN_FIELDS)
def test_what_it_answers_without_knowing_a_field_is_not_refused_for_it(in_production: Server, bare: Bare, case) -> None:
    payload = {"query": UNKNOWN_FIELDS[case], "operationName": "A" if "query A" in UNKNOWN_FIELDS[case] else None}
    answer = httpx.post(f"{in_production.url}/graphql", json=payload, trust_env=False, timeout=30).json()
    assert "errors" not in answer
    assert objects(answer["data"]) > 0
    sent = body(payload["query"], None, operationName=payload["operationName"])
    reading = bare.readers["with"].read("POST", "application/json", b"", sent, authenticated=True)
    assert reading.denial is None
