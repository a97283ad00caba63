"""Every refusal of a text that was read says which text it was, however early it was made."""

import hashlib
import json

import pytest

from fraiseql_guard.operations.operator.records import read_refusal
from fraiseql_guard.stores.overrides import Override, OverrideKind
from tests.support.asgi import request

REFUSED = {
    "QUERY_TOO_LONG": "{a" + " " * 60_000 + "}",
    "QUERY_TOO_MANY_TOKENS": "{a(x:[" + "1 " * 2500 + "])}",
    "QUERY_TOO_DEEP": "{a" * 200 + "}" * 200,
    "TOO_MANY_DIRECTIVES": "{a" + "@x" * 60 + "}",
    "LITERAL_TOO_DEEP": "{a(x:" + "[" * 39 + "]" * 39 + ")}",
    "TOO_MANY_OPERATIONS": " ".join(f"query Q{number}{{a}}" for number in range(20)),
    "GRAPHQL_PARSE_FAILED": "{a(é)}",
    "GRAPHQL_INVALID": "{...A} fragment A on Q{...A}",
    "LIST_TOO_LARGE": "{users(limit:1000000){id}}",
    "OPERATION_NOT_FOUND": "query A{a} query B{b}",
    "LIST_SIZE_INVALID": "{users(limit:1.5){id}}",
}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def post(guard, body, **more):
    return await request(guard, body=json.dumps(body).encode(), **more)


def said(guard) -> list:
    """The query_hash of every refusal's line."""
    events = ("graphql.expensive_query", "guard.request_refused")
    return [line["context"].get("query_hash") for line in guard.lines() if line["event"] in events]


@pytest.mark.parametrize("code", REFUSED)
async def test_a_refusal_carries_the_hash_of_its_text(guarded, code) -> None:
    guard, text = guarded(max_query_complexity=10_000_000), REFUSED[code]
    assert (await post(guard, {"query": text})).code == code
    assert said(guard) == [sha(text)]
    journal = guard.guard.reloader.components.presence._journal
    assert [read_refusal(record).query_hash for record in journal.take("w")] == [sha(text)]


@pytest.mark.parametrize("options", [{}, {"apq": True}], ids=["plain", "apq"])
async def test_a_batch_has_a_hash_over_all_of_its_texts(guarded, options) -> None:
    guard = guarded(batching=True, **options)
    texts = ["{a}", REFUSED["GRAPHQL_PARSE_FAILED"], "{a}"]
    assert (await post(guard, [{"query": text} for text in texts])).code == "GRAPHQL_PARSE_FAILED"
    assert said(guard) == [sha("".join(map(sha, texts)))]


async def test_a_hash_that_is_not_the_texts_is_not_believed(guarded) -> None:
    guard = guarded(apq=True)
    claimed = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha("{b}")}}}
    assert (await post(guard, {"query": "{a}", **claimed})).code == "BAD_REQUEST"
    assert said(guard) == [sha("{a}")]


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        ({"variables": {"a": [0] * 10_500}}, "VARIABLES_TOO_LARGE"),
        ({"variables": {"a": [[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]}}, "VARIABLES_TOO_DEEP"),
        ({"variables": 1}, "BAD_REQUEST"),
    ],
)
async def test_also_what_is_refused_for_what_came_with_it(guarded, envelope, code) -> None:
    guard = guarded()
    assert (await post(guard, {"query": "{a}", **envelope})).code == code
    assert said(guard) == [sha("{a}")]


async def test_what_has_no_text_has_no_hash(guarded) -> None:
    guard = guarded()
    assert (await request(guard, body=b"{")).code == "BAD_REQUEST"
    assert (await post(guard, {"variables": {}})).code == "BAD_REQUEST"
    assert said(guard) == [None, None]


@pytest.mark.parametrize("code", ["QUERY_TOO_LONG", "GRAPHQL_PARSE_FAILED", "LIST_TOO_LARGE"])
async def test_a_blocked_document_is_known_however_early_it_would_be_refused(guarded, code) -> None:
    guard, text = guarded(mode="monitor", max_query_complexity=10_000_000), REFUSED[code]
    assert (await post(guard, {"query": text})).status == 200
    await guard.guard.runtime.store.overrides.put(Override(OverrideKind.DOCUMENT, sha(text), 600))
    await guard.heard()
    assert (await post(guard, {"query": text})).status == 200
    assert guard.metric("fraiseql_guard_would_refuse_total", code="DOCUMENT_BLOCKED") == 1
    await guard.guard.aclose()
