"""Apollo's automatic persisted queries, as its clients expect them and as an attacker would use them."""

import hashlib
import json
from urllib.parse import quote

from tests.support.asgi import EchoApp, request

ME = "{me{id}}"


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def persisted(text, **more):
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha(text)}}, **more}


async def post(guard, envelope, **more):
    return await request(guard, body=json.dumps(envelope).encode(), **more)


async def test_a_hash_that_is_not_known_is_answered_as_the_protocol_says(guarded) -> None:
    guard = guarded(apq=True)
    unknown = await post(guard, persisted(ME))
    assert (unknown.status, unknown.json["errors"][0]["message"]) == (200, "PersistedQueryNotFound")
    assert unknown.code == "PERSISTED_QUERY_NOT_FOUND"
    assert unknown.header("cache-control") == "no-store"
    assert guard.lines("guard.request_refused") == []  # an ordinary step


async def test_a_registered_document_is_put_in_for_its_hash(guarded) -> None:
    guard = guarded(apq=True)
    assert (await post(guard, persisted(ME, query=ME))).status == 200
    assert guard.app.bodies == [json.dumps(persisted(ME, query=ME)).encode()]
    assert (await post(guard, persisted(ME), client=("198.51.100.1", 1))).status == 200
    assert json.loads(guard.app.bodies[-1]) == persisted(ME, query=ME)
    extensions = quote(json.dumps(persisted(ME)["extensions"]))
    assert (await request(guard, "GET", query=f"extensions={extensions}")).json == EchoApp().answer
    assert b"query=%7Bme%7Bid%7D%7D" in guard.app.scopes[-1]["query_string"]


async def test_a_text_that_is_not_the_hashs_is_refused_and_not_registered(guarded) -> None:
    guard = guarded(apq=True)
    reply = await post(guard, persisted(ME, query="{you{id}}"))
    assert (reply.status, reply.code) == (400, "BAD_REQUEST")
    assert (await post(guard, persisted(ME))).code == "PERSISTED_QUERY_NOT_FOUND"


async def test_only_what_passed_is_registered(guarded) -> None:
    guard = guarded(apq=True)
    dear = "{users(limit:5000){id}}"
    assert (await post(guard, persisted(dear, query=dear))).status == 400
    assert (await post(guard, persisted(dear))).code == "PERSISTED_QUERY_NOT_FOUND"


async def test_a_registered_document_is_bounded_with_each_requests_variables(guarded) -> None:
    guard = guarded(apq=True)
    sized = "query($n:Int){users(limit:$n){id}}"
    assert (await post(guard, persisted(sized, query=sized, variables={"n": 1}))).status == 200
    assert (await post(guard, persisted(sized, variables={"n": 900}))).status == 200
    assert (await post(guard, persisted(sized, variables={"n": 5000}))).code == "QUERY_TOO_COMPLEX"


async def test_a_caller_registers_ten_a_minute_and_is_served_all_the_same(guarded) -> None:
    guard = guarded(apq=True, rate_limit_default="1000/minute")
    texts = [f"{{me{{a{number}}}}}" for number in range(12)]
    for text in texts:
        assert (await post(guard, persisted(text, query=text))).status == 200
        assert len(guard.app.bodies[-1]) > len(text)
    known = [(await post(guard, persisted(text))).json == EchoApp().answer for text in texts]
    assert known == [True] * 10 + [False] * 2
    other = {"client": ("198.51.100.1", 1)}
    assert (await post(guard, persisted(texts[11], query=texts[11]), **other)).status == 200
    assert (await post(guard, persisted(texts[11]))).json == EchoApp().answer


async def test_without_it_hashes_are_not_supported(guarded) -> None:
    """Apollo Client goes by the code or the message, urql by the message: then both send documents alone."""
    for envelope in (persisted(ME), persisted("{you{id}}", query=ME)):
        reply = await post(guarded(), envelope)
        assert (reply.status, reply.code) == (400, "PERSISTED_QUERY_NOT_SUPPORTED")
        assert reply.json["errors"][0]["message"] == "PersistedQueryNotSupported"
        assert "FRAISEQL_GUARD_APQ" in reply.extensions["detail"]


async def test_beside_trusted_documents_both_are_found(guarded, tmp_path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({"one": "{one{id}}"}))
    guard = guarded(apq=True, trusted_documents="allow", trusted_documents_file=file)
    assert (await post(guard, {"documentId": "one"})).status == 200
    assert (await post(guard, persisted(ME, query=ME))).status == 200
    assert (await post(guard, persisted(ME))).status == 200
    assert json.loads(guard.app.bodies[-1])["query"] == ME
