"""In which form clients get a refusal, and what it tells their developers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fraiseql_guard.asgi.deciding_setting import DECIDING
from fraiseql_guard.core.settings import VARIABLES
from fraiseql_guard.core.signals import CODES
from tests.support.asgi import EchoApp, graphql, request
from tests.support.waiting import until

JSON = "application/json"
RESULT = "application/graphql-response+json"
APOLLO_4 = f"{RESULT},{JSON};q=0.9"
URQL = f"{RESULT}, application/graphql+json, {JSON}, text/event-stream, multipart/mixed"
ONCE = {"rate_limit_default": "1/hour", "rate_limit_burst": 0}


async def too_often(guarded: Any, **more: Any) -> Any:
    guard = guarded(**ONCE)
    await graphql(guard, "{me}", **more)
    return await graphql(guard, "{me}", **more)


async def too_many_at_work(guarded: Any, **more: Any) -> Any:
    app = EchoApp(held=True)
    guard = guarded(app, max_in_flight=1)
    first = asyncio.create_task(graphql(guard, "{me}", **more))
    await until(lambda: app.at_work == 1)
    reply = await graphql(guard, "{me}", **more)
    app.release()
    await first
    return reply


async def no_room(guarded: Any, **more: Any) -> Any:
    return await graphql(guarded(max_buffered_bytes=1), "{me}", **more)


@pytest.mark.parametrize(("refused", "status"), [(too_often, 429), (too_many_at_work, 429), (no_room, 503)])
@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("*/*", JSON),
        (APOLLO_4, JSON),
        (URQL, JSON),
        (f"{RESULT}, */*;q=0.1", JSON),
        (RESULT, RESULT),
        (f"{RESULT}, {JSON};q=0", RESULT),
    ],
)
async def test_a_refusal_for_the_moment_is_no_result(guarded, refused, status, accept, media_type) -> None:
    reply = await refused(guarded, headers={"accept": accept} if accept else {})
    assert (reply.status, reply.header("content-type")) == (status, media_type)
    assert reply.header("retry-after") is not None
    assert reply.extensions["code"]


@pytest.mark.parametrize(("accept", "media_type"), [(APOLLO_4, RESULT), (JSON, JSON)])
async def test_all_others_come_as_the_client_likes_best(guarded, accept, media_type) -> None:
    headers = {"accept": accept}
    wrong = await graphql(guarded(), "{", headers=headers)
    late = await graphql(guarded(EchoApp(held=True), query_timeout=0.02), "{me}", headers=headers)
    for reply, status in ((wrong, 400), (late, 504)):
        assert (reply.status, reply.header("content-type")) == (status, media_type)


# --- which setting decides -------------------------------------------------------------------------------------------

OPTIONS = {variable.option: variable.name for variable in VARIABLES}


def test_every_setting_that_is_named_exists() -> None:
    named = {option for options in DECIDING.values() for option in options}
    assert named <= OPTIONS.keys()
    assert set(DECIDING) <= set(CODES)


QUERY = json.dumps({"query": "{me}"}).encode()
UNSLICED = {"schema": "type Query{all:[Item]} type Item{id:Int}", "unsliced_lists": "refuse"}
DEEP = "{a" * 12 + "}" * 12


@pytest.mark.parametrize(
    ("options", "sent", "status", "setting"),
    [
        ({}, {"body": b"--x--", "content_type": "multipart/form-data; boundary=x"}, 415, "multipart"),
        ({}, {"body": b"[" + QUERY + b"]"}, 400, "batching"),
        ({"batching": True}, {"body": json.dumps([{"query": "{me}"}] * 11).encode()}, 400, "max_batch_size"),
        ({}, {"body": b'{"query":"{__schema{types{name}}}"}'}, 400, "introspection"),
        ({}, {"body": b'{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}'}, 400, "apq"),
        (UNSLICED, {"body": b'{"query":"{all{id}}"}'}, 400, "unsliced_lists"),
        ({}, {"body": json.dumps({"query": DEEP}).encode()}, 400, "max_query_depth"),
        ({"max_body_bytes": 5}, {"body": QUERY}, 413, "max_body_bytes"),
    ],
)  # fmt: skip
async def test_a_refusal_that_a_setting_decides_names_it(guarded, options, sent, status, setting) -> None:
    reply = await request(guarded(**options), **sent)
    assert reply.status == status
    assert OPTIONS[setting] in reply.extensions["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/graphql"])
async def test_what_no_setting_would_allow_names_none(guarded, content_type) -> None:
    reply = await request(guarded(), body=QUERY, content_type=content_type)
    assert (reply.status, "detail" in reply.extensions) == (415, False)


async def test_who_has_no_token_is_told_of_no_setting(guarded, secret) -> None:
    reply = await request(guarded(jwt_secret=secret), body=QUERY)
    assert reply.status == 401
    assert "FRAISEQL" not in reply.body.decode()
