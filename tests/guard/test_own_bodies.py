"""The app gives refusals bodies of its own: what it may change, and what stays whatever it does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard import Guard, RateLimitMiddleware, RefusalBody, RefusalFacts, SettingsError
from fraiseql_guard.asgi.refusal_cache import CachedRefusal
from fraiseql_guard.asgi.refusal_template import load_template
from tests.support.asgi import EchoApp, Reply, graphql, request
from tests.support.socket_memory import L, SocketApp, T, error_of, opened

ONCE = {"rate_limit_default": "1/hour", "rate_limit_burst": 0, "rate_limit_abuse_offences": 1_000_000}
FAULTS = "fraiseql_guard_faults_total"


def ours(refusal: RefusalFacts) -> dict[str, Any]:
    """The house style of some app."""
    text = "Doucement." if refusal.accept_language.startswith("fr") else "Slow down."
    error = {"message": text, "extensions": {"kind": refusal.code, "id": refusal.request_id, "wait": refusal.limit}}
    return {"errors": [error]} if refusal.graphql else {"error": error}


async def last(guard: Any, times: int = 2, ask: Any = graphql, **more: Any) -> Reply:
    """The last of some requests with the same head."""
    asked = ("{me{id}}",) if ask is graphql else ("GET", "/page")
    return [await ask(guard, *asked, **more) for _ in range(times)][-1]


def lines(reply: Reply, *, without: set[bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in reply.headers if name not in without}


@pytest.mark.parametrize("ask", [graphql, request], ids=["graphql", "other"])
async def test_a_function_changes_the_body_and_nothing_that_clients_act_by(guarded, clock, ask) -> None:
    usual, own = guarded(**ONCE, clock=clock), guarded(**ONCE, clock=clock, render_refusal=ours)
    expected, reply = await last(usual, ask=ask), await last(own, ask=ask)
    assert reply.status == expected.status == 429
    error = (reply.json["errors"][0]) if ask is graphql else reply.json["error"]
    assert error["message"] == "Slow down."
    assert error["extensions"] == {"kind": "RATE_LIMITED", "id": reply.header("x-request-id"), "wait": 1}
    told = {b"x-request-id", b"content-length", b"content-type"}
    assert lines(reply, without=told) == lines(expected, without=told)
    kinds = {graphql: expected.header("content-type"), request: "application/json"}
    assert reply.header("content-type") == kinds[ask]
    assert reply.header("content-length") == str(len(reply.body))


async def test_none_means_the_guards_own_body(guarded) -> None:
    guard = guarded(**ONCE, render_refusal=lambda refusal: None)
    assert (await last(guard)).code == "RATE_LIMITED"
    assert guard.metric(FAULTS) == 0


async def test_a_function_is_told_all_that_the_usual_answer_says(guarded) -> None:
    told: list[RefusalFacts] = []
    guard = guarded(render_refusal=told.append, max_query_depth=2)
    reply = await graphql(guard, "{a{b{c{d}}}}", headers={"accept": "application/json", "accept-language": "fr"})
    (facts,) = told
    assert (facts.code, facts.status, facts.graphql) == ("QUERY_TOO_DEEP", 400, True)
    assert (facts.limit, facts.actual) == (2, 4)
    assert (facts.accept, facts.accept_language) == ("application/json", "fr")
    assert facts.request_id == reply.header("x-request-id")
    assert facts.extensions == reply.extensions
    assert facts.protection == "query_limits"


async def test_text_has_its_media_type_and_headers_are_added(guarded) -> None:
    body = RefusalBody("<h1>Too much</h1>", "text/html; charset=utf-8", {"Content-Language": "en"})
    reply = await last(guarded(**ONCE, render_refusal=lambda _: body), ask=request)
    assert (reply.status, reply.body) == (429, b"<h1>Too much</h1>")
    assert reply.header("content-type") == "text/html; charset=utf-8"
    assert reply.header("content-language") == "en"


async def test_a_head_request_has_no_body_and_its_length(guarded) -> None:
    guard = guarded(**ONCE, render_refusal=ours)
    replies = [await request(guard, "HEAD", "/page") for _ in range(40)]
    assert {(reply.body, reply.header("content-length")) for reply in replies[1:]} == {
        (b"", str(len(json.dumps(ours(FACTS), separators=(",", ":")))))
    }


FACTS = RefusalFacts(
    code="RATE_LIMITED",
    status=429,
    message="Too many requests.",
    detail=None,
    limit=1,
    actual=2,
    path=None,
    retry_after_seconds=3600,
    request_id="f" * 32,
    protection="rate_limit",
    graphql=False,
)


@pytest.mark.parametrize("kind", ["html", "json", "with a header"])
@pytest.mark.parametrize("code", ["batch", "alone"])
async def test_each_operation_of_a_batch_is_given_the_same_body(guarded, kind, code) -> None:
    bodies = {
        "html": RefusalBody(b"<p>", "text/html"),
        "json": {"errors": [{"message": "no"}]},
        "with a header": RefusalBody({"errors": [{"message": "no"}]}, headers={"X-House": "ours"}),
    }
    guard = guarded(**ONCE, batching=True, render_refusal=lambda _: bodies[kind])
    operation = {"query": "{me{id}}"}
    sent = json.dumps([operation, operation] if code == "batch" else operation).encode()
    reply = [await request(guard, body=sent) for _ in range(3)][-1]
    assert reply.status == 429
    if kind == "html":
        assert reply.body == b"<p>"
    elif code == "batch":
        assert reply.json == [{"errors": [{"message": "no"}]}] * 2
    else:
        assert reply.json == {"errors": [{"message": "no"}]}


# --- what is wrong with a body costs nothing but the body -------------------------------------------------------------


async def later(refusal: RefusalFacts) -> dict[str, Any]:
    return {}


def raises(refusal: RefusalFacts) -> dict[str, Any]:
    raise KeyError(refusal.code)


@pytest.mark.parametrize(
    "render",
    [
        raises,
        lambda _: later(FACTS),
        lambda _: "text without a media type",
        lambda _: 7,
        lambda _: {"a": object()},
        lambda _: {1: 2},
        lambda _: RefusalBody("\ud800", "text/plain"),
        lambda _: RefusalBody("x", "text/plain\r\nset-cookie: a=b"),
        lambda _: RefusalBody("x", "text/plain", {"retry-after": "0"}),
        lambda _: RefusalBody("x", "text/plain", {"X-House": "a\r\nset-cookie: b"}),
        lambda _: RefusalBody("x", "text/plain", {"X House": "a"}),
    ],
)
@pytest.mark.parametrize("ask", [graphql, request], ids=["graphql", "other"])
async def test_a_body_that_cannot_be_sent_is_the_guards_own_and_a_fault(guarded, render, ask) -> None:
    guard = guarded(**ONCE, render_refusal=render)
    reply = await last(guard, ask=ask)
    assert (reply.status, reply.code) == (429, "RATE_LIMITED")
    assert reply.header("retry-after")
    assert guard.metric(FAULTS, part="render_refusal") == 1
    (line,) = guard.lines("guard.fault")
    assert line["context"]["part"] == "render_refusal"


@pytest.mark.parametrize(
    "name",
    [
        *("Retry-After", "X-Request-ID", "RateLimit", "ratelimit-policy", "X-RateLimit-Limit", "Cache-Control"),
        *("Vary", "Access-Control-Allow-Origin", "Content-Length", "Content-Type", "Transfer-Encoding", "ETag"),
    ],
)
def test_headers_that_are_the_guards_cannot_be_given(name) -> None:
    with pytest.raises(ValueError, match="is the guard's"):
        RefusalBody({}, headers={name: "1"})


async def test_many_faults_are_counted_and_few_are_logged(guarded, clock) -> None:
    guard = guarded(**ONCE, render_refusal=raises, clock=clock)
    await last(guard, times=200)
    assert guard.metric(FAULTS, part="render_refusal") >= 199
    assert 1 <= len(guard.lines("guard.fault")) <= 10


@pytest.mark.parametrize("unusable", [later, "text", 7], ids=["async", "text", "number"])
def test_a_function_that_cannot_be_used_stops_the_start(unusable) -> None:
    with pytest.raises(SettingsError, match="def render_refusal"):
        Guard(EchoApp(), render_refusal=unusable)


def test_two_guards_mounted_on_each_other_have_one_function() -> None:
    one, other = (lambda _: None), (lambda _: None)
    inside = RateLimitMiddleware(EchoApp(), render_refusal=one)
    assert Guard(inside).mount_options.app_hooks.render_refusal is one
    with pytest.raises(SettingsError, match="two different render_refusal"):
        Guard(RateLimitMiddleware(EchoApp(), render_refusal=one), render_refusal=other)


# --- what stays the guard's own ---------------------------------------------------------------------------------------


async def test_operators_are_answered_as_their_interface_says(guarded) -> None:
    guard = guarded(render_refusal=ours, admin_tokens=f"alice={'t' * 40}")
    reply = await request(guard, "GET", "/admin/status")
    assert (reply.status, reply.json["code"]) == (401, "ADMIN_UNAUTHENTICATED")


async def test_clients_know_steps_of_persisted_queries_by_their_words(guarded) -> None:
    guard = guarded(render_refusal=ours, apq=True)
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "a" * 64}}
    reply = await request(guard, body=json.dumps({"extensions": extensions}).encode())
    assert reply.json["errors"][0]["message"] == "PersistedQueryNotFound"


@pytest.mark.parametrize(
    ("render", "message"),
    [
        (ours, "Slow down."),
        (lambda _: {"problem": "no result"}, "nested too deeply"),
        (lambda _: RefusalBody('{"errors":[{"message":"two\nlines"}]}', "application/json"), "nested too deeply"),
    ],
    ids=["a result", "no result", "text"],
)
async def test_events_carry_results_alone(guarded, render, message) -> None:
    guard = guarded(render_refusal=render, max_query_depth=1)
    reply = await graphql(guard, "{a{b{c}}}", headers={"accept": "text/event-stream"})
    assert (reply.status, reply.header("content-type")) == (200, "text/event-stream")
    event, data = reply.body.decode().splitlines()[:2]
    assert event == "event: next"
    assert message in json.loads(data.removeprefix("data: "))["errors"][0]["message"]


@pytest.mark.parametrize("protocol", [T, L])
@pytest.mark.parametrize(
    ("render", "error"),
    [
        (
            lambda facts: {"errors": [{"message": facts.code, "extensions": {"a": 1}, "path": ["x"]}]},
            ("QUERY_TOO_DEEP", {"a": 1}),
        ),
        (lambda facts: {"errors": [{"message": facts.code}]}, ("QUERY_TOO_DEEP", None)),
        (lambda _: {"problem": 1}, ("nested too deeply", "theirs")),
        (lambda _: {"errors": [{"message": "x", "extensions": object()}]}, ("nested too deeply", "theirs")),
        (raises, ("nested too deeply", "theirs")),
    ],
    ids=["a result", "a message", "no result", "no JSON", "raises"],
)
async def test_a_socket_carries_message_and_extensions(guarded, protocol, render, error) -> None:
    guard = guarded(SocketApp(), render_refusal=render, max_query_depth=1)
    async with opened(guard, protocol) as socket:
        await socket.init()
        await socket.start("1", "{ a { b { c } } }")
        told = error_of(await socket.receive())
        message, extensions = error
        assert message in told["message"]
        assert "path" not in told
        assert (told["extensions"]["code"] if extensions == "theirs" else told.get("extensions")) == (
            "QUERY_TOO_DEEP" if extensions == "theirs" else extensions
        )
        assert await socket.ask("{ me }", "2") == {"data": {"ok": True}}


# --- refusals that are repeated from memory ---------------------------------------------------------------------------


@pytest.fixture
def given_again(monkeypatch: pytest.MonkeyPatch) -> list[CachedRefusal]:
    found: list[CachedRefusal] = []
    answer = CachedRefusal.answer

    async def spy(self: CachedRefusal, send: Any) -> None:
        found.append(self)
        await answer(self, send)

    monkeypatch.setattr(CachedRefusal, "answer", spy)
    return found


def twice(refusal: RefusalFacts) -> dict[str, Any]:
    return {"a": refusal.request_id, "b": f"{refusal.request_id}/{refusal.request_id}"}


@pytest.mark.parametrize(
    "render",
    [ours, twice, lambda _: {"always": "the same"}, lambda _: None],
    ids=["an id", "several", "none", "the guard's own"],
)
async def test_a_repetition_has_its_own_id_wherever_it_stands(guarded, clock, given_again, render) -> None:
    guard = guarded(**ONCE, render_refusal=render, clock=clock)
    replies = [await request(guard, "GET", "/page") for _ in range(60)][1:]
    assert len(given_again) > 30
    assert len({reply.header("x-request-id") for reply in replies}) == 59
    bodies = {reply.body.replace((reply.header("x-request-id") or "").encode(), b"ID") for reply in replies}
    assert len(bodies) == 1
    assert guard.metric("fraiseql_guard_refusals_total", code="RATE_LIMITED") == 59


async def test_a_body_with_something_new_each_time_is_made_each_time(guarded, clock, given_again) -> None:
    made: list[int] = []

    def numbered(refusal: RefusalFacts) -> dict[str, Any]:
        made.append(1)
        return {"number": len(made)}

    guard = guarded(**ONCE, render_refusal=numbered, clock=clock)
    numbers = [(await request(guard, "GET", "/page")).json.get("number") for _ in range(60)][1:]
    assert len(set(numbers)) == 59
    assert not given_again


async def test_no_caller_gets_a_language_that_was_not_asked_for(guarded, clock, given_again) -> None:
    guard = guarded(**ONCE, render_refusal=ours, clock=clock)
    await last(guard, times=60, ask=request, headers={"accept-language": "fr"})
    assert given_again
    reply = await last(guard, times=1, ask=request, headers={"accept-language": "en"})
    assert reply.json["error"]["message"] == "Slow down."


# --- a template -------------------------------------------------------------------------------------------------------

TEMPLATE = {
    "graphql": {
        "errors": [
            {"message": "Refused: {message}", "extensions": {"code": "{code}", "limit": "{limit}", "path": "{path}"}}
        ]
    },
    "http": {
        "error": {"code": "{code}", "text": "{message} {limit} of {detail}!", "status": "{status}", "known": [True, 7]},
        "requestId": "{requestId}",
        "retry": "{retryAfter}",
    },
    "codes": {"RATE_LIMITED": {"http": ["Wait {retryAfter} s"]}},
    "httpMediaType": "application/vnd.api+json",
}


@pytest.fixture
def template(tmp_path) -> Any:
    def write(content: Any) -> Any:
        path = tmp_path / "refusals.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


async def test_a_file_changes_bodies_without_code(guarded, template) -> None:
    guard = guarded(refusal_template_file=template(TEMPLATE), max_query_depth=2, **ONCE)
    reply = await graphql(guard, "{a{b{c{d}}}}")
    assert reply.status == 400
    error = reply.json["errors"][0]
    assert error["message"] == "Refused: The operation is nested too deeply."
    assert error["extensions"] == {"code": "QUERY_TOO_DEEP", "limit": 2, "path": "a.b.c.d"}
    reply = await last(guard, ask=request)
    assert (reply.status, reply.json) == (429, [f"Wait {reply.header('retry-after')} s"])
    assert reply.header("content-type") == "application/vnd.api+json"


async def test_a_text_that_is_a_placeholder_becomes_its_value(guarded, template) -> None:
    guard = guarded(refusal_template_file=template({"http": TEMPLATE["http"]}), **ONCE)
    reply = await last(guard, ask=request)
    assert reply.json == {
        "error": {
            "code": "RATE_LIMITED",
            "text": "Too many requests. 1 of default: 1/hour!",
            "status": 429,
            "known": [True, 7],
        },
        "requestId": reply.header("x-request-id"),
        "retry": int(reply.header("retry-after") or 0),
    }
    assert reply.header("content-type") == "application/json"
    assert (await last(guard)).code == "RATE_LIMITED"  # of a kind that the file does not name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "no object"),
        ({"grapql": {}}, "did you mean graphql"),
        ({"codes": {"RATE_LIMITTED": {}}}, "did you mean RATE_LIMITED"),
        ({"codes": {"RATE_LIMITED": {"body": {}}}}, "no member"),
        ({"codes": {"RATE_LIMITED": {"htp": {}}}}, "did you mean http"),
        ({"http": {"a": "{retryafter}"}}, r"did you mean \{retryAfter\}"),
        ({"http": {"a": ["{zzzz}"]}}, r"http\.a\[0\].*accepted: code"),
        ({"http": {"{code}": 1}}, "only values may"),
        ({"http": "text"}, "neither an object nor an array"),
        ({"graphql": {"error": "{message}"}}, r"errors\[\]\.message"),
        ({"graphql": {"errors": []}}, r"errors\[\]\.message"),
        ({"graphql": {"errors": [{"message": "{limit}"}]}}, r"errors\[\]\.message"),
        ({"codes": {"BLOCKED": {"graphql": {"errors": [{"message": 7}]}}}}, r"codes\.BLOCKED\.graphql"),
        ({"httpMediaType": "html"}, "no media type"),
        ('{"http": ' + "[" * 60 + "]" * 60 + "}", "nested"),
        ("[" * 5000, "is not JSON"),
        (" " * 1_048_577, "is longer than"),
    ],
)
def test_a_template_that_cannot_be_used_stops_the_start(template, content, said) -> None:
    with pytest.raises(SettingsError, match=said) as stopped:
        Guard(EchoApp(), refusal_template_file=template(content))
    assert "FRAISEQL_GUARD_REFUSAL_TEMPLATE_FILE=" in str(stopped.value)


def test_a_file_that_is_missing_stops_the_start(tmp_path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        Guard(EchoApp(), refusal_template_file=tmp_path / "none.json")


def test_a_function_and_a_file_contradict_each_other(template) -> None:
    with pytest.raises(SettingsError, match="both give refusals a body"):
        Guard(EchoApp(), render_refusal=ours, refusal_template_file=template(TEMPLATE))


TEXTS = st.text(max_size=40)
PLAIN = TEXTS.filter(lambda text: "{" not in text)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=10,
)


@given(value=JSON_VALUES, message=TEXTS, before=PLAIN)
def test_whatever_a_value_holds_the_rest_of_the_template_stays(tmp_path_factory, value, message, before) -> None:
    path = tmp_path_factory.mktemp("templates") / "refusals.json"
    content = {"http": {"mine": value, "alone": "{message}", "inside": before + "<{message}>"}}
    path.write_text(json.dumps(content), encoding="utf-8")
    facts = RefusalFacts(**{name: getattr(FACTS, name) for name in FACTS.__slots__} | {"message": message})
    body = load_template(path)(facts)
    assert body is not None
    assert body.content == {"mine": value, "alone": message, "inside": f"{before}<{message}>"}
