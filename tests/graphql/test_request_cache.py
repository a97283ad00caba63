"""What is remembered of whole requests never changes what is read, is bounded, and is nothing that must not be kept."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql import Reader, RequestAnalysis
from fraiseql_guard.graphql.cost.schema import load_schema
from fraiseql_guard.graphql.request_cache import LONGEST, RequestCache
from fraiseql_guard.stores.documents import digest_of
from tests.graphql.mutations import mutated
from tests.graphql.requests import BLOG, body, post, reader, refusal
from tests.guard.test_uploads import form, mapped, operations, part
from tests.support.properties import examples

PAGE = "query Page($n: Int, $s: Boolean = false) { users(limit: $n) { id name @skip(if: $s) } }"
DOCUMENTS = (
    PAGE,
    "query A { me { id } } query B { users(limit: 90) { posts(limit: 9) { id } } }",
    'mutation { createPost(title: "x") { id } }',
    "{ me { name name } __typename }",
    "{ users(limit: 5001) { id } }",
    "{ __schema { types { name } } }",
    "{ nothing { at all",
    "subscription { posted { id } }",
)
VARIABLES = (None, {}, {"n": 5}, {"n": 5.0}, {"n": True}, {"n": 90}, {"n": 5, "s": True}, {"n": 5, "s": 1}, {"n": [1]})
NAMES = (None, "A", "B", "Page", "")
TYPES = ("application/json", "application/json; charset=utf-8", "application/json;charset=latin-1", "text/plain", "")
OPTIONS = (
    {},
    {"log_query_text": True},
    {"monitor_limits": ("max_query_complexity", "max_list_size"), "log_query_text": True},
    {"batching": True, "max_batch_size": 3, "introspection": "authenticated"},
    {"multipart": True, "introspection": "authenticated", "max_query_complexity": 80},
    {"apq": True, "introspection": "authenticated"},
)
SCHEMAS = (None, load_schema(BLOG))

FORM = "multipart/form-data; boundary=limit"


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Requests in which few values of each part are put together in all ways, so that any two differ in little."""
    texts = st.sampled_from(draw(st.lists(st.sampled_from(DOCUMENTS), min_size=1, max_size=2)))
    carried = st.fixed_dictionaries(
        {"query": texts, "variables": st.sampled_from(VARIABLES), "operationName": st.sampled_from(NAMES)}
    )
    hashed = texts.map(lambda text: {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest_of(text)}}})
    registering = st.builds(lambda text, sent: {"query": text, **sent}, texts, hashed)
    payloads = (carried | hashed | registering | st.lists(carried, max_size=4)).map(
        lambda sent: json.dumps(sent).encode()
    )
    damaged = st.builds(lambda sent, seed: mutated(random.Random(seed), sent, DOCUMENTS), payloads, st.integers(0, 9))
    uploads = texts.map(lambda text: form(operations(query=text), mapped(), part("0", b"x", "a")))
    urls = carried.map(lambda sent: urlencode({key: _text(value) for key, value in sent.items() if value}).encode())

    methods = draw(st.sampled_from([("POST",), ("POST",), ("POST", "GET"), ("GET", "HEAD", "PUT")]))
    types = (TYPES[0], draw(st.sampled_from((*TYPES, FORM))))
    queries = (b"", draw(st.sampled_from((b"", b"v=2")) | urls), *(() if "POST" in methods else (draw(urls),)))
    bodies = (draw(payloads | uploads), draw(payloads | damaged))
    step = st.tuples(
        st.sampled_from(methods),
        st.sampled_from(types),
        st.sampled_from(queries),
        st.sampled_from(bodies if methods == ("POST",) else (*bodies, b"", b"")),
        st.booleans(),
        st.sampled_from(("alice", "bob")),
    )
    return draw(st.lists(step, min_size=20, max_size=40))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def remembered(to: Reader) -> int:
    """How many requests a reader remembers, having read each of them as often as it takes."""
    return to.remembered_requests


def often(to: Reader, payload: bytes, content_type: str = "application/json") -> RequestAnalysis:
    """The reading of a request that was sent four times, each time in bytes of its own."""
    return [post(to, bytes(bytearray(payload)), content_type) for _ in range(4)][-1]


@examples(300)
@given(conversations(), st.sampled_from(OPTIONS), st.sampled_from(SCHEMAS), st.sampled_from((1, 3, 1000)))
def test_every_request_is_read_as_if_nothing_were_remembered(conversation, options, schema, most) -> None:
    made = Settings.load({}, **options)
    remembers = Reader(made, schema, remembered_requests=most)
    forgets = Reader(made, schema, remembered_requests=0)  # but not what was registered
    for *request, authenticated, caller in conversation:
        reading = remembers.read(*request, authenticated=authenticated, caller=caller)
        same = forgets.read(*request, authenticated=authenticated, caller=caller)
        assert (reading, repr(reading)) == (same, repr(same))
        if not options.get("apq"):
            new = Reader(made, schema).read(*request, authenticated=authenticated, caller=caller)
            assert (reading, repr(reading)) == (new, repr(new))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"authenticated": True}, {"authenticated": False}),
        ({"content_type": "application/json"}, {"content_type": "text/plain"}),
        ({"query_string": b""}, {"query_string": b"query={me{id}}"}),
        ({"query_string": b"query={me{id}}", "body": b"", "method": "GET"}, {"query_string": b"", "body": b""}),
    ],
)
def test_who_differs_in_anything_is_read_anew(first, second) -> None:
    usual = {"method": "POST", "content_type": "application/json", "query_string": b"", "body": body("{__schema{a}}")}
    to = reader(introspection="authenticated")
    for _ in range(4):
        assert refusal(to.read(**{**usual, "authenticated": True, **first})) is None
        assert refusal(to.read(**{**usual, "authenticated": True, **second})) is not None
    assert remembered(to) == 1


