"""A block that would hit the wrong callers is refused by every way in, and says how many requests it would have met."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from fraiseql_guard.operations.operator.interface import DangerousError, Target
from fraiseql_guard.operations.operator.records import Heartbeat, Seen, write_heartbeat
from tests.operations.operator.conftest import WORKER

SETTINGS = {"trusted_proxies": "10.1.2.3,unix,172.20.0.0/16", "allow_list": "192.0.2.0/24"}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("127.0.0.1", "is loopback"),
        ("127.9.9.9/32", "is loopback"),
        ("::1", "is loopback"),
        ("::ffff:127.0.0.1", "is loopback"),
        ("10.1.2.3", "meets the trusted proxy 10.1.2.3 (FRAISEQL_GUARD_TRUSTED_PROXIES)"),
        ("172.20.3.0/24", "meets the trusted proxy 172.20.0.0/16"),
        ("192.0.2.77", "meets the allow-listed 192.0.2.0/24"),
        ("192.0.0.0/22", "meets the allow-listed 192.0.2.0/24"),
        ("198.51.100.1", "meets the allow-listed 198.51.100.1"),
        ("203.0.0.0/15", "is wider than /16"),
        ("0.0.0.0/0", "is wider than /16 and holds your own address 203.0.113.200 and is loopback"),
        ("2001:db8::/31", "is wider than /32"),
        ("203.0.113.200", "holds your own address 203.0.113.200"),
        ("203.0.113.128/25", "holds your own address 203.0.113.200"),
    ],
)
async def test_it_needs_force(make_operator, tmp_path, target, says) -> None:
    path = tmp_path / "allow.yml"
    path.write_text("- ip: 198.51.100.1")
    operator = make_operator(**SETTINGS, allow_list_file=path)
    with pytest.raises(DangerousError) as caught:
        await operator.block(Target(ip_address=target), caller="203.0.113.200")
    assert says in str(caught.value)
    assert (caught.value.field, caught.value.status) == ("ip_address", 409)
    assert await operator.blocks() == []
    assert await operator.actions() == []
    done = await operator.block(Target(ip_address=target), caller="203.0.113.200", force=True)
    assert done.changed
    assert len(await operator.blocks()) == 1
    assert (await operator.actions())[0].fields["forced"] is True


@pytest.mark.parametrize("target", ["203.0.113.9", "203.0.0.0/16", "2001:db8::/32", "10.1.2.4", "172.21.0.0/16"])
async def test_what_is_ordinary_needs_none(make_operator, target) -> None:
    operator = make_operator(**SETTINGS)
    assert (await operator.block(Target(ip_address=target), caller="198.51.100.9")).changed


@pytest.mark.parametrize("caller", [None, "", "unknown", "198.51.100.9"])
async def test_a_caller_of_whom_nothing_is_known(make_operator, caller) -> None:
    assert (await make_operator().block(Target(ip_address="203.0.113.9"), caller=caller)).changed


async def test_what_an_operator_has_allowed_is_allow_listed(make_operator) -> None:
    operator = make_operator()
    await operator.allow("203.0.113.0/28")
    with pytest.raises(DangerousError, match=r"meets the allow-listed 203\.0\.113\.0/28"):
        await operator.block(Target(ip_address="203.0.113.9"))


async def test_whom_it_would_have_met(make_operator, store) -> None:
    operator = make_operator()
    user = '["https://a",null,"carol"]'
    for number in (1, 2):
        seen = Seen(requests=500, addresses={"203.0.113.9": 30, "203.0.113.77": 7, "192.0.2.1": 90}, users={user: 11})
        await store.fleet.beat(str(number), write_heartbeat(Heartbeat(worker=WORKER, seen=seen)), 60)
    done = await operator.block(Target(ip_address="203.0.113.0/24"))
    assert (done.would_have_met, done.details["requests_seen"]) == (74, 1000)
    done = await operator.block(Target(user_id="carol", issuer="https://a"))
    assert (done.would_have_met, done.details["requests_seen"]) == (22, 1000)
    with pytest.raises(DangerousError, match="would have met 74 of the last 1000 requests") as caught:
        await operator.block(Target(ip_address="203.0.0.0/8"))
    assert caught.value.would_have_met == 74


MONITOR_ALL = {"rate_limit": "monitor", "auth": "monitor", "query_limits": "monitor", "timeout": "monitor"}


async def heartbeats(store: Any, modes: Iterable[Mapping[str, str]]) -> None:
    """Of workers with these modes, which have taken over all that operators have said."""
    version = (await store.overrides.read(-1)).version
    for number, each in enumerate(modes):
        payload = write_heartbeat(Heartbeat(worker=replace(WORKER, modes=each, control_version=version)))
        await store.fleet.beat(str(number), payload, 60)


@pytest.mark.parametrize(
    ("modes", "caller", "document"),
    [
        ([MONITOR_ALL], "rate_limit", "query_limits"),
        ([{**MONITOR_ALL, "auth": "enforce", "query_limits": "enforce"}], "rate_limit", ""),
        ([{**MONITOR_ALL, "rate_limit": "enforce"}], "", "query_limits"),
        ([{**MONITOR_ALL, "rate_limit": "off"}], "auth", "query_limits"),
        ([{**MONITOR_ALL, "rate_limit": "off", "auth": "enforce"}], "", "query_limits"),
        ([dict.fromkeys(MONITOR_ALL, "enforce"), MONITOR_ALL], "rate_limit", "query_limits"),
        ([dict.fromkeys(MONITOR_ALL, "enforce")], "", ""),
        ([], "", ""),
    ],
)
async def test_a_block_that_is_only_watched_says_so(make_operator, store, modes, caller, document) -> None:
    operator = make_operator()
    blocks = [
        (caller, operator.block(Target(ip_address="203.0.113.9"))),
        (caller, operator.block(Target(user_id="carol"))),
        (document, operator.switch("operation", "Export", duration_seconds=60)),
        (document, operator.switch("document", "9f" * 32, duration_seconds=60)),
    ]
    for protection, block in blocks:
        await heartbeats(store, modes)
        done = await block
        words = f"refuses nothing while {protection} is in monitor mode" if protection else None
        assert done.details.get("watched") == words
        assert ("monitor mode" in done.message) == bool(protection)
    limit = await operator.switch("setting", "FRAISEQL_MAX_QUERY_DEPTH", "5", duration_seconds=60)
    assert "watched" not in limit.details


async def test_a_worker_is_not_asked_for_modes_that_may_just_have_changed(make_operator, store) -> None:
    """Heartbeats come once a second: the last one may be of before a change of the modes."""
    operator = make_operator()
    await heartbeats(store, [MONITOR_ALL])
    await operator.switch("mode", "query_limits", "enforce", duration_seconds=60)
    done = await operator.switch("operation", "Export", duration_seconds=60)
    assert "monitor mode" not in done.message
