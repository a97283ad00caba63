"""Documents that the operator trusts: named instead of sent, free of the static limits, or the only ones accepted."""

import hashlib
import json
import os
from urllib.parse import parse_qs, quote

import pytest

from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.core.watched_file import LOOK_AGAIN_SECONDS
from tests.support.asgi import request

ME = "query Me{me{id}}"
DEEP = "query Deep{a" + "{a" * 20 + "{id}" + "}" * 21
SIZED = "query Sized($n:Int){users(limit:$n){id}}"
INTROSPECTION = "{__schema{types{name}}}"
CHANGE = "mutation Change{change{id}}"
TEXTS = (ME, DEEP, SIZED, INTROSPECTION, CHANGE)


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


@pytest.fixture
def manifest(tmp_path):
    """A manifest as Relay writes it, with MD5 for ids; and one as Apollo does."""
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({md5(text): text for text in TEXTS}))
    return file


@pytest.fixture
def apollo(tmp_path):
    file = tmp_path / "apollo.json"
    operations = [{"id": sha(text), "name": "N", "type": "query", "body": text} for text in TEXTS]
    file.write_text(json.dumps({"format": "apollo-persisted-query-manifest", "version": 1, "operations": operations}))
    return file


def by_hash(digest, **more):
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}, **more}


async def post(guard, envelope, **more):
    return await request(guard, body=json.dumps(envelope).encode(), **more)


def received(guard):
    """What the app got last, and whether its head says the same length."""
    body, scope = guard.app.bodies[-1], guard.app.scopes[-1]
    assert dict(scope["headers"])[b"content-length"] == str(len(body)).encode()
    return json.loads(body)


async def test_the_app_gets_a_document_that_it_can_run(guarded, apollo) -> None:
    guard = guarded(trusted_documents="allow", trusted_documents_file=apollo)
    assert (await post(guard, by_hash(sha(ME), operationName="Me", variables={"a": 1}))).status == 200
    assert received(guard) == by_hash(sha(ME), query=ME, operationName="Me", variables={"a": 1})
    for key in ("documentId", "id"):
        assert (await post(guard, {key: sha(ME), "variables": {"a": 1}})).status == 200
        assert received(guard) == {"query": ME, "variables": {"a": 1}}
    assert guard.metric("fraiseql_graphql_query_complexity_sum") == 3


async def test_a_hash_that_is_not_the_texts_never_reaches_the_app(guarded, manifest) -> None:
    guard = guarded(trusted_documents="allow", trusted_documents_file=manifest)
    envelope = by_hash(md5(ME))
    envelope["extensions"]["tracing"] = [1.50]
    assert (await post(guard, envelope)).status == 200
    assert received(guard) == {"query": ME, "extensions": {"tracing": [1.5]}}


async def test_everything_else_of_the_body_keeps_its_bytes(guarded, manifest) -> None:
    guard = guarded(trusted_documents="allow", trusted_documents_file=manifest)
    rest = b'"variables" : {"big": 123456789012345678901234567890, "text":"}\\u00e9,{"}'
    body = b'{ "documentId":"' + md5(ME).encode() + b'", ' + rest + b', "query": null }'
    assert (await request(guard, body=body)).status == 200
    assert rest.partition(b":")[2].strip() in guard.app.bodies[0]
    assert list(json.loads(guard.app.bodies[0])) == ["query", "variables"]


async def test_by_get_the_url_carries_the_text(guarded, manifest, apollo) -> None:
    guard = guarded(trusted_documents="allow", trusted_documents_file=manifest)
    variables = quote('{"n":5}')
    assert (await request(guard, "GET", query=f"documentId={md5(SIZED)}&variables={variables}&x=%26")).status == 200
    assert parse_qs(guard.app.scopes[-1]["query_string"].decode()) == {
        "query": [SIZED], "variables": ['{"n":5}'], "x": ["&"],
    }  # fmt: skip
    guard = guarded(trusted_documents="allow", trusted_documents_file=apollo)
    extensions = json.dumps(by_hash(sha(ME))["extensions"])
    assert (await request(guard, "GET", query=f"extensions={quote(extensions)}")).status == 200
    found = parse_qs(guard.app.scopes[-1]["query_string"].decode())
    assert (found["query"], json.loads(found["extensions"][0])) == ([ME], json.loads(extensions))
    assert (await request(guard, "GET", query=f"id={sha(CHANGE)}")).code == "MUTATION_BY_GET"
    assert (await request(guard, "GET", query=f"id={sha(ME)}&id={sha(ME)}")).code == "BAD_REQUEST"


