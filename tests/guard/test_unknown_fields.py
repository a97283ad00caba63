"""A misspelled field is answered by the guard as the app would answer it, for a token, and never brings a block."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from fraiseql_guard import Guard
from tests.graphql.requests import BLOG, of_an_app
from tests.support.asgi import graphql, request

MISSPELLED = '{ me { id nam } serch(text: "long") { id } n1: __typename }'
DETAIL = "Cannot query field 'serch' on type 'Query'."


@pytest.fixture
def schema() -> Any:
    return of_an_app(BLOG)


async def test_the_answer_says_which_field_on_which_type(guarded, schema) -> None:
    guard = guarded(schema=schema)
    reply = await graphql(guard, MISSPELLED)
    assert (reply.status, reply.code) == (400, "GRAPHQL_INVALID")
    assert (reply.extensions["detail"], reply.extensions["path"]) == (DETAIL, "serch")
    assert guard.app.bodies == []
    assert guard.metric("fraiseql_guard_refusals_total", code="GRAPHQL_INVALID") == 1
    (line,) = guard.lines("guard.request_refused")
    assert (line["context"]["code"], line["context"]["detail"]) == ("GRAPHQL_INVALID", DETAIL)


async def test_what_the_schema_has_reaches_the_app(guarded, schema) -> None:
    guard = guarded(schema=schema)
    assert (await graphql(guard, "{ me { id name } n1: __typename }")).status == 200


async def test_a_developer_who_misspells_is_never_blocked(guarded, schema) -> None:
    guard = guarded(schema=schema, rate_limit_default="100000/minute")
    for number in range(300):
        assert (await graphql(guard, f"{{ me {{ nam{number} }} }}")).status == 400
    assert (await graphql(guard, "{ me { id } }")).status == 200
    assert guard.metric("fraiseql_guard_sanctions_total") == 0
    assert guard.lines("security.dos_detected") == []


async def test_each_costs_a_token(guarded, schema) -> None:
    guard = guarded(schema=schema, rate_limit_default="10/minute", rate_limit_burst=0)
    statuses = [(await graphql(guard, f"{{ me {{ nam{number} }} }}")).status for number in range(11)]
    assert statuses == [400] * 10 + [429]


async def test_monitor_mode_lets_the_app_answer(guarded, schema) -> None:
    guard = guarded(schema=schema, mode="monitor")
    assert (await graphql(guard, MISSPELLED)).status == 200
    assert json.loads(guard.app.bodies[0])["query"] == MISSPELLED
    assert guard.metric("fraiseql_guard_would_refuse_total", code="GRAPHQL_INVALID") == 1


@pytest.mark.parametrize("batch", [["{ me { id } }", "{ serch }"], ["{ serch }", "{ me { id } }"]])
async def test_a_batch_with_one_is_refused(guarded, schema, batch) -> None:
    guard = guarded(schema=schema, batching=True)
    body = json.dumps([{"query": each} for each in batch]).encode()
    reply = await request(guard, body=body)
    assert reply.status == 400
    assert b"Cannot query field 'serch' on type 'Query'." in reply.body
    assert guard.app.bodies == []


@pytest.mark.parametrize("mode", ["allow", "require"])
async def test_a_trusted_document_is_free_of_limits_and_not_of_the_schema(guarded, schema, tmp_path, mode) -> None:
    texts = ["query Me { me { id } }", "query Old { me { gone } }"]
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(dict(zip(hashes, texts, strict=True))))
    guard = guarded(schema=schema, trusted_documents=mode, trusted_documents_file=manifest)
    envelopes = [{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": each}}} for each in hashes]
    known, gone = [await request(guard, body=json.dumps(each).encode()) for each in envelopes]
    assert known.status == 200
    assert (gone.status, gone.code, gone.extensions["detail"]) == (
        400,
        "GRAPHQL_INVALID",
        "Cannot query field 'gone' on type 'User'.",
    )


# --- several endpoints -----------------------------------------------------------------------------------------------


async def endpoint(_request: Request) -> JSONResponse:
    return JSONResponse({"data": {}})


def served(*paths: str, methods: tuple[str, ...] = ("GET", "POST")) -> list[Route]:
    return [Route(path, endpoint, methods=list(methods)) for path in paths]


SEVERAL = {
    "below": [*served("/graphql", "/graphql/admin")],
    "a mount": [*served("/graphql"), Mount("/graphql/admin", Starlette(routes=served("/", "/x")))],
}
ONE = {
    "alone": served("/graphql"),
    "a page below": [*served("/graphql"), *served("/graphql/docs", methods=("GET",))],
    "another that is not guarded by this": [*served("/graphql"), *served("/internal/graphql")],
    "a slash": [*served("/graphql", "/graphql/")],
    "without routes": [],
}


@pytest.mark.parametrize("mounted", ["around", "by add_middleware"])
@pytest.mark.parametrize("name", [*SEVERAL, *ONE])
async def test_an_app_with_another_endpoint_may_know_the_field_there(schema, name, mounted, tmp_path) -> None:
    app = Starlette(routes={**SEVERAL, **ONE}[name])
    options = {"schema": schema, "log_file": tmp_path / "log", "max_query_complexity": 6}
    if mounted == "around":
        app = Guard(app, **options)
    else:
        app.add_middleware(Guard, **options)
    statuses = {(await graphql(app, "{ serch }")).status for _ in range(3)}
    assert statuses == ({200} if name in SEVERAL else {400})
    # It is measured by that schema all the same, which says that tags are seven.
    assert (await graphql(app, "{ tags { name } }")).extensions["actual"] == 7
