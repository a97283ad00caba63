"""What the guard cannot read does not pass; what it lets pass arrives byte for byte."""

import asyncio
import json

import pytest

from fraiseql_guard import Guard, RateLimitMiddleware
from tests.support.asgi import Connection, EchoApp, graphql, request

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
QUERY = b'{"query": "{me{id}}"}'


async def test_a_query_reaches_the_app_byte_for_byte(guarded) -> None:
    app = EchoApp()
    body = b' {"query" : "{ me { id } }" , "extra": [1, 2] }\n'
    reply = await request(guarded(app), chunks=[body[:3], body[3:20], body[20:]])
    assert reply.status == 200
    assert app.bodies == [body]


@pytest.mark.parametrize(
    ("method", "headers", "body", "query", "status", "code"),
    [
        ("PUT", {}, QUERY, "", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", {}, None, "", 405, "METHOD_NOT_ALLOWED"),
        ("TRACE", {}, None, "", 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", {}, None, "", 405, "METHOD_NOT_ALLOWED"),
        ("POST", FORM, b"query={me{id}}", "", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", {"content-type": "application/graphql"}, b"{me{id}}", "", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", {"content-type": "multipart/form-data; boundary=x"}, b"--x--", "", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", {"content-type": "text/plain"}, QUERY, "", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", {}, QUERY, "", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", JSON | {"content-encoding": "gzip"}, QUERY, "", 415, "UNSUPPORTED_ENCODING"),
        ("POST", JSON, b"", "", 400, "BAD_REQUEST"),
        ("POST", JSON, b"not json", "", 400, "BAD_REQUEST"),
        ("POST", JSON, b"null", "", 400, "BAD_REQUEST"),
        ("POST", JSON, b'[{"query":"{me{id}}"}]', "", 400, "BATCHING_DISABLED"),
        ("POST", JSON, b'{"query":"{me{id}"}', "", 400, "GRAPHQL_PARSE_FAILED"),
        ("POST", JSON, '{"query":"{me{id}}"}'.encode("utf-16"), "", 400, "BAD_REQUEST"),
        ("GET", {}, None, "", 400, "BAD_REQUEST"),
        ("GET", {}, None, "query={me{id}}&query={you{id}}", 400, "BAD_REQUEST"),
        ("GET", {}, None, "query=mutation{delete{id}}", 405, "MUTATION_BY_GET"),
        ("GET", {}, QUERY, "query={me{id}}", 400, "BAD_REQUEST"),
    ],
)  # fmt: skip
async def test_other_forms_are_refused_with_their_reason(guarded, method, headers, body, query, status, code) -> None:
    guard = guarded()
    reply = await request(guard, method, body=body, content_type=None, headers=headers, query=query)
    assert (reply.status, reply.code if method != "HEAD" else None) == (status, code)
    assert guard.app.bodies == []
    assert reply.extensions["requestId"] == reply.header("x-request-id")
    assert guard.metric("fraiseql_guard_refusals_total", code=code) == 1


async def test_a_header_given_twice_is_refused(guarded) -> None:
    guard = guarded()
    lines = [("content-type", "application/json"), ("content-type", "text/plain")]
    reply = await request(guard, body=QUERY, content_type=None, headers=lines)
    assert (reply.status, reply.code) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_query_by_get_passes(guarded, method) -> None:
    guard = guarded()
    assert (await request(guard, method, query="query={me{id}}")).status == 200


async def test_a_graphql_response_is_given_where_it_is_accepted(guarded) -> None:
    accept = {"accept": "application/graphql-response+json, application/json"}
    reply = await request(guarded(), body=b"{}", headers=accept)
    assert reply.header("content-type") == "application/graphql-response+json"
    assert (await request(guarded(), body=b"{}")).header("content-type") == "application/json"


GRAPHQL = "application/graphql-response+json"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"{GRAPHQL};q=0, */*", "application/json"), (f"{GRAPHQL}; q=0.000", "application/json"),
        (f"{GRAPHQL};q=0.5, application/json", "application/json"), (f"application/json;q=0.9, {GRAPHQL}", GRAPHQL),
        ("*/*", "application/json"), ("application/*", "application/json"), ("", "application/json"),
        ("application/json;q=0, */*;q=0.1", GRAPHQL), (f"{GRAPHQL.upper()}; charset=utf-8", GRAPHQL),
        (f'text/html;x="{GRAPHQL}, y";q=1, */*;q=0.5', "application/json"), ("text/html", "application/json"),
        (f"{GRAPHQL}x, x{GRAPHQL}", "application/json"),
        (f", ,{GRAPHQL} ;q=1 , ,", GRAPHQL), ("a" * 3000 + f",{GRAPHQL}", "application/json"),
    ],
)  # fmt: skip
async def test_a_refusal_has_the_type_that_is_wanted_most(guarded, accept, expected) -> None:
    reply = await request(guarded(), body=b"{}", headers={"accept": accept})
    assert reply.header("content-type") == expected


