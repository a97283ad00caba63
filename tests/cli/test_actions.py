"""Every action of the command is felt by a request to every one of four workers, by either way in."""

import asyncio
import hashlib
import itertools
import re
import shlex

import pytest

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.operator.interface import Block, Done, LimitOverride
from fraiseql_guard.operations.operator.json_values import from_json
from fraiseql_guard.stores.redis.store import RedisStore
from fraiseql_guard.testing import make_token
from tests.cli.fleet import QUERY, Operator, eventually

pytestmark = pytest.mark.redis

_hosts = itertools.count(1)
DEEP = "{ posts(limit: 1) { author { invitedBy { name } } } }"
WIDE = "{ " + " ".join(f"u{number}: users(limit: 1) {{ id }}" for number in range(25)) + " }"
FORGED = "another-secret-of-at-least-thirty-two-bytes!"
ODD_USERS = ["ada", "O'Neil the 3rd", "-rf", "}x", "{a}:b", "zoë 🦊", '"quoted"', "10.0.0.1", "a\\tb"]


@pytest.fixture
def address():
    """An address that no other test uses."""
    return f"203.0.113.{next(_hosts)}"


def undo_of(ran):
    """The words of the command that takes it back, as the message names it."""
    found = re.search(r"Undo: fraiseql-guard (.*)$", ran.out.strip())
    assert found, ran.out
    words = shlex.split(found[1])
    return words[: words.index("--url")] if "--url" in words else words


def test_an_address_is_blocked_and_unblocked(fleet, operator, address):
    fleet.felt(200, address=address)
    ran = operator.done("block", address, "--for", "1h", "--reason", "a flood")
    assert re.match(rf"blocked {re.escape(address)} until \d{{4}}-\d\d-\d\dT\d\d:\d\d[+-]\d\d:\d\d \(1 h\)", ran.out), (
        ran.out
    )
    assert undo_of(ran) == ["unblock", address]
    fleet.felt(403, address=address)
    assert [address, "operator", "operator", "a flood"] in [
        [row[0], row[1], row[2], row[4]] for row in operator.done("blocks").rows
    ]
    operator.done(*undo_of(ran))
    fleet.felt(200, address=address)


def test_what_is_typed_in_a_terminal_is_felt_everywhere(fleet, operator, address):
    ran = operator.in_a_terminal("block", address)
    assert (ran.code, ran.err) == (0, "")
    fleet.felt(403, address=address)
    assert operator.in_a_terminal(*undo_of(ran)).code == 0
    fleet.felt(200, address=address)


def test_a_network_is_blocked_and_unblocked(fleet, operator):
    operator.done("block", "192.0.2.0/24")
    fleet.felt(403, address="192.0.2.77")
    operator.done("unblock", "192.0.2.0/24")
    fleet.felt(200, address="192.0.2.77")


@pytest.mark.parametrize("user", ODD_USERS)
def test_a_user_of_any_name_is_blocked_and_unblocked(fleet, on_redis, user):
    fleet.felt(200, user=user)
    ran = on_redis.done("block", f"--user={user}", "--for", "10m")
    fleet.felt(403, user=user)
    assert user in [each["target"]["user_id"] for each in on_redis.done("blocks", "--json").json]
    on_redis.done(*undo_of(ran))
    fleet.felt(200, user=user)


def test_a_user_of_an_odd_name_is_reached_by_http_as_well(fleet, by_http):
    for user in ODD_USERS:
        by_http.done("block", f"--user={user}")
        fleet.felt(403, user=user)
        by_http.done("lift", f"--user={user}")
    fleet.felt(200, user=ODD_USERS[-1])


def test_a_limit_is_set_listed_and_cleared(fleet, operator):
    fleet.felt(200, user="lea")
    ran = operator.done("limit", "set", "2/hour", "--user", "lea", "--for", "2d")
    assert "(2 d)" in ran.out
    fleet.felt(429, user="lea")
    (held,) = [from_json(LimitOverride, each) for each in operator.done("limit", "list", "--json").json]
    assert (held.target.user_id, held.limit) == ("lea", "2/hour")
    assert operator.done("limit", "list").rows[0][:2] == ["user lea", "2/hour"]
    operator.done(*undo_of(ran))
    fleet.felt(200, user="lea")
    assert operator("limit", "list").out == ""


def test_the_limit_of_an_address_is_set_and_cleared(fleet, operator, address):
    ran = operator.done("limit", "set", "1/hour", address)
    fleet.felt(429, address=address)
    operator.done(*undo_of(ran))
    fleet.felt(200, address=address)


def test_monitor_mode_refuses_nothing_and_is_cleared(fleet, operator, address):
    fleet.felt(400, WIDE, address=address)
    ran = operator.done("mode", "monitor", "--for", "5m", "--protection", "query_limits", "--reason", "our mistake")
    assert "(5 min)" in ran.out
    fleet.felt(200, WIDE, address=address)
    assert operator.done("mode").rows[0][:2] == ["query_limits", "monitor"]
    operator.done(*undo_of(ran))
    fleet.felt(400, WIDE, address=address)


