"""What each route does, on memory and on a real Redis, as operators and callers see it."""

import asyncio
import hashlib
import json
from typing import Any

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.testing import make_token
from tests.operations.http.conftest import TOKEN, felt, mounted
from tests.support.asgi import PUBLIC_ADDRESS, graphql
from tests.support.waiting import until

QUERY = "{me{id}}"
DIGEST = hashlib.sha256(QUERY.encode()).hexdigest()


# --- blocks ----------------------------------------------------------------------------------------------------------


async def test_an_address_is_blocked_and_listed(api) -> None:
    done = await api.done("POST", "/blocks", {"ip_address": PUBLIC_ADDRESS, "reason": "an attack"})
    assert done["message"] == f"{PUBLIC_ADDRESS} is blocked for 1 h."
    assert (done["changed"], done["affected"]) == (True, 1)
    assert await felt(403, api.guard)
    [block] = await api.items("/blocks")
    assert block["target"]["ip_address"] == PUBLIC_ADDRESS
    assert (await api.done("GET", "/status"))["sanctions"] == 1
    assert (block["origin"], block["policy"], block["reason"], block["actor"]) == (
        "operator", "operator", "an attack", "alice",
    )  # fmt: skip
    assert 3500 < block["expires_in_seconds"] <= 3600


async def test_a_block_of_an_address_is_lifted_once(api) -> None:
    await api.done("POST", "/blocks", {"ip_address": PUBLIC_ADDRESS})
    assert await felt(403, api.guard)
    lifted = await api.done("DELETE", "/blocks", query=f"ip_address={PUBLIC_ADDRESS}")
    assert (lifted["changed"], lifted["affected"]) == (True, 1)
    assert await felt(200, api.guard)
    assert await api.items("/blocks") == []
    again = await api.done("DELETE", "/blocks", query=f"ip_address={PUBLIC_ADDRESS}")
    assert (again["changed"], again["affected"]) == (False, 0)


@pytest.mark.parametrize("written", ["203.0.113.0/24", "203.0.113.77/24", "::ffff:203.0.113.0/120"])
async def test_a_network_in_any_form_is_one_network(api, written) -> None:
    await api.done("POST", "/blocks", {"ip_address": written})
    assert await felt(403, api.guard)
    assert [each["target"]["ip_address"] for each in await api.items("/blocks")] == ["203.0.113.0/24"]
    single = await api.done("DELETE", "/blocks", query=f"ip_address={PUBLIC_ADDRESS}")
    assert "203.0.113.0/24, which is blocked" in single["message"]
    assert (await api.done("DELETE", "/blocks", query="ip_address=203.0.113.0/24"))["affected"] == 1


async def test_a_second_block_changes_only_what_is_new(api) -> None:
    await api.done("POST", "/blocks", {"ip_address": "203.0.113.9", "duration_seconds": 7200})
    shorter = await api.done("POST", "/blocks", {"ip_address": "203.0.113.9", "duration_seconds": 60})
    longer = await api.done("POST", "/blocks", {"ip_address": "203.0.113.9", "duration_seconds": 9000})
    assert (shorter["changed"], longer["changed"]) == (False, True)
    assert len(await api.items("/blocks")) == 1


async def test_a_user_is_blocked_and_lifted_under_the_name_that_people_know(guarded, closing, store_options, secret):
    api = mounted(guarded, closing, jwt_secret=secret, **store_options)
    token, other = make_token(secret, sub="carol", iss="https://a"), make_token(secret, sub="dave", iss="https://a")
    assert (await graphql(api.guard, QUERY, token=token)).status == 200
    assert await felt(200, api.guard, token=other)
    await _heartbeat(api)
    done = await api.done("POST", "/blocks", {"user_id": "carol", "duration_seconds": 600})
    assert done["message"] == "User carol is blocked for 10 min."
    assert done["would_have_met"] == 1
    assert await felt(403, api.guard, token=token)
    assert (await graphql(api.guard, QUERY, token=other)).status == 200
    [block] = await api.items("/blocks")
    assert (block["target"]["user_id"], block["target"]["issuer"]) == ("carol", "https://a")
    assert (await api.done("DELETE", "/blocks", query="user_id=carol"))["affected"] == 1
    assert await felt(200, api.guard, token=token)