async def test_several_lines_of_what_is_accepted_are_one(guarded) -> None:
    lines = [("content-type", "application/json"), ("accept", "application/json;q=0.5"), ("accept", GRAPHQL)]
    reply = await request(guarded(), body=b"{}", content_type=None, headers=lines)
    assert reply.header("content-type") == GRAPHQL


async def test_outside_graphql_a_refusal_is_problem_json(guarded) -> None:
    reply = await request(guarded(max_request_bytes=10), "POST", "/upload", body=b"x" * 11)
    assert (reply.status, reply.header("content-type")) == (413, "application/problem+json")
    assert (reply.json["code"], reply.json["limit"], reply.json["actual"]) == ("BODY_TOO_LARGE", 10, 11)


# --- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused(guarded, announced) -> None:
    guard = guarded(max_body_bytes=100)
    body = json.dumps({"query": "{me{id}}", "pad": "x" * 100}).encode()
    chunks = None if announced else [body[:50], body[50:]]
    reply = await request(guard, body=body if announced else None, chunks=chunks)
    assert (reply.status, reply.code, reply.extensions["limit"]) == (413, "BODY_TOO_LARGE", 100)
    assert guard.app.bodies == []


async def test_elsewhere_a_streamed_body_is_cut_at_its_limit_and_the_app_is_stopped(guarded) -> None:
    guard = guarded(max_request_bytes=10)
    reply = await request(guard, "POST", "/upload", chunks=[b"x" * 8, b"x" * 8])
    assert (reply.status, reply.complete) == (413, True)
    assert guard.app.bodies == []


async def test_a_body_that_does_not_arrive_in_time_is_given_up(guarded) -> None:
    guard = guarded(body_timeout_seconds=0.05)

    class Slow(Connection):
        async def receive(self):
            if len(self.messages) == 1:
                await asyncio.sleep(30)
            return await super().receive()

    reply = await request(guard, chunks=[b"{", b"}"], connection=Slow([b"{", b"}"]))
    assert (reply.status, reply.code) == (408, "BODY_TIMEOUT")


async def test_elsewhere_a_body_that_falls_silent_is_given_up(guarded) -> None:
    guard = guarded(body_idle_seconds=0.05)

    class Silent(Connection):
        async def receive(self):
            if len(self.messages) == 1:
                await asyncio.sleep(30)
            return await super().receive()

    reply = await request(guard, "POST", "/upload", connection=Silent([b"{", b"}"]), chunks=[b""])
    assert (reply.status, reply.complete) == (408, True)


async def test_all_buffered_bodies_together_are_bounded_and_given_back(guarded) -> None:
    guard = guarded(EchoApp(seconds=0.05), max_buffered_bytes=200)
    body = json.dumps({"query": "{me{id}}", "pad": "x" * 120}).encode()
    replies = await asyncio.gather(*(request(guard, body=body) for _ in range(3)))
    assert sorted(reply.status for reply in replies) == [200, 503, 503]
    assert (await request(guard, body=body)).status == 200
    assert guard.guard.runtime.budget.used == 0


async def test_a_client_that_leaves_in_the_middle_of_its_body_reaches_nobody(guarded) -> None:
    guard = guarded()

    class Leaving(Connection):
        async def receive(self):
            if len(self.messages) == 1:
                return {"type": "http.disconnect"}
            return await super().receive()

    reply = await request(guard, connection=Leaving([b"{", b"}"]), chunks=[b""])
    assert (reply.messages, guard.app.bodies) == ([], [])


# --- browsers --------------------------------------------------------------------------------------------------------


async def test_a_preflight_passes_without_a_token(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, rate_limit_burst=0)
    headers = {"origin": "https://app.example.org", "access-control-request-method": "POST"}
    reply = await request(guard, "OPTIONS", headers=headers)
    assert reply.status == 200
    assert reply.header("x-ratelimit-remaining") == "99"  # charged as any anonymous request


async def test_a_graphiql_page_passes_without_a_token(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret)
    assert (await request(guard, "GET", headers={"accept": "text/html,*/*"})).status == 200
    assert (await request(guard, "GET", headers={"accept": "text/html"}, query="query={me{id}}")).status == 401
    with_body = await request(guard, "GET", headers={"accept": "text/html"}, body=QUERY)
    assert with_body.status == 401


@pytest.mark.parametrize(
    ("accept", "status"),
    [("text/html;q=0, */*", 401), ("text/html;q=0.1", 200), ("text/*", 200), ("text/*, text/html;q=0", 401),
     ("*/*", 401), ("application/xhtml+xml, Text/HTML", 200), ('x/y;a="text/html"', 401)],
)  # fmt: skip
async def test_a_page_is_what_is_asked_for_by_its_name(guarded, secret, accept, status) -> None:
    reply = await request(guarded(jwt_secret=secret), "GET", headers={"accept": accept})
    assert reply.status == status


