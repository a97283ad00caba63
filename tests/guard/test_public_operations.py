"""Who may be called without a token: every name at every root counts, however often and wherever it stands."""

from __future__ import annotations

import asyncio
import json
import os
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard import AuthMiddleware, Guard
from tests.conftest import SECRET
from tests.support.asgi import EchoApp, graphql, request

MOUNTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "authentication alone": (AuthMiddleware, {}),
    "everything": (Guard, {}),
    "query limits only watched": (Guard, {"mode_query_limits": "monitor"}),
    "root fields only watched": (Guard, {"monitor_limits": "max_root_fields,max_aliases,max_duplicate_keys"}),
    "with batches": (AuthMiddleware, {"batching": True}),
}
LEVELS = 4


def nested(last: str) -> str:
    """``login`` ten thousand times and then another field, in a text of a few hundred characters."""
    fragments = f"fragment F0 on Query{{{'login ' * 10}{last}}}"
    for level in range(1, LEVELS):
        fragments += f"fragment F{level} on Query{{{f'...F{level - 1} ' * 10}}}"
    return f"{{...F{LEVELS - 1}}}{fragments}"


PRIVATE = {
    "after many public ones": nested("private"),
    "in another operation": "query A{login} query B{private}",
    "under another kind": "query A{login} mutation B{private}",
    "under an alias": "{login:private}",
    "skipped by a constant": "{login private @skip(if:true)}",
    "skipped by a variable": "query($no:Boolean=true){login private @skip(if:$no)}",
    "in a fragment that is not included": "{login ...F @include(if:false)} fragment F on Query{private}",
    "in a fragment on a root type": "{login ...on Mutation{private}}",
    "in a fragment without a type": "{login ...{...{private}}}",
    "a field of every type": "{login __typename}",
}


@pytest.fixture(params=MOUNTS.values(), ids=MOUNTS)
def mounted(request: pytest.FixtureRequest, guarded: Any, secret: str) -> Any:
    middleware, options = request.param
    return guarded(middleware=middleware, jwt_secret=secret, public_operations="login", **options)


@pytest.mark.parametrize("document", PRIVATE.values(), ids=PRIVATE)
async def test_a_field_that_is_not_public_needs_a_token_wherever_it_stands(mounted: Any, document: str) -> None:
    assert (await graphql(mounted, document)).status in (400, 401)
    assert mounted.app.bodies == []


@pytest.mark.parametrize("document", ["{login}", "{...F} fragment F on Query{login}", "query A{login} query B{login}"])
async def test_public_ones_pass(mounted: Any, document: str) -> None:
    envelope = {"query": document, "operationName": "A" if " B" in document else None}
    assert (await request(mounted, body=json.dumps(envelope).encode())).status == 200


@pytest.mark.parametrize("middleware", [AuthMiddleware, Guard])
@pytest.mark.parametrize("mode", ["enforce", "monitor"])
@pytest.mark.parametrize(
    "unmeasured",
    ["{private", "{private(a:1 a:2)}", "{private}" + " " * 60_000, "{" + "a{" * 200 + "b" + "}" * 201, "", "{a:x a:y}"],
    ids=["no document", "contradiction", "too long", "too deep", "empty", "one key twice"],
)
async def test_a_batch_of_which_something_was_not_measured_needs_a_token(
    guarded: Any, secret: str, middleware: Any, mode: str, unmeasured: str
) -> None:
    guard = guarded(
        middleware=middleware, jwt_secret=secret, public_operations="login", batching=True, mode_query_limits=mode
    )
    body = json.dumps([{"query": "{login}"}, {"query": unmeasured}]).encode()
    assert (await request(guard, body=body)).status in (400, 401)
    assert guard.app.bodies == []
    both = json.dumps([{"query": "{login}"}, {"query": "query B{login}"}]).encode()
    assert (await request(guard, body=both)).status == 200


@pytest.mark.parametrize("text", ["{login}", "{private}"])
async def test_a_document_that_is_named_counts_by_its_text(guarded: Any, secret: str, tmp_path: Any, text: str) -> None:
    digest = sha256(text.encode()).hexdigest()
    manifest = tmp_path / "documents.json"
    manifest.write_text(json.dumps({digest: text}))
    guard = guarded(
        middleware=AuthMiddleware, jwt_secret=secret, public_operations="login", trusted_documents="allow",
        trusted_documents_file=manifest,
    )  # fmt: skip
    named = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}}
    assert (await request(guard, body=json.dumps(named).encode())).status == (200 if text == "{login}" else 401)
    unknown = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}}
    assert (await request(guard, body=json.dumps(unknown).encode())).status in (200, 401)
    assert all(b"private" not in body for body in guard.app.bodies)
    assert len(guard.app.bodies) == (text == "{login}")


NAMES = st.sampled_from(["login", "register", "login", "private"])
SELECTIONS = st.recursive(
    NAMES | st.builds("x:{}".format, NAMES),
    lambda inner: st.lists(inner, min_size=1, max_size=4).map(lambda parts: f"...on Query{{{' '.join(parts)}}}"),
    max_leaves=12,
)


@given(
    st.lists(SELECTIONS, min_size=1, max_size=4),
    st.lists(SELECTIONS, min_size=1, max_size=3),
    st.integers(1, 40),
    st.sampled_from(["", "@skip(if:true)", "@include(if:$no)"]),
)
def test_nothing_private_is_reached_without_a_token(
    own: list[str], spread: list[str], times: int, directive: str
) -> None:
    document = (
        f"query($no:Boolean=false){{{' '.join(own)} {f'...F {directive} ' * times}}} "
        f"fragment F on Query{{{f'...G {directive} ' * times}}} fragment G on Query{{{' '.join(spread)}}}"
    )

    async def ask() -> None:
        guard = AuthMiddleware(EchoApp(), jwt_secret=SECRET, public_operations="login,register", log_file=os.devnull)
        reply = await graphql(guard, document)
        assert "private" not in document or reply.status == 401
        await guard.aclose()

    asyncio.run(ask())


async def test_public_operations_pay_for_each_root_field_however_many(guarded: Any, secret: str) -> None:
    guard = guarded(jwt_secret=secret, public_operations="login", mode_query_limits="monitor")
    assert (await graphql(guard, nested("login"))).code == "CHARGE_TOO_LARGE"


INTROSPECTION = "query IntrospectionQuery { __schema { queryType { name } } __typename }"


@pytest.mark.parametrize("middleware", [AuthMiddleware, Guard])
async def test_a_page_of_graphiql_learns_the_schema_in_development(guarded: Any, secret: str, middleware: Any) -> None:
    guard = guarded(middleware=middleware, jwt_secret=secret, environment="development")
    assert (await graphql(guard, INTROSPECTION)).status == 200
    for document in (
        "{ me }",
        "{ __schema { queryType { name } } me }",
        "{ ...F } fragment F on Query { __typename me }",
    ):
        assert (await graphql(guard, document)).status == 401


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"environment": "production"},
        {"environment": "production", "introspection": "allow"},
        {"environment": "development", "introspection": "authenticated"},
        {"environment": "development", "introspection": "deny"},
    ],
)
async def test_elsewhere_an_introspection_needs_a_token(guarded: Any, secret: str, options: dict[str, str]) -> None:
    assert (await graphql(guarded(jwt_secret=secret, **options), INTROSPECTION)).status == 401
