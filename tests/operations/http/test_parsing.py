"""What a request may carry: exactly the fields of its route, each in its form; every refusal names what is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.operations.http.parsing import MAX_BODY_BYTES, checked, json_fields, query_fields
from fraiseql_guard.operations.http.problems import Problem
from fraiseql_guard.operations.http.routes import ROUTES
from tests.support.asgi import Connection

ADDRESS = "203.0.113.9"
JSON = {b"content-type": b"application/json"}


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "user_id", "who is meant"),
        ({"ip": ADDRESS}, "ip", "is none of the fields that this route takes: user_id, ip_address"),
        ({"ip_address": "nowhere"}, "ip_address", "is neither an address nor a network"),
        ({"ip_address": "fe80::1%eth0"}, "ip_address", "is neither"),
        ({"ip_address": 3405803785}, "ip_address", "is not text"),
        ({"ip_address": None}, "ip_address", "is not text"),
        ({"ip_address": ADDRESS, "duration_seconds": 0}, "duration_seconds", "is outside 1 to 31536000 seconds"),
        ({"ip_address": ADDRESS, "duration_seconds": -5}, "duration_seconds", "is outside"),
        ({"ip_address": ADDRESS, "duration_seconds": 1e300}, "duration_seconds", "is outside"),
        ({"ip_address": ADDRESS, "duration_seconds": "3600"}, "duration_seconds", "is not a number of seconds"),
        ({"ip_address": ADDRESS, "duration_seconds": True}, "duration_seconds", "is not a number"),
        ({"ip_address": ADDRESS, "force": "yes"}, "force", "is neither true nor false"),
        ({"ip_address": ADDRESS, "force": 1}, "force", "is neither true nor false"),
        ({"ip_address": ADDRESS, "reason": "a\nb"}, "reason", "not printable"),
        ({"ip_address": ADDRESS, "reason": "x" * 256}, "reason", "longer than 255"),
        ({"user_id": ""}, "user_id", "is empty"),
        ({"user_id": "\u202egro"}, "user_id", "not printable"),
        ({"user_id": ["carol"]}, "user_id", "is not text"),
        ({"ip_address": ADDRESS, "issuer": "https://a"}, "issuer", "needs a user_id"),
    ],
)  # fmt: skip
async def test_a_bad_field_is_named(serve, body, field, says) -> None:
    api = serve()
    problem = await api.refused(400, "POST", "/blocks", body)
    assert problem["field"] == field
    assert says in problem["detail"]
    assert await api.items("/blocks") == []


@pytest.mark.parametrize(
    ("limit", "says"),
    [("fast", "not a rate limit"), ("0/minute", "not a rate limit"), ("5/fortnight", "not a rate limit"),
     (0, "not a rate limit"), (1.5, "is not a rate"), (True, "is not a rate"), (None, "is not a rate")],
)  # fmt: skip
async def test_a_bad_limit_is_named(serve, limit, says) -> None:
    problem = await serve().refused(400, "POST", "/rate-limits", {"user_id": "carol", "limit": limit})
    assert (problem["field"], says in problem["detail"]) == ("limit", True)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/mode", {"mode": "off", "duration_seconds": 60}, "mode"),
        ("/mode", {"mode": "monitor"}, "duration_seconds"),
        ("/mode", {"mode": "monitor", "duration_seconds": 60, "protection": "metrics"}, "protection"),
        ("/document-blocks", {"document": "AB" * 32, "duration_seconds": 60}, "document"),
        ("/document-blocks", {"document": "ab" * 32 + "\n", "duration_seconds": 60}, "document"),
        ("/operation-blocks", {"operation": "a b", "duration_seconds": 60}, "operation"),
        ("/settings", {"variable": "FRAISEQL_MAX_QUERY_DEPTH", "duration_seconds": 60}, "value"),
    ],
)
async def test_a_bad_switch_is_named(serve, path, body, field) -> None:
    assert (await serve().refused(400, "PUT", path, body))["field"] == field


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"\xff", 400), (b"\xef\xbb\xbf{}", 400), (b"[]", 400), (b"null", 400), (b'"text"', 400),
        (b" ", 400),
        (b'{"ip_address":"203.0.113.9","ip_address":"192.0.2.1"}', 400), (b'{"duration_seconds":NaN}', 400),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400), (b'{"a":[' + b"1," * 900 + b"1]}", 400),
        (b'{"reason":"' + b"x" * MAX_BODY_BYTES + b'"}', 413), (b"x" * (MAX_BODY_BYTES + 1), 413),
    ],
    ids=range(13),
)  # fmt: skip
async def test_a_body_that_is_no_object_of_fields(serve, body, status) -> None:
    await serve().refused(status, "POST", "/blocks", body)


async def test_a_body_that_grows_beyond_its_bound(serve) -> None:
    api = serve()
    for announced in ({}, {"content-length": "10"}, {"content-length": "1" * 30}):
        chunks = [b" " * (MAX_BODY_BYTES // 2)] * 3
        await api.refused(413, "POST", "/blocks", chunks=chunks, headers=announced)


@pytest.mark.parametrize(
    "headers",
    [{}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"},
     {"content-type": "application/json", "content-encoding": "gzip"}, {"content-type": "multipart/form-data"}],
)  # fmt: skip
async def test_only_plain_json(serve, headers) -> None:
    api = serve()
    await api.refused(415, "POST", "/blocks", b'{"ip_address":"203.0.113.9"}', content_type=None, headers=headers)
    assert await api.items("/blocks") == []


async def test_a_charset_and_capitals_are_json_all_the_same(serve) -> None:
    await serve().done("POST", "/blocks", {"ip_address": ADDRESS}, content_type="Application/JSON; charset=utf-8")


async def test_a_caller_who_leaves_in_the_middle_changes_nothing(serve) -> None:
    api = serve()
    connection = Connection([b'{"ip_addr', b'ess":"203.0.113.9"}'])
    connection.messages.pop()
    connection.leave()
    await api.refused(400, "POST", "/blocks", connection=connection, content_type="application/json")
    assert await api.items("/blocks") == []


@pytest.mark.parametrize(
    "query",
    ["", "ip_address", "ip_address=", "=x", "ip_address=nowhere", "ip_address=203.0.113.9&ip_address=203.0.113.9",
     "ip=203.0.113.9", "user_id=%ff", "user_id=\x7f", b"user_id=\xe9", "user_id=%00",
     "user_id=a&x=1", "&".join(["a=1"] * 60)],
    ids=range(13),
)  # fmt: skip
async def test_a_query_that_is_not_exactly_its_fields(serve, query) -> None:
    await serve().refused(400, "DELETE", "/blocks", query=query)


@pytest.mark.parametrize("count", ["0", "1001", "-1", "1.5", "ten", "", "%D9%A3", "1+"])
async def test_a_count(serve, count) -> None:
    assert (await serve().refused(400, "GET", "/actions", query=f"count={count}"))["field"] == "count"


async def test_a_route_without_fields_takes_none(serve) -> None:
    api = serve()
    await api.done("POST", "/gc", {})
    assert (await api.refused(400, "POST", "/gc", {"now": True}))["field"] == "now"
    assert (await api.refused(400, "GET", "/status", query="x=1"))["field"] == "x"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/blocks", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("GET", "/gc", "OPTIONS, POST"),
        ("PATCH", "/mode", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("BREW", "/refusals/x", "GET, HEAD, OPTIONS"),
    ],
)
async def test_other_methods(serve, method, path, allow) -> None:
    api = serve()
    reply = await api(method, path)
    assert (reply.status, reply.header("allow")) == (405, allow)
    options = await api("OPTIONS", path)
    assert (options.status, options.header("allow"), options.body) == (204, allow, b"")
    assert options.header("access-control-allow-origin") is None


@pytest.mark.parametrize(
    "path", ["/Blocks", "/blocks/", "/blocks/x", "/refusals/", "/refusals/a/b", "/refusals/{request_id}x/y"]
)
async def test_nothing_of_this_name(serve, path) -> None:
    assert "openapi.json" in (await serve().refused(404, "GET", path))["detail"]


async def test_head_is_get_without_its_body(serve) -> None:
    api = serve()
    got, head = await api("GET", "/blocks"), await api("HEAD", "/blocks")
    assert (head.status, head.body, head.header("content-length")) == (200, b"", got.header("content-length"))
    assert (await api("HEAD", "/nothing")).body == b""


async def test_every_answer_is_private(serve) -> None:
    api = serve(cors_origins="*")
    for method, path in (("GET", "/status"), ("GET", "/nothing"), ("PUT", "/gc"), ("OPTIONS", "/gc")):
        reply = await api(method, path, headers={"origin": "https://app.example"})
        assert reply.header("cache-control") == "no-store"
        assert reply.header("x-content-type-options") == "nosniff"
        assert reply.header("x-request-id")
        assert not [name for name, _ in reply.headers if name.startswith(b"access-control")]


async def test_what_breaks_inside_is_503_counted_and_logged(serve, monkeypatch) -> None:
    api = serve()
    store = api.guard.guard.runtime.store

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(store.sanctions, "page", broken)
    problem = await api.refused(503, "GET", "/blocks")
    assert "ZeroDivisionError" not in json.dumps(problem)
    assert api.guard.metric("fraiseql_guard_faults_total", part="admin") == 1


def problem_of(read, *given_to_it) -> Problem | None:
    """What is wrong with it; None if it can be read."""
    try:
        read(*given_to_it)
    except Problem as problem:
        return problem
    return None


@given(st.binary(max_size=200), st.sampled_from([route.body for route in ROUTES if route.body]))
def test_any_body_is_read_or_explained(body, fields) -> None:
    problem = problem_of(json_fields, body, JSON, fields)
    assert problem is None or (problem.status == 400 and problem.detail.isprintable())


@given(st.binary(max_size=100), st.sampled_from([route.query for route in ROUTES]))
def test_any_query_is_read_or_explained(query, fields) -> None:
    problem = problem_of(query_fields, query, fields)
    assert problem is None or (problem.status == 400 and problem.detail.isprintable())


NAMES = sorted({field.name for route in ROUTES for field in route.body})
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers())


@given(
    st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=9), VALUES),
    st.sampled_from([route.body for route in ROUTES if route.body]),
)
def test_any_fields_are_read_or_explained(fields_given, fields) -> None:
    problem = problem_of(checked, fields_given, fields)
    assert problem is None or ("field" in problem.members and problem.detail.isprintable())


@given(
    VALUES | st.just(10**5000) | st.just(float("inf")), st.sampled_from([f for r in ROUTES for f in r.body + r.query])
)
def test_any_value_is_read_or_explained(value, field) -> None:
    problem = problem_of(checked, {field.name: value}, [field])
    assert problem is None or problem.members["field"] == field.name
