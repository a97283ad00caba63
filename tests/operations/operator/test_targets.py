"""Whom an operator means by a user_id, and what happens where that is not clear."""

import json

import pytest

from fraiseql_guard.core.context import Sanction, Subject
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.operations.operator.interface import OperatorError, Target
from fraiseql_guard.operations.operator.records import CallerCounts, Heartbeat, write_heartbeat
from tests.operations.operator.conftest import WORKER


def user(issuer: object, tenant: object, sub: str) -> Subject:
    return Subject("user", json.dumps([issuer, tenant, sub], separators=(",", ":")))


async def seen(store, *subjects: Subject) -> None:
    callers = [CallerCounts(kind=each.kind, name=each.name, shown="carol") for each in subjects]
    await store.fleet.beat("w", write_heartbeat(Heartbeat(worker=WORKER, callers=callers)), 60)


async def blocked(store) -> set[str]:
    return {each.subject.name for each in await store.sanctions.all()}


async def test_a_user_whom_nobody_has_seen_is_the_configured_issuers(make_operator, store) -> None:
    await make_operator().block(Target(user_id="carol"))
    await make_operator(jwt_issuer="https://a").block(Target(user_id="carol"))
    await make_operator(jwt_issuer="https://a").block(Target(user_id="carol", issuer="https://b", tenant="t"))
    assert await blocked(store) == {
        '[null,null,"carol"]', '["https://a",null,"carol"]', '["https://b","t","carol"]',
    }  # fmt: skip


async def test_a_user_lately_seen_is_meant(make_operator, store) -> None:
    await seen(store, user("https://a", 7, "carol"), user("https://a", 7, "dave"))
    await make_operator().block(Target(user_id="carol"))
    assert await blocked(store) == {'["https://a",7,"carol"]'}


async def test_several_users_of_one_name_have_to_be_told_apart(make_operator, store) -> None:
    await seen(store, user("https://a", 7, "carol"), user("https://a", 8, "carol"), user("https://b", None, "carol"))
    operator = make_operator()
    for target in (Target(user_id="carol"), Target(user_id="carol", issuer="https://a")):
        with pytest.raises(OperatorError, match="several users are called carol: issuer https://a, tenant 7") as caught:
            await operator.block(target)
        assert caught.value.field == "tenant"
    await operator.block(Target(user_id="carol", issuer="https://b"))
    await operator.block(Target(user_id="carol", tenant="8"))
    assert await blocked(store) == {'["https://b",null,"carol"]', '["https://a",8,"carol"]'}


async def test_lifting_finds_whoever_of_the_name_is_sanctioned(make_operator, store) -> None:
    for issuer in ("https://a", "https://b"):
        await store.sanctions.impose(Sanction(user(issuer, None, "carol"), PolicyName.DOS, 300.0))
    await seen(store, user("https://c", 1, "carol"), user("https://c", 2, "carol"))
    operator = make_operator()
    assert (await operator.lift(Target(user_id="carol", issuer="https://b"))).affected == 1
    assert (await operator.lift(Target(user_id="carol"))).affected == 1
    assert await blocked(store) == set()


async def test_clearing_finds_whoever_of_the_name_has_a_limit(make_operator, store) -> None:
    operator = make_operator()
    await operator.set_limit(Target(user_id="carol", issuer="https://a"), "5/minute")
    assert (await operator.clear_limit(Target(user_id="carol"))).affected == 1
    assert await operator.limits() == []


@pytest.mark.parametrize(
    "target",
    [Target(), Target(user_id="a", ip_address="192.0.2.1"), Target(user_id=""), Target(user_id="a\nb"),
     Target(ip_address="192.0.2.1", issuer="x"), Target(user_id="x" * 256), Target(ip_address="nowhere")],
    ids=range(7),
)  # fmt: skip
async def test_a_target_that_is_none(make_operator, target) -> None:
    operator = make_operator()
    for action in (operator.block, operator.lift, operator.clear_limit):
        with pytest.raises(OperatorError):
            await action(target)


async def test_an_ipv6_address_stands_for_its_64(make_operator, store) -> None:
    operator = make_operator()
    await store.sanctions.impose(Sanction(Subject("address", "2001:db8::/64", "2001:db8::/48"), PolicyName.DOS, 300.0))
    await operator.set_limit(Target(ip_address="2001:db8::77"), "5/minute")
    await operator.set_limit(Target(ip_address="2001:db8::/64"), "6/minute")
    assert [(each.target.ip_address, each.limit) for each in await operator.limits()] == [("2001:db8::/64", "6/minute")]
    with pytest.raises(OperatorError, match="holds many callers"):
        await operator.set_limit(Target(ip_address="2001:db8::/48"), "5/minute")
    assert (await operator.lift(Target(ip_address="2001:db8::1"))).affected == 1


async def test_a_network_lifts_all_inside_it(make_operator, store) -> None:
    for name in ("203.0.113.1", "203.0.113.2", "203.0.114.1", "unknown"):
        await store.sanctions.impose(Sanction(Subject("address", name), PolicyName.DOS, 300.0))
    assert (await make_operator().lift(Target(ip_address="203.0.113.0/24"))).affected == 2
    assert await blocked(store) == {"203.0.114.1", "unknown"}


async def test_a_lockout_is_lifted_by_its_identifier(make_operator, store) -> None:
    for address in ("203.0.113.1", "203.0.113.2"):
        name = json.dumps(["carol@example.org", address])
        await store.sanctions.impose(Sanction(Subject("login", name), PolicyName.BRUTE_FORCE, 300.0))
    operator = make_operator()
    [first, _] = await operator.blocks()
    assert (first.target.identifier, first.target.user_id) == ("carol@example.org", None)
    assert (await operator.unlock("carol@example.org", ip_address="203.0.113.1")).affected == 1
    assert (await operator.unlock("dave@example.org")).changed is False
    assert (await operator.unlock("carol@example.org")).message == "carol@example.org is unlocked."
