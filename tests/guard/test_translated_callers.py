"""A translator's callers are limited, blocked and allowed one by one, each like the IPv4 address that it has."""

from __future__ import annotations

from tests.support.asgi import request

ONE, OTHER = ("64:ff9b::203.0.113.7", 1), ("64:ff9b::203.0.113.8", 1)
PLAIN = ("203.0.113.7", 1)


async def get(guard, client) -> int:
    return (await request(guard, "GET", "/page", client=client)).status


async def test_one_callers_flood_is_its_own(guarded) -> None:
    guard = guarded(rate_limit_default="3/hour", rate_limit_burst=0)
    assert [await get(guard, ONE) for _ in range(4)] == [200, 200, 200, 429]
    assert await get(guard, OTHER) == 200
    assert await get(guard, PLAIN) == 429


async def test_blocks_and_the_allow_list_are_about_the_ipv4_address(guarded) -> None:
    guard = guarded(rate_limit_default="1/hour", rate_limit_burst=0, allow_list="203.0.113.8")
    assert [await get(guard, OTHER) for _ in range(3)] == [200] * 3
    await guard.guard.block_ip("64:ff9b::203.0.113.7", 60)
    await guard.guard.runtime.control.refresh()
    assert (await get(guard, ONE), await get(guard, PLAIN)) == (403, 403)
    await guard.guard.unblock(ip_address="203.0.113.7")
    await guard.guard.runtime.control.refresh()
    assert await get(guard, ONE) == 200


async def test_a_private_address_behind_a_prefix_reads_nothing_of_the_operators(guarded) -> None:
    guard = guarded()
    for address in ("64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::127.0.0.1"):
        for path in ("/metrics", "/health/detailed"):
            assert (await request(guard, "GET", path, client=(address, 1))).status == 403
