"""Who may ask how often, and what they are told."""

import asyncio

import pytest

from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request

V6 = ("2001:db8:1:2::1", 1)


async def test_a_full_bucket_admits_exactly_its_capacity(guarded, clock) -> None:
    guard = guarded(clock=clock, rate_limit_default="3/minute", rate_limit_burst=2)
    replies = [await graphql(guard, "{me{id}}") for _ in range(7)]
    assert [reply.status for reply in replies] == [200] * 5 + [429] * 2
    assert [reply.header("x-ratelimit-remaining") for reply in replies] == ["3", "3", "2", "1", "0", "0", "0"]
    assert len(guard.app.bodies) == 5


async def test_a_refusal_says_when_to_come_back(guarded, clock) -> None:
    guard = guarded(clock=clock, rate_limit_default="3/minute", rate_limit_burst=0)
    last = [await graphql(guard, "{me{id}}") for _ in range(4)][-1]
    assert last.header("x-ratelimit-limit") == "3"
    assert last.header("retry-after") == "20"  # one token every 20 seconds
    assert last.header("ratelimit-policy") == '"default";q=3;w=60'
    assert last.header("ratelimit") == f'"default";r=0;t={last.header("retry-after")}'
    assert (last.code, last.extensions["limit"], last.extensions["retryAfter"]) == ("RATE_LIMITED", 3, 20)


async def test_a_refusal_leaves_its_metric_and_its_line(guarded) -> None:
    guard = guarded(rate_limit_default="1/minute", rate_limit_burst=0)
    for _ in range(3):
        await graphql(guard, "{me{id}}", headers={"user-agent": "curl/8"})
    assert guard.metric("fraiseql_rate_limit_exceeded_total", user_id="anonymous", ip_address="203.0.113.7") == 2
    line = guard.lines("security.rate_limit")[0]
    assert line["level"] == "WARNING"
    context = line["context"]
    assert (context["ip_address"], context["endpoint"], context["user_agent"]) == ("203.0.113.7", "/graphql", "curl/8")
    assert (context["limit"], context["window_seconds"]) == (1, 60)
    assert context["exceeded_by"] == context["current_count"] - 1 >= 1


async def test_users_have_buckets_of_their_own_wherever_they_are(guarded, secret) -> None:
    guard = guarded(
        jwt_secret=secret, auth_required=False, rate_limit_default="1/minute", rate_limit_authenticated="2/minute",
        rate_limit_burst=0, tiers="pro=4/minute",
    )  # fmt: skip

    async def statuses(count, **caller):
        return [(await graphql(guard, "{me{id}}", **caller)).status for _ in range(count)]

    assert await statuses(2) == [200, 429]
    assert await statuses(3, token=make_token(secret, sub="alice")) == [200, 200, 429]
    assert await statuses(1, token=make_token(secret, sub="alice"), client=("198.51.100.1", 1)) == [429]
    assert await statuses(5, token=make_token(secret, sub="bob", tier="pro")) == [200] * 4 + [429]
    assert await statuses(3, token=make_token(secret, sub="eve", tier="invented")) == [200, 200, 429]
    assert await statuses(1, client=("198.51.100.1", 1)) == [200]


async def test_a_mutation_takes_a_token_for_each_root_field_and_never_more_than_fits(guarded) -> None:
    guard = guarded(rate_limit_default="5/minute", rate_limit_burst=0)
    reply = await graphql(guard, "mutation{a:x b:x c:x}")
    assert (reply.status, reply.header("x-ratelimit-remaining")) == (200, "2")
    assert (await graphql(guard, "mutation{a:x b:x c:x}")).status == 429
    assert (await graphql(guard, "{me{id}}")).status == 200  # all or none: the refusal took nothing
    impossible = await graphql(guard, "mutation{a:x b:x c:x d:x e:x f:x}")
    assert (impossible.status, impossible.code) == (400, "CHARGE_TOO_LARGE")
    assert impossible.header("retry-after") is None