async def test_a_user_and_an_address_at_once(api) -> None:
    done = await api.done("POST", "/blocks", {"user_id": "carol", "ip_address": "203.0.113.9"})
    assert (done["affected"], len(await api.items("/blocks"))) == (2, 2)
    assert "203.0.113.9 is blocked" in done["message"]
    assert "User carol is blocked" in done["message"]
    lifted = await api.done("DELETE", "/blocks", query="user_id=carol&ip_address=203.0.113.9")
    assert lifted["affected"] == 2


async def test_a_danger_of_the_address_stops_the_whole_of_it(api) -> None:
    await api.refused(409, "POST", "/blocks", {"user_id": "carol", "ip_address": "127.0.0.1"})
    assert await api.items("/blocks") == []


async def test_automatic_sanctions_are_listed_and_lifted_alone_or_together(api) -> None:
    store = api.guard.guard.runtime.store
    for number in range(1, 5):
        await store.sanctions.impose(
            Sanction(Subject("address", f"192.0.2.{number}"), PolicyName.DOS, 300.0 + number, "dos")
        )
    await api.done("POST", "/blocks", {"ip_address": "203.0.113.9"})
    await api.done("POST", "/blocks", {"user_id": "carol"})
    blocks = await api.items("/blocks")
    assert [each["expires_in_seconds"] for each in blocks] == sorted(
        (each["expires_in_seconds"] for each in blocks), reverse=True
    )
    assert (await api.done("DELETE", "/blocks", query="ip_address=192.0.2.1"))["affected"] == 1
    assert (await api.done("DELETE", "/blocks", query="ip_address=192.0.2.0/31"))["affected"] == 0
    assert (await api.done("DELETE", "/blocks", query="ip_address=192.0.2.2/31"))["affected"] == 2
    assert (await api.done("POST", "/lift"))["affected"] == 1
    assert {each["origin"] for each in await api.items("/blocks")} == {"operator"}
    assert (await api.done("POST", "/lift", {"origin": "automatic"}))["changed"] is False
    assert (await api.done("POST", "/lift", {"origin": "operator"}))["affected"] == 2
    await api.done("POST", "/blocks", {"ip_address": "203.0.113.9"})
    assert (await api.done("POST", "/lift", {"origin": "all"}))["affected"] == 1


async def test_lockouts_without_any(api) -> None:
    assert await api.items("/lockouts") == []
    done = await api.done("DELETE", "/lockouts", query="identifier=carol%40example.org")
    assert (done["changed"], done["message"]) == (False, "carol@example.org was not locked out.")


# --- limits ----------------------------------------------------------------------------------------------------------


async def test_an_address_gets_another_limit_for_a_while(api) -> None:
    assert (await graphql(api.guard, QUERY)).header("x-ratelimit-limit") == "100"
    done = await api.done("POST", "/rate-limits", {"ip_address": PUBLIC_ADDRESS, "limit": "7/minute"})
    assert done["message"] == f"The limit of {PUBLIC_ADDRESS} is 7/minute for 1 h."
    assert (await graphql(api.guard, QUERY)).header("x-ratelimit-limit") == "7"
    [held] = await api.items("/rate-limits")
    assert (held["target"]["ip_address"], held["limit"], held["burst"], held["actor"]) == (
        PUBLIC_ADDRESS, "7/minute", 1, "alice",
    )  # fmt: skip
    assert await api.items("/rate-limits", query="ip_address=192.0.2.1") == []
    assert len(await api.items("/rate-limits", query=f"ip_address={PUBLIC_ADDRESS}")) == 1
    assert (await api.done("DELETE", "/rate-limits", query=f"ip_address={PUBLIC_ADDRESS}"))["changed"] is True
    assert (await api.done("DELETE", "/rate-limits", query=f"ip_address={PUBLIC_ADDRESS}"))["changed"] is False
    assert (await graphql(api.guard, QUERY)).header("x-ratelimit-limit") == "100"