async def test_trusted_documents_are_free_of_the_static_limits(guarded, manifest) -> None:
    guard = guarded(trusted_documents="allow", trusted_documents_file=manifest)
    assert (await post(guard, {"documentId": md5(DEEP)})).status == 200
    assert (await post(guard, {"query": DEEP})).status == 200  # the very text is trusted too
    assert (await post(guard, {"query": DEEP.replace("id", "no")})).code == "QUERY_TOO_DEEP"
    assert (await post(guard, {"query": INTROSPECTION})).status == 200


async def test_trusted_documents_are_not_free_of_what_their_variables_cost(guarded, manifest) -> None:
    guard = guarded(trusted_documents="allow", trusted_documents_file=manifest, cost_budgets="default=500")
    assert (await post(guard, {"id": md5(SIZED), "variables": {"n": 100}})).status == 200
    assert (await post(guard, {"id": md5(SIZED), "variables": {"n": 1001}})).code == "QUERY_TOO_COMPLEX"
    assert (await post(guard, {"id": md5(SIZED), "variables": {"n": 1.5}})).code == "LIST_SIZE_INVALID"
    assert (await post(guard, {"id": md5(SIZED), "variables": {"n": 900}})).code == "CHARGE_TOO_LARGE"
    assert (await post(guard, {"id": md5(SIZED), "variables": {"n": 401}})).code == "COST_BUDGET_EXCEEDED"


async def test_untrusted_documents_still_pass_within_the_limits_if_they_are_only_allowed(guarded, manifest) -> None:
    guard = guarded(trusted_documents="allow", trusted_documents_file=manifest)
    assert (await post(guard, {"query": "{you{id}}", "id": "of the client's own"})).status == 200
    assert guard.app.bodies[-1] == json.dumps({"query": "{you{id}}", "id": "of the client's own"}).encode()
    unknown = await post(guard, by_hash("0" * 64))
    assert (unknown.status, unknown.code) == (403, "PERSISTED_QUERY_NOT_FOUND")


PARTS = 'query Q($w: W = {a: "x, y #z"}) {me(where: $w) {...F ...G}} fragment F on U {id} fragment G on U {name}'
SPELLINGS = [
    PARTS,
    " " + PARTS.replace(" ", "\n,").replace('"x,\n,y\n,#z"', '"x, y #z"') + " # the end",
    'fragment G on U{name}#"\nquery Q($w:W={a:"""x, y #z"""}){me(where:$w){...F,...G}}fragment F on U{id}',
]
OTHERS = [
    PARTS.replace("x, y", "x,y"), PARTS.replace("#z", "# z"), PARTS.replace("{id}", "{id name}"), PARTS + " {id}",
    PARTS.replace("...F ...G", "...G ...F"), PARTS.replace("$w)", "$v)"), PARTS + ' fragment H on U {id}', PARTS + " }",
]  # fmt: skip


@pytest.mark.parametrize("mode", ["allow", "require"])
async def test_a_document_is_trusted_whatever_its_white_space_and_its_order(guarded, tmp_path, mode) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({"one": PARTS}))
    limit = {"max_query_depth": 1, "rate_limit_default": "1000/minute"}
    guard = guarded(trusted_documents=mode, trusted_documents_file=file, **limit)
    for text in SPELLINGS * 2:
        assert (await post(guard, {"variables": {"w": 1}, "query": text, "id": "own"})).status == 200
        expected = {"query": PARTS, "variables": {"w": 1}}
        assert received(guard) == (expected if text != PARTS else {**expected, "id": "own"})  # to the letter
    for text in OTHERS:
        assert (await post(guard, {"query": text, "operationName": "Q"})).status in (400, 403)
    assert len(guard.app.bodies) == 6