async def test_graphql_limits_come_on_top_and_the_tightest_is_shown(guarded) -> None:
    guard = guarded(
        rate_limit_default="100/minute", rate_limit_graphql_mutation="2/minute", rate_limit_graphql_query="4/minute",
        rate_limit_burst=0,
    )  # fmt: skip
    first = await graphql(guard, "mutation{x}")
    assert (first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")) == ("2", "1")
    assert '"default";q=100;w=60' in (first.header("ratelimit-policy") or "")
    assert '"graphql_mutation";q=2;w=60' in (first.header("ratelimit-policy") or "")
    assert (await graphql(guard, "mutation{x}")).status == 200
    assert (await graphql(guard, "mutation{x}")).status == 429
    assert (await graphql(guard, "{x{id}}")).status == 200
    assert (await request(guard, "GET", "/page")).status == 200


async def test_refusals_are_not_free(guarded, clock) -> None:
    guard = guarded(clock=clock, rate_limit_default="20/minute", rate_limit_burst=0)
    too_deep = "{a" + "{a" * 30 + "}" * 31
    assert (await graphql(guard, too_deep)).header("x-ratelimit-remaining") == "19"
    assert (await graphql(guard, "{unreadable")).header("x-ratelimit-remaining") == "9"
    assert (await graphql(guard, "{unreadable")).status == 429  # ten more do not fit


async def test_probes_from_private_peers_are_free_and_others_are_not(guarded) -> None:
    guard = guarded(rate_limit_default="1/minute", rate_limit_burst=0)
    for _ in range(5):
        assert (await request(guard, "GET", "/health", client=("10.1.2.3", 1))).status == 200
    assert [(await request(guard, "GET", "/health")).status for _ in range(2)] == [200, 429]


async def test_allow_listed_addresses_are_not_counted(guarded) -> None:
    guard = guarded(rate_limit_default="1/minute", rate_limit_burst=0, allow_list="203.0.113.0/24")
    assert {(await graphql(guard, "{me{id}}")).status for _ in range(5)} == {200}


async def test_changing_addresses_inside_a_v6_network_does_not_escape(guarded) -> None:
    guard = guarded(rate_limit_default="2/minute", rate_limit_burst=0)
    admitted = 0
    for host in range(20):
        admitted += (await graphql(guard, "{me{id}}", client=(f"2001:db8:1:2::{host:x}", 1))).status == 200
    assert admitted == 2  # one /64
    for network in range(40):
        admitted += (await graphql(guard, "{me{id}}", client=(f"2001:db8:1:2{network:02x}::1", 1))).status == 200
    assert admitted == 8 + 2  # one /56 takes four times the limit; the first /64 is in another


async def test_everybody_behind_an_untrusted_proxy_shares_a_larger_bucket(guarded) -> None:
    guard = guarded(rate_limit_default="1/minute", rate_limit_burst=0)
    hidden = {"client": ("10.0.0.5", 1), "headers": {"x-forwarded-for": "198.51.100.1"}}
    statuses = [(await graphql(guard, "{me{id}}", **hidden)).status for _ in range(22)]
    assert statuses == [200] * 20 + [429] * 2


async def test_behind_a_trusted_proxy_each_client_has_its_own(guarded) -> None:
    guard = guarded(rate_limit_default="1/minute", rate_limit_burst=0, trusted_proxies="10.0.0.0/8")
    for last in range(5):
        headers = {"x-forwarded-for": f"6.6.6.6, 198.51.100.{last}, 10.0.0.9"}
        assert (await graphql(guard, "{me{id}}", client=("10.0.0.5", 1), headers=headers)).status == 200
        assert (await graphql(guard, "{me{id}}", client=("10.0.0.5", 1), headers=headers)).status == 429


async def test_a_thousand_at_once_are_admitted_exactly(guarded) -> None:
    guard = guarded(rate_limit_default="90/hour", rate_limit_burst=10, max_in_flight=1_000)
    replies = await asyncio.gather(*(graphql(guard, "{me{id}}") for _ in range(1_000)))
    assert sum(reply.status == 200 for reply in replies) == 100
    assert sum(reply.status == 429 for reply in replies) == 900


async def test_going_on_and_on_over_the_limit_brings_a_block_once(guarded) -> None:
    guard = guarded(rate_limit_default="1/hour", rate_limit_burst=0, rate_limit_abuse_offences=2)
    await graphql(guard, "{me{id}}")
    for _ in range(100):
        reply = await graphql(guard, "{me{id}}")
        if reply.status == 403:
            break
        await asyncio.sleep(0.1)
    assert (reply.status, reply.code) == (403, "BLOCKED")
    (line,) = guard.lines("security.rate_limit_abuse")
    assert line["level"] == "ERROR"
    assert line["context"]["action"] == "temporary_block"
    assert line["context"]["time_window_minutes"] == 5
    assert line["context"]["violations_count"] >= 2


@pytest.mark.parametrize("path", ["/graphql", "/other"])
async def test_every_answer_carries_the_limits_and_an_id_of_ours(guarded, path) -> None:
    class Labelled(EchoApp):
        async def __call__(self, scope, receive, send):
            async def with_id(message):
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-request-id", b"chosen by the app"))
                await send(message)

            await super().__call__(scope, receive, with_id)

    reply = await request(guarded(Labelled()), path=path, body=b'{"query":"{me{id}}"}')
    assert len(reply.header("x-request-id") or "") == 32
    assert reply.header("x-ratelimit-limit") == "100"