async def test_a_user_gets_another_limit(guarded, closing, store_options, secret) -> None:
    api = mounted(guarded, closing, jwt_secret=secret, jwt_issuer="https://a", **store_options)
    token = make_token(secret, sub="carol", iss="https://a")
    await api.done("POST", "/rate-limits", {"user_id": "carol", "limit": 9, "duration_seconds": 60})
    assert (await graphql(api.guard, QUERY, token=token)).header("x-ratelimit-limit") == "9"
    assert [each["target"]["user_id"] for each in await api.items("/rate-limits", query="user_id=carol")] == ["carol"]
    assert (await api.done("DELETE", "/rate-limits", query="user_id=carol"))["affected"] == 1
    assert (await graphql(api.guard, QUERY, token=token)).header("x-ratelimit-limit") == "500"


async def test_a_network_has_no_limit_of_its_own(api) -> None:
    problem = await api.refused(400, "POST", "/rate-limits", {"ip_address": "203.0.113.0/24", "limit": "7/minute"})
    assert problem["field"] == "ip_address"


# --- the allow-list --------------------------------------------------------------------------------------------------


async def test_an_address_is_allowed_and_its_automatic_sanctions_end(guarded, closing, store_options, tmp_path) -> None:
    path = tmp_path / "allow.yml"
    path.write_text("- {ip: 192.0.2.0/24, reason: monitoring}")
    api = mounted(guarded, closing, allow_list="198.51.100.7", allow_list_file=path, **store_options)
    await api.guard.guard.runtime.store.sanctions.impose(
        Sanction(Subject("address", PUBLIC_ADDRESS), PolicyName.DOS, 300.0)
    )
    assert (await graphql(api.guard, QUERY)).status == 403
    done = await api.done("POST", "/allow-list", {"ip_address": PUBLIC_ADDRESS, "reason": "a partner"})
    assert done["affected"] == 1
    assert await felt(200, api.guard)
    rows = {
        each["ip_address"]: (each["source"], each["reason"], each["actor"]) for each in await api.items("/allow-list")
    }
    assert rows == {
        "198.51.100.7": ("settings", "", ""),
        "192.0.2.0/24": ("file", "monitoring", ""),
        PUBLIC_ADDRESS: ("operator", "a partner", "alice"),
    }
    assert (await api.done("DELETE", "/allow-list", query=f"ip_address={PUBLIC_ADDRESS}"))["changed"] is True
    assert (await api.done("DELETE", "/allow-list", query=f"ip_address={PUBLIC_ADDRESS}"))["changed"] is False
    for address, variable in (("198.51.100.7", "ALLOW_LIST"), ("192.0.2.0/24", "ALLOW_LIST_FILE")):
        problem = await api.refused(400, "DELETE", "/allow-list", query=f"ip_address={address}")
        assert f"FRAISEQL_GUARD_{variable}," in problem["detail"]


async def test_every_address_cannot_be_allowed(api) -> None:
    assert (await api.refused(400, "POST", "/allow-list", {"ip_address": "0.0.0.0/0"}))["field"] == "ip_address"


# --- switches --------------------------------------------------------------------------------------------------------


