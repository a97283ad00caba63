"""A page that is deployed over a limit blocks none of its visitors; one attacker with one document is still blocked."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from fraiseql_guard.checks.app_documents import MOST_A_CALLER, MOST_IN_FORCE
from fraiseql_guard.stores.overrides import OverrideKind
from fraiseql_guard.testing import make_token
from tests.support.asgi import graphql, request
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

PAGE = "query Dashboard {users(limit:100){posts(limit:100){comments(limit:10){id}}}}"
ATTACK = "{users(limit:100){posts(limit:200){id}}}"
GAUGE = "fraiseql_guard_app_document_over_limit"
SANCTIONS = "fraiseql_guard_sanctions_total"


def visitor(number: int) -> tuple[str, int]:
    return (f"198.51.100.{number}", 40000)


def digest(document: str) -> str:
    return sha256(document.encode()).hexdigest()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def workers(request, guarded, secret):
    """Two workers on one Redis, or a single one."""
    if request.param == "memory":
        guards = [guarded(jwt_secret=secret, auth_required=False, rate_limit_default="1000/minute")]
        yield guards
        await guards[0].guard.aclose()
        return
    with RedisServer() as server:
        options = {"jwt_secret": secret, "auth_required": False, "redis_url": server.url, "store_timeout_ms": 5000}
        guards = [guarded(rate_limit_default="1000/minute", **options) for _ in range(2)]
        assert await send(guards, "{me{id}}", 2) == [200] * 2  # both are at work
        yield guards
        for guard in guards:
            await guard.guard.aclose()


async def send(guards, document: str, times: int = 1, **caller) -> list[int]:
    """The answers of the workers in turn."""
    return [(await graphql(guards[number % len(guards)], document, **caller)).status for number in range(times)]


async def known(guards, document: str = PAGE) -> None:
    """Until every worker knows the document for the app's own."""
    for guard in guards:
        await until(lambda guard=guard: guard.metric(GAUGE, query_hash=digest(document)) > 0)


async def test_a_page_over_the_limit_blocks_no_visitor(workers) -> None:
    for number in range(3):
        assert await send(workers, PAGE, 4, client=visitor(number)) == [400] * 4
    await known(workers)
    for number in range(8):  # those who came first as well
        assert await send(workers, PAGE, 30, client=visitor(number)) == [400] * 30
        assert await send(workers, "{me{id}}", 2, client=visitor(number)) == [200] * 2
    assert sum(guard.metric(SANCTIONS) for guard in workers) == 0


async def test_it_is_named_once_in_the_whole_fleet(workers) -> None:
    for number in range(6):
        await send(workers, PAGE, 2, client=visitor(number))
    await known(workers)
    for number in range(6, 12):
        await send(workers, PAGE, 2, client=visitor(number))
    lines = [line["context"] for guard in workers for line in guard.lines("guard.configuration")]
    (line,) = [context for context in lines if digest(PAGE) in context["detail"]]
    assert (line["query_hash"], line["operation"]) == (digest(PAGE), "Dashboard")
    assert (line["code"], line["limit"]) == ("QUERY_TOO_COMPLEX", 1000)
    assert line["actual"] > 100_000
    for remedy in ("FRAISEQL_MAX_QUERY_COMPLEXITY", "documents add", "FRAISEQL_GUARD_FIELD_COSTS", "Dashboard"):
        assert remedy in line["detail"]
    for guard in workers:
        labels = {"query_hash": digest(PAGE), "operation": "Dashboard", "code": "QUERY_TOO_COMPLEX"}
        assert guard.metric(GAUGE, **labels) == pytest.approx(line["actual"] / line["limit"], abs=0.01)


async def test_one_attacker_with_one_document_is_blocked(workers, secret) -> None:
    mallory = make_token(secret, sub="mallory")
    assert await send(workers, ATTACK, 12, token=mallory) == [400] * 10 + [403] * 2
    assert await send(workers, ATTACK, 12, client=visitor(1)) == [400] * 10 + [403] * 2
    assert sum(guard.metric(SANCTIONS, policy="dos") for guard in workers) == 2


async def test_the_addresses_of_one_network_are_one_caller(workers) -> None:
    for number in range(6):
        await send(workers, ATTACK, 1, client=(f"2001:db8:7:{number}::1", 40000))
    for number in range(3):
        await send(workers, PAGE, 1, client=visitor(number))
    await known(workers)
    assert workers[0].metric(GAUGE, query_hash=digest(ATTACK)) == 0


async def test_that_the_page_is_excused_excuses_nothing_else(workers) -> None:
    for number in range(3):
        await send(workers, PAGE, 1, client=visitor(number))
    await known(workers)
    assert await send(workers, ATTACK, 11, client=visitor(9)) == [400] * 10 + [403]


async def test_who_sends_it_too_often_is_blocked_for_the_rate(guarded) -> None:
    guard = guarded(rate_limit_default="20/hour", rate_limit_burst=0, rate_limit_abuse_offences=1)
    for number in range(3):
        await send([guard], PAGE, 1, client=visitor(number))
    await known([guard])
    answers = await send([guard], PAGE, 23, client=visitor(9))
    assert (answers[:20], set(answers[20:]) <= {429, 403}) == ([400] * 20, True)
    assert guard.metric(SANCTIONS, policy="rate_limit_abuse") == 1
    await guard.guard.aclose()


async def test_a_trial_run_finds_the_page_as_well(guarded) -> None:
    guard = guarded(mode="monitor")
    for number in range(3):
        assert await send([guard], PAGE, 1, client=visitor(number)) == [200]
    await known([guard])
    await guard.guard.aclose()


async def test_a_batch_is_known_by_all_of_its_documents(guarded) -> None:
    guard = guarded(batching=True, rate_limit_default="1000/minute")
    batch = json.dumps([{"query": "{me{id}}"}, {"query": PAGE}]).encode()
    for number in range(3):
        assert (await request(guard, body=batch, client=visitor(number))).status == 400
    await until(lambda: guard.metric(GAUGE) > 0)
    assert {(await request(guard, body=batch, client=visitor(9))).status for _ in range(20)} == {400}
    await guard.guard.aclose()


async def test_mistakes_are_no_pages(guarded) -> None:
    """Nothing that a setting would let pass is told, and syntax and introspection were no offences before."""
    guard = guarded(rate_limit_default="1000/minute")
    for number in range(4):
        await send([guard], "{syntax error", 1, client=visitor(number))
        await send([guard], "{__schema{types{name}}}", 1, client=visitor(number))
        await send([guard], PAGE, 1, client=visitor(number))
    await known([guard])
    store = guard.guard.runtime.store
    told = (await store.overrides.read(-1)).of(OverrideKind.APP_DOCUMENT)
    assert [entry.key for entry in told] == [digest(PAGE)]
    await guard.guard.aclose()


async def test_a_few_attackers_do_not_fill_the_list(guarded) -> None:
    guard = guarded(rate_limit_default="10000/minute", dos_offences=1000)
    for document in range(30):
        for number in range(3):
            await send([guard], f"{{a{document}:users(limit:9999){{id}}}}", 1, client=visitor(number))
    for number in range(3, 6):
        await send([guard], PAGE, 1, client=visitor(number))
    await known([guard])
    found = [entry.key for entry in (await guard.guard.runtime.store.overrides.read(-1)).of(OverrideKind.APP_DOCUMENT)]
    assert digest(PAGE) in found
    assert len(found) == MOST_A_CALLER + 1 < MOST_IN_FORCE
    await guard.guard.aclose()