def test_what_comes_again_is_the_same_reading() -> None:
    to = reader()
    assert often(to, body(PAGE, {"n": 5})) is often(to, body(PAGE, {"n": 5}))
    assert remembered(to) == 1


REFUSED = "{users(limit:5001){id}}"
LOGIN = 'mutation{login(password:"s3cret"){id}}'


@pytest.mark.parametrize(
    ("payload", "options"),
    [
        (body(REFUSED), {}),
        (body(REFUSED), {"log_query_text": True}),
        (body(REFUSED), {"monitor_limits": ("max_query_complexity", "max_list_size")}),
        (body(LOGIN), {}),
        (b"[%s,%s]" % (body("{me{id}}"), body(LOGIN)), {"batching": True}),
        (body("{me{id}}", {"note": "x" * LONGEST}), {}),
        (body("{me{id}}"), {"apq": True}),
        (b"{", {}),
    ],
)
def test_what_must_not_be_kept_is_not(payload, options) -> None:
    to = reader(**options)
    often(to, payload)
    assert remembered(to) == 0
    if "apq" not in options:
        often(to, body("{me{name}}"))
        assert remembered(to) == 1


def test_uploads_are_read_each_time() -> None:
    to = reader(multipart=True)
    sent = form(operations(query="{me{id}}", variables={"file": None}), mapped(), part("0", b"x", "a"))
    assert refusal(often(to, sent, "multipart/form-data; boundary=limit")) is None
    assert remembered(to) == 0


def test_a_buffer_that_a_server_hands_on_is_read_each_time() -> None:
    to = reader()
    buffer = bytearray(body("{me{id}}"))
    for _ in range(4):
        assert refusal(post(to, buffer)) is None
    buffer[:] = body(REFUSED)
    assert refusal(post(to, buffer)) == "QUERY_TOO_COMPLEX"
    assert refusal(to.read("GET", "", bytearray(b"query={me{id}}"), b"", authenticated=False)) is None


def test_who_asks_something_new_each_time_pushes_nothing_out() -> None:
    to = reader()
    kept = often(to, body(PAGE, {"n": 5}))
    for number in range(10_000):
        assert refusal(post(to, body(PAGE, {"n": 5, "id": number}))) is None
    assert remembered(to) == 1
    assert post(to, body(PAGE, {"n": 5})) is kept
    assert to.size_bytes < 1024 * 1024


def test_however_much_is_repeated_the_memory_is_bounded() -> None:
    to = reader()
    for number in range(1200):
        often(to, body(PAGE, {"n": 5, "id": number}))
    assert remembered(to) == 1000
    reading, kept = often(to, body(PAGE)), RequestCache(max_bytes=100_000)
    for number in range(100):
        sent = ("POST", "application/json", b"", b"%03d" % number * (LONGEST // 4), False)
        for _ in range(2):
            kept.note(sent, reading)
    assert 0 < len(kept) < 30
    assert kept.size_bytes < 100_000 + 100 * 100
    for sent in (("GET", "", b"x" * LONGEST, b"y", False), ("GET", "x" * LONGEST, b"y", b"", False)):
        for _ in range(3):
            kept.note(sent, reading)
        assert kept.find(sent) is None


def test_all_of_it_is_forgotten() -> None:
    to = reader()
    for number in range(20):
        often(to, body(PAGE, {"n": 5, "id": number}))
    before = to.size_bytes
    assert (remembered(to), before > 20 * 1500) == (20, True)
    to.forget()
    assert (remembered(to), to.size_bytes, list(to.texts())) == (0, 0, [])


def test_the_text_of_what_passes_is_known_though_its_document_was_forgotten() -> None:
    to = Reader(Settings.load({}, batching=True), remembered_documents=1)
    pair = ["query B { me { id } }", "query C { me { name } }"]
    often(to, b"[%s]" % b",".join(map(body, pair)))
    often(to, body(PAGE, {"n": 5}))
    often(to, body(PAGE, {"n": 6}))
    for _ in range(3):
        to.read("GET", "", urlencode({"query": "{a}"}).encode(), b"", authenticated=False)
    often(to, body("{last}"))
    texts = [PAGE, *pair, "{a}", "{last}"]
    assert sorted(to.texts()) == sorted((digest_of(text), text) for text in texts)