async def test_monitor_mode_for_a_while(api) -> None:
    await api.done("POST", "/blocks", {"ip_address": PUBLIC_ADDRESS})
    assert await felt(403, api.guard)
    done = await api.done("PUT", "/mode", {"mode": "monitor", "duration_seconds": 60, "reason": "an incident"})
    assert done["message"].startswith("The mode of all is monitor for 1 min")
    assert await felt(200, api.guard)
    [switch] = await api.items("/mode")
    assert (switch["kind"], switch["name"], switch["value"], switch["reason"], switch["actor"]) == (
        "mode", "all", "monitor", "an incident", "alice",
    )  # fmt: skip
    assert await api.items("/switches") == [switch | {"expires_in_seconds": pytest.approx(60, abs=10)}]
    assert (await api.done("DELETE", "/mode"))["changed"] is True
    assert (await api.done("DELETE", "/mode"))["changed"] is False
    assert await felt(403, api.guard)


async def test_a_setting_for_a_while(api) -> None:
    name, deep = "FRAISEQL_MAX_QUERY_DEPTH", "{a{a{a{id}}}}"
    await api.done("PUT", "/settings", {"variable": name, "value": "3", "duration_seconds": 60})
    assert await felt(400, api.guard, deep)
    row = next(each for each in await api.items("/config") if each["variable"] == name)
    assert (row["value"], row["source"]) == (3, "override")
    await api.done("DELETE", "/settings", query=f"variable={name}")
    assert await felt(200, api.guard, deep)


@pytest.mark.parametrize(
    ("variable", "value", "field", "says"),
    [
        (
            "FRAISEQL_MAX_QUERY_DEPTH",
            "deep",
            "value",
            "FRAISEQL_MAX_QUERY_DEPTH='deep' is not a whole number. Accepted",
        ),
        ("FRAISEQL_MAX_QUERY_DEPHT", "5", "variable", "did you mean FRAISEQL_MAX_QUERY_DEPTH?"),
        ("FRAISEQL_JWT_SECRET", "x" * 40, "variable", "cannot be changed while the processes run"),
    ],
)
async def test_a_setting_that_cannot_be(api, variable, value, field, says) -> None:
    body = {"variable": variable, "value": value, "duration_seconds": 60}
    problem = await api.refused(400, "PUT", "/settings", body)
    assert problem["field"] == field
    assert says in problem["detail"]
    assert await api.items("/settings") == []


async def test_a_document_and_an_operation_are_refused_for_a_while(api) -> None:
    await api.done("PUT", "/document-blocks", {"document": DIGEST, "duration_seconds": 60})
    assert await felt(403, api.guard)
    assert [each["name"] for each in await api.items("/document-blocks")] == [DIGEST]
    await api.done("DELETE", "/document-blocks", query=f"document={DIGEST}")
    assert await felt(200, api.guard)
    await api.done("PUT", "/operation-blocks", {"operation": "Export", "duration_seconds": 60})
    assert await felt(403, api.guard, "query Export {me{id}}")
    assert [each["name"] for each in await api.items("/operation-blocks")] == ["Export"]
    assert await api.items("/document-blocks") == []
    await api.done("DELETE", "/operation-blocks", query="operation=Export")
    assert await felt(200, api.guard, "query Export {me{id}}")


async def test_commands_reach_every_worker(api) -> None:
    cleared = []
    api.guard.guard.observe_cache("the app's", lambda: 0, lambda: cleared.append(True))
    await _heartbeat(api)
    for path in ("/gc", "/caches/clear"):
        done = await api.done("POST", path)
        assert (done["affected"], done["details"]["workers"]) == (1, 1)
    await until(lambda: cleared)


# --- what is going on ------------------------------------------------------------------------------------------------