async def test_a_foreign_page_cannot_run_queries_in_its_visitors_name(guarded) -> None:
    guard = guarded()
    foreign = {"sec-fetch-site": "cross-site"}
    simple = await request(guard, "GET", query="query={me{id}}", headers=foreign)
    assert (simple.status, simple.code) == (400, "CROSS_SITE_REQUEST")
    text = await request(guard, body=QUERY, content_type="text/plain", headers=foreign)
    assert (text.status, text.code) == (400, "CROSS_SITE_REQUEST")
    basic = foreign | {"authorization": "Basic YWxpY2U6cHc="}  # which a browser adds by itself
    assert (await request(guard, "GET", query="query={me{id}}", headers=basic)).code == "CROSS_SITE_REQUEST"
    bearer = foreign | {"authorization": "Bearer token"}
    assert (await request(guard, "GET", query="query={me{id}}", headers=bearer)).status == 200
    preflighted = await request(guard, body=QUERY, headers=foreign)
    assert preflighted.status == 200
    for site in ("same-origin", "same-site", "none"):
        assert (await request(guard, "GET", query="query={me{id}}", headers={"sec-fetch-site": site})).status == 200


ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
APP = "https://app.example.org"


@pytest.mark.parametrize("middleware", [RateLimitMiddleware, Guard])
@pytest.mark.parametrize("origins", [APP, f"https://other.example.org,{APP}", "*"])
async def test_preflights_of_configured_origins_cost_nothing(guarded, middleware, origins) -> None:
    guard = guarded(middleware=middleware, cors_origins=origins, rate_limit_default="2/hour", rate_limit_burst=0)
    for _ in range(20):
        reply = await request(guard, "OPTIONS", headers={"origin": APP, **ASKS})
        assert (reply.status, reply.header("x-ratelimit-remaining")) == (200, None)
    asked = [(await request(guard, body=QUERY, headers={"origin": APP})).status for _ in range(3)]
    assert asked == [200, 200, 429]
    assert (await request(guard, "OPTIONS", headers={"origin": APP, **ASKS})).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.org", **ASKS},
        {"origin": APP + ".evil.example.org", **ASKS},
        {"origin": "null", **ASKS},
    ],
)
async def test_preflights_of_other_origins_cost_what_requests_do(guarded, headers) -> None:
    guard = guarded(cors_origins=APP, rate_limit_default="2/hour", rate_limit_burst=0)
    assert [(await request(guard, "OPTIONS", headers=headers)).status for _ in range(3)] == [200, 200, 429]


async def test_what_is_no_preflight_costs_what_it_did(guarded) -> None:
    """An origin alone frees nothing: a request with it, a preflight's header on another method, another path."""
    for method, path in (("GET", "/graphql"), ("POST", "/graphql"), ("OPTIONS", "/page")):
        guard = guarded(cors_origins="*", rate_limit_default="2/hour", rate_limit_burst=0)
        more = {"body": QUERY} if method == "POST" else {"query": "query={me}"}
        sent = [await request(guard, method, path, headers={"origin": APP, **ASKS}, **more) for _ in range(3)]
        assert [reply.status for reply in sent] == [200, 200, 429]


@pytest.mark.parametrize(
    ("origins", "origin", "allowed", "credentials"),
    [
        (APP, APP, APP, "true"),
        (f"{APP},*", APP, APP, "true"),
        (f"{APP},*", "https://evil.example.org", "*", None),
        ("*", APP, "*", None),
        (APP, "https://evil.example.org", None, None),
        (APP, None, None, None),
    ],
)
async def test_cookies_may_be_sent_along_from_origins_that_are_named_alone(
    guarded, origins, origin, allowed, credentials
) -> None:
    reply = await request(guarded(cors_origins=origins), body=b"{}", headers={"origin": origin} if origin else {})
    assert reply.status == 400
    assert reply.header("access-control-allow-origin") == allowed
    assert reply.header("access-control-allow-credentials") == credentials


async def test_refusals_carry_cors_headers_for_configured_origins_alone(guarded) -> None:
    guard = guarded(cors_origins="https://app.example.org")
    ours = await request(guard, body=b"{}", headers={"origin": "https://app.example.org"})
    assert ours.header("access-control-allow-origin") == "https://app.example.org"
    assert "Retry-After" in (ours.header("access-control-expose-headers") or "")
    other = await request(guard, body=b"{}", headers={"origin": "https://evil.example.org"})
    assert other.header("access-control-allow-origin") is None


# --- other scopes ----------------------------------------------------------------------------------------------------


async def test_unknown_scope_types_pass_unchanged(guarded) -> None:
    guard = guarded()
    await guard({"type": "quic.something", "value": 1}, None, None)
    assert guard.app.scopes[-1]["value"] == 1


async def test_no_request_is_answered_500_by_the_guard_whatever_its_head_looks_like(guarded) -> None:
    guard = guarded()
    for client in (None, (), ["x"], ("not an address", "port"), 17, ("::ffff:203.0.113.9", "1")):
        assert (await graphql(guard, "{me{id}}", client=client)).status == 200
    odd = {"authorization": "Bearer \xff\xfe", "traceparent": "zz", "x-forwarded-for": "\x80,,;", "accept": "\xff"}
    assert (await graphql(guard, "{me{id}}", headers=odd)).status == 200