def test_a_variable_is_set_and_cleared(fleet, operator, address):
    """4 levels are not twice as deep as 3: asking again and again is no offence."""
    fleet.felt(200, DEEP, address=address)
    ran = operator.done("set", "max_query_depth", "3", "--for", "5m")
    fleet.felt(400, DEEP, address=address)
    (row,) = operator.done("set", "--list").rows
    assert row[:2] == ["FRAISEQL_MAX_QUERY_DEPTH", "3"]
    (shown,) = [row for row in operator.done("config", "--fleet").rows if row[0] == "FRAISEQL_MAX_QUERY_DEPTH"]
    assert shown[1:3] == ["3", "override"]
    operator.done(*undo_of(ran))
    fleet.felt(200, DEEP, address=address)


def test_a_document_is_blocked_and_unblocked(fleet, operator, address):
    document = "{ users(limit: 2) { id } }"
    ran = operator.done("block", "--document", hashlib.sha256(document.encode()).hexdigest())
    fleet.felt(403, document, address=address)
    assert set(fleet.statuses(QUERY, address=address)) == {200}
    operator.done(*undo_of(ran))
    fleet.felt(200, document, address=address)


def test_an_operation_is_blocked_and_unblocked(fleet, operator, address):
    document = "query Heavy { users(limit: 3) { id } }"
    ran = operator.done("block", "--operation", "Heavy")
    fleet.felt(403, document, address=address)
    assert set(fleet.statuses(QUERY, address=address)) == {200}
    operator.done(*undo_of(ran))
    fleet.felt(200, document, address=address)


def test_all_automatic_blocks_are_lifted_and_the_operators_stay(fleet, operator, address):
    other = f"198.51.100.{next(_hosts)}"
    operator.done("block", other)
    forged = make_token(FORGED, sub="root")
    eventually(
        lambda: (
            {answer.status_code for answer in fleet.answers(address=address, token=forged)} == {403} or "not blocked"
        ),
        "forged tokens should bring a block",
    )
    listed = {row[0]: row[1] for row in operator.done("blocks").rows}
    assert (listed[address], listed[other]) == ("automatic", "operator")
    operator.done("lift", "--all")
    assert fleet.answers(address=address, token=forged)[0].status_code == 401
    fleet.felt(403, address=other)
    operator.done("lift", "--all", "--origin", "any")
    fleet.felt(200, address=other)
    assert operator("blocks").out == ""


def test_lifting_goes_on_when_the_worker_that_did_it_has_ended(fleet, operator, address):
    forged = make_token(FORGED, sub="root")
    eventually(
        lambda: (
            {answer.status_code for answer in fleet.answers(address=address, token=forged)} == {403} or "not blocked"
        ),
        "forged tokens should bring a block",
    )

    async def begin_and_end() -> None:
        store = RedisStore(fleet.redis.url, timeout_seconds=5)
        begun = await store.lift_jobs.begin("automatic", "0123456789abcdef", actor="bob", worker="gone/1", total=1)
        assert begun.granted
        await store.aclose()

    asyncio.run(begin_and_end())
    ran = operator("lift", "--all")
    assert (ran.code, "it goes on" in ran.err) == (0, True), ran
    assert re.fullmatch(r"[1-9] sanctions? of automatic origin ended\.\n", ran.out), ran.out
    assert fleet.answers(address=address, token=forged)[0].status_code == 401


def test_garbage_is_collected_by_every_worker(fleet, operator):
    def collections():
        return [
            sum(value for (name, labels), value in server.samples().items() if name == "python_gc_collections_total"
                and ("generation", "2") in labels)
            for server in fleet.workers
        ]  # fmt: skip

    before = collections()
    operator.done("gc")
    eventually(
        lambda: all(now > then for now, then in zip(collections(), before, strict=True)) or collections(),
        f"every worker should have collected since {before}",
    )


def test_caches_are_cleared_and_requests_go_on(fleet, operator, address):
    assert operator.done("clear-caches", "--json").json["changed"] is True
    fleet.felt(200, address=address)


def test_the_allow_list_is_extended_listed_and_shortened(fleet, operator, address):
    ran = operator.done("allow", "add", address, "--reason", "the office", "--for", "1d")
    (row,) = [row for row in operator.done("allow", "list").rows if row[0] == address]
    assert (row[1], row[3]) == ("operator", "the office")
    refused = operator("block", address)
    assert (refused.code, "--force" in refused.err) == (3, True), refused
    operator.done(*undo_of(ran))
    assert address not in operator("allow", "list").out


def test_what_is_done_twice_is_no_error(operator, address):
    for _ in range(2):
        operator.done("block", address, "--for", "5m")
    for _ in range(2):
        operator.done("unblock", address)


def test_every_answer_in_json_has_the_interfaces_shape(operator, address):
    done = from_json(Done, operator.done("block", address, "--json").json)
    assert done.changed
    assert any(from_json(Block, each).target.ip_address == address for each in operator.done("blocks", "--json").json)
    assert from_json(Done, operator.done("unblock", address, "--json").json).affected == 1
    for words in (["lift", address], ["allow", "list"], ["mode"], ["set", "--list"], ["actions"], ["why"], ["gc"]):
        operator.done(*words, "--json").json  # noqa: B018 - it parses


def test_the_command_speaks_to_the_workers_of_its_namespace(fleet, on_redis, address):
    elsewhere = Operator({**on_redis.environment, name_of("namespace"): "shop-test"})
    elsewhere.done("block", address)
    assert [row[0] for row in elsewhere.done("blocks").rows].count(address) == 1
    assert address not in on_redis("blocks").out
    fleet.felt(200, address=address)
    elsewhere.done("unblock", address)