async def test_status_offenders_refusals_and_why(api) -> None:
    deep = "{a{a{a{a{a{a{a{a{a{a{a{id}}}}}}}}}}}}"
    refused = [await graphql(api.guard, deep) for _ in range(3)]
    await graphql(api.guard, QUERY)
    await _heartbeat(api)
    status = await api.done("GET", "/status")
    [worker] = status["workers"]
    assert status["store_answers"] is True
    assert worker["modes"]["rate_limit"] == "enforce"
    assert worker["series"]["requests"]
    [offender] = [each for each in await api.items("/offenders") if each["target"]["ip_address"] == PUBLIC_ADDRESS]
    assert (offender["refusals"], offender["by_code"]) == (3, {"QUERY_TOO_DEEP": 3})
    refusals = await _eventually(api, "/refusals", 3)
    assert {each["request_id"] for each in refusals} >= {reply.header("x-request-id") for reply in refused}
    assert len(await api.items("/refusals", query="count=2")) == 2
    why = await api.done("GET", f"/refusals/{refused[0].header('x-request-id')}")
    assert (why["code"], why["limit"], why["actual"]) == ("QUERY_TOO_DEEP", 10, 12)
    assert why["remedy"]
    missing = await api.refused(404, "GET", "/refusals/00000000000000000000000000000000")
    assert "no refusal of request 0000" in missing["detail"]


async def test_what_operators_did_is_remembered(api) -> None:
    await api.done("POST", "/blocks", {"ip_address": "203.0.113.9", "reason": "why not"})
    await api.done("DELETE", "/blocks", query="ip_address=203.0.113.9")
    lift, block = (await api.items("/actions"))[:2]
    assert (lift["event"], lift["actor"], lift["fields"]["lifted"]) == ("admin.lift", "alice", 1)
    assert block["fields"]["reason"] == "why not"
    assert len(await api.items("/actions", query="count=1")) == 1


async def test_the_configuration_without_its_secrets(guarded, closing, secret) -> None:
    api = mounted(guarded, closing, jwt_secret=secret)
    reply = await api("GET", "/config")
    assert secret.encode() not in reply.body
    assert TOKEN.encode() not in reply.body
    values = {row["variable"]: row["value"] for row in reply.json["items"]}
    assert values["FRAISEQL_JWT_SECRET"] == values["FRAISEQL_GUARD_ADMIN_TOKENS"] == "****"


async def test_keys_tell_whether_all_workers_have_them(guarded, closing, secret) -> None:
    api = mounted(guarded, closing, jwt_secret=secret)
    assert (await graphql(api.guard, QUERY, token=make_token(secret, sub="carol"))).status == 200
    await _heartbeat(api)
    [key] = await api.items("/keys")
    assert (key["slot"], key["workers"], key["of_workers"], key["verified"]) == ("current", 1, 1, 1)
    assert key["fingerprint"]
    assert secret not in key["fingerprint"]


async def test_the_trusted_documents(serve, tmp_path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({DIGEST: QUERY}))
    api = serve(trusted_documents="allow", trusted_documents_file=path)
    [filed] = await api.items("/documents")
    assert (filed["id"], filed["source"], filed["query_hash"], filed["text"]) == (DIGEST, "file", DIGEST, "")
    assert str(path) in (await api.refused(404, "DELETE", "/documents", query=f"id={DIGEST}"))["detail"]
    path.write_text("no manifest")
    assert "cannot be read" in (await api.refused(503, "GET", "/documents"))["detail"]
    assert await serve().items("/documents") == []


