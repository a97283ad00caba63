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


# --- server-sent events ----------------------------------------------------------------------------------------------

EVENTS = "text/event-stream"


def as_events(reply: Any) -> list[tuple[str, str]]:
    """The types and data of the events in an answer."""
    assert reply.header("content-type") == EVENTS
    blocks = reply.body.decode().removesuffix("\n\n").split("\n\n")
    return [tuple(line.partition(": ")[2] for line in block.split("\n")) for block in blocks]


@pytest.mark.parametrize("accept", [EVENTS, "Text/Event-Stream", f"{EVENTS}, {JSON};q=0.9", f"{EVENTS}, */*;q=0.5",
                                    f"{EVENTS}, */*"])  # fmt: skip
@pytest.mark.parametrize("how", ["POST", "GET"])
async def test_a_client_of_server_sent_events_gets_a_refusal_as_the_end_of_its_operation(guarded, accept, how) -> None:
    guard = guarded(max_query_depth=1)
    if how == "POST":
        reply = await graphql(guard, "subscription{a{b{c}}}", headers={"accept": accept})
    else:
        query = "query=subscription%7Ba%7Bb%7Bc%7D%7D%7D"
        reply = await request(guard, "GET", headers={"accept": accept}, query=query)
    (kind, result), end = as_events(reply)
    assert (reply.status, kind, end) == (200, "next", ("complete", ""))
    (error,) = json.loads(result)["errors"]
    assert (error["extensions"]["code"], error["extensions"]["limit"]) == ("QUERY_TOO_DEEP", 1)
    assert reply.header("content-length") == str(len(reply.body))
    # Wherever it counts, it counts as what it is.
    assert guard.metric("fraiseql_http_requests_total", status="400") == 1
    assert guard.metric("fraiseql_http_requests_total", status="200") == 0
    assert guard.metric("fraiseql_guard_refusals_total", code="QUERY_TOO_DEEP") == 1


@pytest.mark.parametrize(
    "accept",
    [None, "*/*", JSON, URQL, APOLLO_4, f"{EVENTS};q=0.9, {JSON}", f"{EVENTS};q=0, {JSON};q=0", "text/*",
     f"{EVENTS}, {JSON}", f'multipart/mixed;boundary="graphql";subscriptionSpec="1.0", {JSON}'],
)  # fmt: skip
async def test_all_others_get_it_as_ever(guarded, accept) -> None:
    headers = {"accept": accept} if accept else {}
    reply = await graphql(guarded(max_query_depth=1), "subscription{a{b{c}}}", headers=headers)
    assert (reply.status, reply.code) == (400, "QUERY_TOO_DEEP")


@pytest.mark.parametrize(("refused", "status"), [(too_often, 429), (too_many_at_work, 429), (no_room, 503)])
async def test_a_refusal_for_the_moment_keeps_its_status_for_them_too(guarded, refused, status) -> None:
    reply = await refused(guarded, headers={"accept": EVENTS})
    assert (reply.status, reply.header("content-type")) == (status, JSON)
    assert reply.header("retry-after") is not None


async def test_a_bad_token_is_presented_once_and_is_one_offence(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, brute_force_offences=2)
    reply = await graphql(guard, "subscription{a}", token="no.good.token", headers={"accept": EVENTS})
    assert reply.status == 200
    assert json.loads(as_events(reply)[0][1])["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert guard.metric("fraiseql_http_requests_total", status="401") == 1
    assert len(guard.lines("security.auth_failure")) == 1
    assert guard.lines("security.brute_force_detected") == []


async def test_the_same_refusal_has_the_form_of_each_client(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret)
    for _ in range(3):  # the head of a request is cached
        for accept, status in ((EVENTS, 200), (JSON, 401)):
            assert (await graphql(guard, "{me}", headers={"accept": accept})).status == status


async def test_where_nothing_streams_there_are_no_events(guarded) -> None:
    accept = {"accept": EVENTS}
    batch = [{"query": "{a{b{c}}}"}] * 2
    reply = await request(guarded(max_query_depth=1, batching=True), body=json.dumps(batch).encode(), headers=accept)
    assert (reply.status, len(reply.answers)) == (400, 2)
    assert (await request(guarded(), "PUT", headers=accept)).status == 405
    assert (await request(guarded(), "DELETE", headers=accept)).status == 405
    head = await request(guarded(max_query_depth=1), "HEAD", headers=accept, query="query=%7Ba%7Bb%7Bc%7D%7D%7D")
    assert (head.status, head.body) == (400, b"")
    page = await request(guarded(), "GET", "/page", headers=accept)
    assert page.status == 200


async def test_a_page_of_another_origin_may_read_it(guarded) -> None:
    guard = guarded(max_query_depth=1, cors_origins="https://app.example.org")
    headers = {"accept": EVENTS, "origin": "https://app.example.org"}
    reply = await graphql(guard, "{a{b{c}}}", headers=headers)
    assert reply.header("access-control-allow-origin") == "https://app.example.org"
    assert reply.header("cache-control") == "no-store"
    assert as_events(reply)


async def test_a_late_operation_ends_with_the_refusal(guarded) -> None:
    guard = guarded(EchoApp(held=True), query_timeout=0.05)
    reply = await graphql(guard, "{me}", headers={"accept": EVENTS})
    assert (reply.status, json.loads(as_events(reply)[0][1])["errors"][0]["extensions"]["code"]) == (
        200,
        "QUERY_TIMEOUT",
    )
    assert guard.metric("fraiseql_http_requests_total", status="504") == 1


async def test_a_guard_outside_counts_the_status_of_the_refusal_inside(guarded) -> None:
    inner = guarded(max_query_depth=1)

    async def between(scope: Any, receive: Any, send: Any) -> None:
        await inner.guard(scope, receive, send)

    outer = guarded(between)
    reply = await graphql(outer, "{a{b{c}}}", headers={"accept": EVENTS})
    assert reply.status == 200
    assert outer.metric("fraiseql_http_requests_total", status="400") == 1


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