async def test_a_blocked_document_is_blocked_however_it_is_spelled(guarded, tmp_path) -> None:
    file = tmp_path / "overrides.yaml"
    file.write_text(json.dumps({"documents": [{"sha256": sha(PARTS)}]}))
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"one": PARTS}))
    guard = guarded(trusted_documents="require", trusted_documents_file=manifest, overrides_file=file)
    for text in SPELLINGS:
        assert (await post(guard, {"query": text})).code == "DOCUMENT_BLOCKED"


async def test_a_hash_of_another_spelling_does_not_reach_the_app(guarded, tmp_path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({"one": PARTS}))
    guard = guarded(trusted_documents="require", trusted_documents_file=file)
    envelope = by_hash(sha(SPELLINGS[1]), query=SPELLINGS[1])
    assert (await post(guard, envelope)).status == 200
    assert received(guard) == {"query": PARTS, "extensions": {}}


@pytest.mark.parametrize("kept", ["{}", "sha256:{}", "SHA256:{}"])
@pytest.mark.parametrize("given", ["{}", "sha256:{}", "sha256:{}".upper()])
async def test_a_hash_finds_its_document_with_and_without_a_prefix(guarded, tmp_path, kept, given) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({kept.format(sha(ME)): ME}))
    guard = guarded(trusted_documents="require", trusted_documents_file=file)
    for envelope in ({"documentId": given.format(sha(ME))}, by_hash(given.format(sha(ME).upper()))):
        assert (await post(guard, envelope)).status == 200
        assert received(guard)["query"] == ME
    assert (await post(guard, {"documentId": given.format(sha("{other}"))})).code == "PERSISTED_QUERY_NOT_FOUND"
    assert (await post(guard, {"documentId": given.format(sha(ME)) + " "})).code == "PERSISTED_QUERY_NOT_FOUND"


async def test_a_hash_that_stands_for_two_documents_is_found_by_its_very_spelling_alone(guarded, tmp_path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({sha(ME): ME, f"sha256:{sha(ME)}": DEEP}))
    guard = guarded(trusted_documents="require", trusted_documents_file=file)
    for name, text in ((sha(ME), ME), (f"sha256:{sha(ME)}", DEEP)):
        assert (await post(guard, {"documentId": name})).status == 200
        assert received(guard)["query"] == text
    assert (await post(guard, {"documentId": sha(ME).upper()})).code == "PERSISTED_QUERY_NOT_FOUND"


NAMES = ("documentId", "doc_id", "docId", "document_id", "queryId", "query_id", "id")


async def test_no_other_name_of_a_document_reaches_the_app(guarded, manifest) -> None:
    guard = guarded(trusted_documents="allow", trusted_documents_file=manifest)
    others = dict.fromkeys(NAMES, md5(DEEP))
    for name in NAMES[:-1]:
        assert (await post(guard, {name: md5(ME)})).status == 200
        assert received(guard) == {"query": ME}
        beside = {"query": ME, name: md5(DEEP), "id": "own", "x": 1}  # a text, and what could name another one
        assert (await post(guard, beside)).status == 200
        assert received(guard) == {"query": ME, "x": 1}
        assert (await request(guard, "GET", query=f"{name}={md5(ME)}&id={md5(DEEP)}&x=1")).status == 200
        assert parse_qs(guard.app.scopes[-1]["query_string"].decode()) == {"query": [ME], "x": ["1"]}
    assert (await post(guard, {**others, "documentId": md5(ME), **by_hash(md5(ME))})).status == 200
    assert received(guard) == {"query": ME, "extensions": {}}
    assert (await post(guard, {**others, **by_hash(md5(ME)), "variables": [], "extensions": ""})).status == 200
    assert received(guard) == {"query": DEEP, "variables": [], "extensions": ""}


async def test_no_other_document_passes_if_they_are_required(guarded, manifest) -> None:
    guard = guarded(trusted_documents="require", trusted_documents_file=manifest, rate_limit_default="1000/minute")
    assert (await post(guard, {"documentId": md5(ME)})).status == 200
    assert (await post(guard, {"query": ME})).status == 200
    for _ in range(15):
        reply = await post(guard, {"query": "{users(limit:9999){id}}"})
        assert (reply.status, reply.code) == (403, "NOT_TRUSTED")
    for envelope in ({"documentId": "unknown"}, by_hash("0" * 64), {"id": "unknown", "query": None}):
        reply = await post(guard, envelope)
        assert (reply.status, reply.code) == (403, "PERSISTED_QUERY_NOT_FOUND")
    assert guard.metric("fraiseql_guard_sanctions_total") == 0  # an old client is no attacker
    assert len(guard.app.bodies) == 2