async def test_a_document_is_trusted_listed_read_and_taken_back(api) -> None:
    done = await api.done("POST", "/documents", {"text": QUERY})
    assert (done["changed"], done["affected"], done["details"]["ids"]) == (True, 1, [DIGEST])
    assert (await api.done("POST", "/documents", {"text": QUERY}))["changed"] is False
    await api.done("POST", "/documents", {"text": QUERY, "id": "me", "name": "Me", "type": "query"})
    listed = await api.items("/documents")
    assert [(each["id"], each["name"], each["type"], each["source"]) for each in listed] == [
        (DIGEST, "", "query", "store"), ("me", "Me", "query", "store"),
    ]  # fmt: skip
    problem = await api.refused(409, "POST", "/documents", {"text": "{other}", "id": "me"})
    assert (problem["field"], "stands for another text" in problem["detail"]) == ("id", True)
    for part in (DIGEST, DIGEST[:12]):
        assert (await api.done("GET", f"/documents/{part}"))["text"] == QUERY
    problem = await api.refused(400, "POST", "/documents", {"text": "{"})
    assert (problem["field"], "not GraphQL" in problem["detail"]) == ("text", True)
    await api.done("DELETE", "/documents", query="id=me")
    await api.done("DELETE", "/documents", query=f"id={DIGEST}")
    assert await api.items("/documents") == []
    await api.refused(404, "DELETE", "/documents", query="id=me")
    assert "looked in the store" in (await api.refused(404, "GET", f"/documents/{DIGEST}"))["detail"]
    lines = [*api.guard.lines("admin.trust"), *api.guard.lines("admin.distrust")]
    assert {line["context"]["actor"] for line in lines} == {"alice"}
    assert [each["event"] for each in await api.items("/actions")][:2] == ["admin.distrust"] * 2


async def test_what_a_worker_has_let_pass_is_known_by_its_hash(api) -> None:
    assert (await graphql(api.guard, QUERY)).status == 200
    found = await api.done("GET", f"/documents/{DIGEST[:20]}")
    assert (found["text"], found["source"]) == (QUERY, "process")
    assert (await graphql(api.guard, "{users(limit:99999){id}}")).status == 400
    refused = hashlib.sha256(b"{users(limit:99999){id}}").hexdigest()
    await api.refused(404, "GET", f"/documents/{refused}")


# --- helpers ---------------------------------------------------------------------------------------------------------


async def _heartbeat(api) -> None:
    """Until the worker has told what it has seen so far."""
    presence = api.guard.guard.reloader.components.fleet.heartbeat
    for _ in range(4):
        await presence.tick()


async def _eventually(api, path: str, count: int) -> list:
    for _ in range(20):
        if len(found := await api.items(path)) >= count:
            break
        await _heartbeat(api)
    return found


async def test_long_lists_come_in_pages(api) -> None:
    for number in range(7):
        await api.done("POST", "/blocks", {"user_id": f"user-{number}"})
        await api.done("POST", "/rate-limits", {"ip_address": f"192.0.2.{number}", "limit": 9})
    for path in ("/blocks", "/rate-limits"):
        seen, cursor = [], ""
        while cursor is not None:
            page = await api.done("GET", path, query=f"limit=3&cursor={cursor}" if cursor else "limit=3")
            assert (len(page["items"]) <= 3, page["total"]) == (True, 7)
            seen += [json.dumps(each["target"]) for each in page["items"]]
            cursor = page["next_cursor"]
        assert len(seen) == len(set(seen)) == 7
    problem = await api.refused(400, "GET", "/blocks", query="cursor=no")
    assert problem["field"] == "cursor"


async def test_lifting_all_of_very_many_goes_on_in_the_background(api, monkeypatch) -> None:
    store = api.guard.guard.runtime.store
    await store.sanctions.impose(Sanction(Subject("address", "192.0.2.1/32"), PolicyName.DOS, 600))
    lift_many, go_on = store.sanctions.lift_many, asyncio.Event()

    async def wait(sanctioned: Any) -> int:
        await go_on.wait()
        return await lift_many(sanctioned)

    monkeypatch.setattr(store.sanctions, "lift_many", wait)
    assert (await api("GET", "/lift")).status == 404
    reply = await api("POST", "/lift")
    assert (reply.status, reply.json["details"]["running"]) == (202, True)
    assert (await api.done("GET", "/lift", query="origin=automatic"))["state"] == "running"
    go_on.set()

    async def is_over() -> bool:
        return bool((await api.done("GET", "/lift"))["state"] != "running")

    await until(is_over)
    lifting = await api.done("GET", "/lift")
    assert (lifting["state"], lifting["lifted"]) == ("done", 1)
    assert await store.sanctions.count() == 0
