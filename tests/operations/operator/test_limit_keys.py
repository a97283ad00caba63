"""Limits that an operator sets for a key: a tenant, a claim, a header's value."""

from __future__ import annotations

import pytest

from fraiseql_guard.core import signals
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.limit_key import digest
from fraiseql_guard.core.token_buckets import Rate
from fraiseql_guard.operations.operator.interface import OperatorError, Target

CHANGES = {signals.ADMIN_LIMIT.name, signals.ADMIN_LIMIT_CLEARED.name}
USER = '["https://a",null,"carol"]'


async def test_a_key_has_a_limit_of_its_own_for_a_while(make_operator, store) -> None:
    operator = make_operator()
    done = await operator.set_limit(Target(key="tenant:acme"), "5/minute")
    assert done.message == "The limit of key tenant:acme is 5/minute for 1 h."
    held = await store.limits.of(Subject("key", "tenant:acme"))
    assert held is not None
    assert held.rate == Rate.of(5, 60)
    assert [each.target for each in await operator.limits()] == [Target(key="tenant:acme")]
    assert not (await operator.set_limit(Target(key="tenant:acme"), "5/minute", duration_seconds=60)).changed
    assert (await operator.clear_limit(Target(key="tenant:acme"))).affected == 1
    assert await operator.limits() == []


async def test_pages_of_one_key(make_operator) -> None:
    operator = make_operator()
    for key in ("tenant:acme", "tenant:other", "header:x-api-key:a-secret"):
        await operator.set_limit(Target(key=key), "5/minute")
    found = (await operator.limits_page(key="header:X-API-Key:a-secret")).items
    assert [each.target.key for each in found] == [f"header:x-api-key#{digest('a-secret')}"]


async def test_a_secret_in_a_key_is_told_to_no_one(make_operator, audited) -> None:
    operator = make_operator()
    for target in (Target(key="header:X-API-Key:a-secret"), Target(key="function:a-secret")):
        told = [await operator.set_limit(target, "5/minute"), await operator.clear_limit(target)]
        assert "a-secret" not in str(told)
    lines = [fields for event, fields in audited if event in CHANGES]
    assert [line["key"].partition("#")[2] for line in lines] == [digest("a-secret")] * 4
    assert "a-secret" not in str(audited)


async def test_users_and_addresses_in_a_key_of_several_parts_are_those_of_the_store(make_operator, store) -> None:
    operator = make_operator(jwt_issuer="https://a", ipv6_prefix=56)
    for key in ("tenant:acme+user:carol", f"tenant:acme+user:{USER}", "tenant:acme+address:2001:db8::7"):
        await operator.set_limit(Target(key=key), "5/minute")
    assert {each.subject.name for each in await store.limits.all()} == {
        f"tenant:acme+user:{USER}", "tenant:acme+address:2001:db8::/56",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("acme", "is no key of a limit"),
        ("user:carol", "is a user or an address: give user_id or ip_address"),
        ("address:192.0.2.1", "is a user or an address"),
        ("tenant:acme+address:10.0.0.0/8", "holds many callers"),
    ],
)
async def test_what_is_no_key(make_operator, key, message) -> None:
    operator = make_operator()
    with pytest.raises(OperatorError, match=message) as caught:
        await operator.set_limit(Target(key=key), "5/minute")
    assert caught.value.status in (400, 422)


async def test_a_key_is_not_blocked(make_operator) -> None:
    operator = make_operator()
    for action in (operator.block, operator.lift):
        with pytest.raises(OperatorError, match="a key has limits alone"):
            await action(Target(key="tenant:acme"))
    with pytest.raises(OperatorError, match="exactly one"):
        await operator.set_limit(Target(key="tenant:acme", user_id="carol"), "5/minute")


async def test_an_address_stands_for_the_prefix_that_is_set(make_operator, store) -> None:
    operator = make_operator(ipv6_prefix=56)
    await operator.set_limit(Target(ip_address="2001:db8:0:177::1"), "5/minute")
    assert [each.subject.name for each in await store.limits.all()] == ["2001:db8:0:100::/56"]
    with pytest.raises(OperatorError, match="or an IPv6 /56"):
        await operator.set_limit(Target(ip_address="2001:db8::/48"), "5/minute")
