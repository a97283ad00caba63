"""Attacks never reach the app, ordinary requests arrive byte for byte: through the whole guard, with and without a
schema. Where a case says which code, that is the one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema

import examples.starlette_blog
from fraiseql_guard import Guard
from tests.corpus.loading import Case, load
from tests.support.asgi import EchoApp, Reply, request

ATTACKS, ORDINARY = load("attacks"), load("ordinary")
SCHEMA = build_schema(Path(examples.starlette_blog.__file__).with_name("schema.graphql").read_text())
WAYS = ["without", "with"]


def test_the_corpus_is_large_and_every_case_is_its_own():
    assert len(ATTACKS) >= 165
    assert len(ORDINARY) >= 68
    for cases in (ATTACKS, ORDINARY):
        requests = [
            (case.method, case.path, case.url, case.headers, case.body, str(case.settings), case.schema, case.only)
            for case in cases
        ]
        assert len(set(requests)) == len(requests)


def schema_of(case: Case, way: str) -> Any:
    if case.only not in (None, way) or (case.schema and way == "without"):
        pytest.skip("for the other way")
    return case.schema or (SCHEMA if way == "with" else None)


async def send(case: Case, way: str, guarded: Any) -> tuple[Reply, EchoApp]:
    app = EchoApp()
    guard = guarded(app, Guard, schema=schema_of(case, way), **case.settings)
    reply = await request(
        guard, case.method, case.path, body=case.body, content_type=None, headers=case.headers, query=case.url
    )
    assert guard.lines("guard.fault") == []
    return reply, app


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", ATTACKS, ids=str)
async def test_an_attack_is_refused(guarded, case, way):
    reply, app = await send(case, way, guarded)
    assert app.bodies == []
    assert reply.status == case.status, reply.body
    assert case.method == "HEAD" or reply.code == case.code, reply.body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", ORDINARY, ids=str)
async def test_an_ordinary_request_reaches_the_app_byte_for_byte(guarded, case, way):
    reply, app = await send(case, way, guarded)
    assert reply.status == 200, reply.body
    assert app.bodies == [case.body]
    (scope,) = (scope for scope in app.scopes if scope["type"] == "http")
    assert (scope["method"], scope["query_string"]) == (case.method, case.url)