async def test_monitor_mode_tells_which_documents_would_be_refused(guarded, manifest) -> None:
    guard = guarded(trusted_documents="require", trusted_documents_file=manifest, mode_query_limits="monitor")
    assert (await post(guard, {"query": "{you{id}}"})).status == 200
    assert (await post(guard, {"documentId": "unknown"})).status == 200
    assert guard.app.bodies[-1] == b'{"documentId": "unknown"}'
    assert guard.metric("fraiseql_guard_would_refuse_total", code="NOT_TRUSTED") == 1
    assert guard.metric("fraiseql_guard_would_refuse_total", code="PERSISTED_QUERY_NOT_FOUND") == 1
    assert guard.metric("fraiseql_graphql_query_complexity_count") == 1


async def test_a_hash_and_a_text_must_belong_together(guarded, apollo) -> None:
    guard = guarded(trusted_documents="allow", trusted_documents_file=apollo)
    assert (await post(guard, by_hash(sha(ME), query="{you{id}}"))).code == "BAD_REQUEST"
    assert (await post(guard, by_hash(sha(ME), query=ME))).status == 200
    for persisted in (1, {}, {"version": 2, "sha256Hash": sha(ME)}, {"sha256Hash": 1}):
        reply = await post(guard, {"extensions": {"persistedQuery": persisted}})
        assert reply.code == "PERSISTED_QUERY_NOT_SUPPORTED"


async def test_each_element_of_a_batch_may_name_its_document(guarded, manifest) -> None:
    guard = guarded(trusted_documents="allow", trusted_documents_file=manifest, batching=True)
    reply = await post(guard, [{"documentId": md5(ME)}, {"query": "{a}"}, {"id": md5(DEEP), "operationName": "Deep"}])
    assert reply.status == 200
    assert received(guard) == [{"query": ME}, {"query": "{a}"}, {"query": DEEP, "operationName": "Deep"}]
    assert (await post(guard, [{"documentId": md5(ME)}, {"documentId": "unknown"}])).status == 403


async def test_without_the_setting_a_name_is_no_document(guarded) -> None:
    guard = guarded()
    assert (await post(guard, {"documentId": "a"})).code == "BAD_REQUEST"
    assert (await request(guard, "GET", query="id=a")).code == "BAD_REQUEST"
    assert (await post(guard, by_hash(sha(ME)))).code == "PERSISTED_QUERY_NOT_SUPPORTED"


async def test_a_changed_manifest_is_taken_over_and_a_bad_one_is_not(guarded, clock, manifest) -> None:
    guard = guarded(clock=clock, trusted_documents="require", trusted_documents_file=manifest)

    async def status(content):
        manifest.write_text(content)
        os.utime(manifest, ns=(0, len(content)))
        guard.advance(LOOK_AGAIN_SECONDS)
        return (await post(guard, {"query": "{new{id}}"})).status

    assert (await post(guard, {"query": ME})).status == 200
    assert await status(json.dumps({"n": "{new{id}}"})) == 200
    assert (await post(guard, {"query": ME})).status == 403
    assert await status("not json") == 200
    assert await status("not json") == 200
    lines = [line for line in guard.lines("guard.configuration") if "last good manifest" in line["context"]["detail"]]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"trusted_documents": "allow"}, "FRAISEQL_GUARD_TRUSTED_DOCUMENTS='allow' needs the documents"),
        ({"trusted_documents": "allow", "trusted_documents_file": "/nowhere"}, "cannot be used: No such file"),
        ({"trusted_documents": "require", "apq": True, "trusted_documents_file": "x"}, "contradict each other"),
        ({"trusted_documents": "some"}, "off, allow or require"),
    ],
)
def test_what_cannot_be_used_stops_the_start(guarded, options, problem) -> None:
    with pytest.raises(SettingsError, match=problem):
        guarded(**options)
