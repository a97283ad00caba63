"""What others do brings no automatic sanction on bystanders: who shares their address, their browser, their database.

Where a block of an address is right (an attacker uses it), its innocent neighbours go on being served.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fraiseql_guard.stores import MemoryStore
from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

SANCTIONS = "fraiseql_guard_sanctions_total"
COSTLY = "{users(limit:100){posts(limit:100){comments(limit:100){id}}}}"
LOGIN = "mutation{login(name:1){token}}"
QUICK = {"rate_limit_abuse_offences": 2, "dos_offences": 2, "brute_force_offences": 2}


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def mount(request, guarded, clock, secret) -> AsyncIterator:
    """A guard that is quick to judge, on either store; with the one in memory on a clock of its own."""
    made = []

    def make(app=None, **options):
        options = {"jwt_secret": secret, "public_operations": "login", "auth_required": False} | QUICK | options
        made.append(guarded(app, store_timeout_ms=5000, **options))
        return made[-1]

    if request.param == "memory":
        yield lambda app=None, **options: make(app, clock=clock, **options)
    else:
        with RedisServer() as server:
            yield lambda app=None, **options: make(app, redis_url=server.url, **options)
            for guard in made:
                await guard.guard.aclose()


def offences(guard) -> float:
    """Sanctions of any kind, and blocks that would have been."""
    return guard.metric(SANCTIONS) + guard.metric("fraiseql_guard_refusals_total", code="BLOCKED")


async def next_second(guard) -> None:
    """Offences against the rate count once a second: the memory's clock is ours, Redis's is not."""
    if isinstance(guard.store, MemoryStore):
        guard.advance(1.05)
    else:
        await asyncio.sleep(1.05)


async def violate_the_rate(guard, **caller) -> None:
    """One request that fits, and refusals in as many different seconds as bring a block."""
    for _ in range(3):
        assert (await graphql(guard, "{me{id}}", **caller)).status in (200, 401, 429)
        await next_second(guard)


@pytest.mark.parametrize(
    "caller",
    [
        {"client": ("10.0.0.5", 1), "headers": {"x-forwarded-for": "198.51.100.1"}},
        {"client": None, "headers": {"x-forwarded-for": "198.51.100.1"}},
        {"client": None},  # a socket whose proxy tells nothing
    ],
)
async def test_nobody_behind_a_shared_peer(mount, secret, caller) -> None:
    guard = mount(rate_limit_default="1/hour", rate_limit_burst=0)
    for _ in range(10):
        await graphql(guard, "{me{id}}", token="a.b.c", **caller)
        await graphql(guard, COSTLY, **caller)
    await violate_the_rate(guard, **caller)
    assert offences(guard) == 0
    assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="ada"), **caller)).status == 200


@pytest.mark.parametrize("attack", ["tokens", "costly", "rate"])
async def test_neighbours_behind_the_same_nat(mount, secret, attack) -> None:
    """An office: one attacks, all others work, come back from lunch with an expired token, log in, open the page."""
    guard = mount(rate_limit_default="10/hour", rate_limit_burst=0, auth_required=True)
    for _ in range(3):
        if attack == "tokens":
            await graphql(guard, "{me{id}}", token="a.b.c")
        elif attack == "costly":
            await graphql(guard, "mutation{login{sessions(limit:100000){id}}}")
    if attack == "rate":
        for _ in range(9):
            await graphql(guard, "{me{id}}")
        await violate_the_rate(guard)
    assert guard.metric(SANCTIONS) == 1
    stale = make_token(secret, sub="bob", expires_in_seconds=-5)
    preflight = {"origin": "https://app.example.org", "access-control-request-method": "POST"}
    for _ in range(3):
        assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="ada"))).status == 200
        assert (await graphql(guard, "{me{id}}", token=stale)).status == 401
        assert (await graphql(guard, LOGIN)).status == 200
    if attack != "rate":  # then there is no room left in the address's bucket
        assert (await request(guard, "OPTIONS", headers=preflight)).status == 200
    if attack == "tokens":
        assert (await request(guard, "GET", "/page")).status == 200
    assert (await graphql(guard, "{me{id}}", client=("203.0.113.8", 1))).status == 401  # another office


async def test_a_user_who_overdoes_it_is_blocked_alone(mount, secret) -> None:
    guard = mount(rate_limit_authenticated="1/hour", rate_limit_burst=0)
    greedy, neighbour = make_token(secret, sub="greedy"), make_token(secret, sub="neighbour")
    await violate_the_rate(guard, token=greedy)
    assert (await graphql(guard, "{me{id}}", token=greedy)).status == 403
    assert (await graphql(guard, "{me{id}}", token=neighbour)).status == 200
    assert (await graphql(guard, "{me{id}}")).status == 200  # anonymous, from the same address


async def test_a_rotation_by_the_book(mount, secret) -> None:
    """The next key is accepted ahead, the previous one afterwards: no user's token fails on any worker."""
    following = "n" * 40
    before, ahead = mount(jwt_secret=secret), mount(jwt_secret=secret, jwt_secret_new=following)
    after = mount(jwt_secret=following, jwt_secret_old=secret)
    for _ in range(5):
        for guard in (before, ahead, after):
            assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="ada"))).status == 200
        for guard in (ahead, after):
            assert (await graphql(guard, "{me{id}}", token=make_token(following, sub="bob"))).status == 200
    assert [offences(guard) for guard in (before, ahead, after)] == [0, 0, 0]


async def test_a_rotation_after_a_leak(mount, secret) -> None:
    """No previous key: every old token is a bad one. A user who has logged in again is served, and can log in."""
    guard = mount(jwt_secret="n" * 40, auth_required=True)
    for number in range(6):
        await graphql(guard, "{me{id}}", token=make_token(secret, sub=f"tab-{number}"))
    assert guard.metric(SANCTIONS, policy="brute_force") == 1
    assert (await graphql(guard, LOGIN)).status == 200
    assert (await graphql(guard, "{me{id}}", token=make_token("n" * 40, sub="tab-1"))).status == 200


@pytest.mark.parametrize("mount", ["memory"], indirect=True)
@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/graphql", {"body": b"{}", "content_type": "text/plain"}),
        ("POST", "/graphql", {"body": b"query=x", "content_type": "application/x-www-form-urlencoded"}),
        ("GET", "/graphql", {"query": "query={me{id}}"}),
        ("GET", "/graphql", {"query": "", "headers": {"accept": "text/html"}}),
        ("OPTIONS", "/graphql", {"headers": {"origin": "https://e.org", "access-control-request-method": "POST"}}),
        ("GET", "/image", {}),
        ("GET", "/api/image", {"headers": {"authorization": "Basic YTpi"}}),  # sent by the browser itself
        ("POST", "/form", {"body": b"a=b", "content_type": "application/x-www-form-urlencoded"}),
    ],
)
async def test_the_visitor_of_a_foreign_page(mount, secret, method, path, sent) -> None:
    """A page has its visitor's browser send whatever it can without asking."""
    guard = mount(rate_limit_default="2/hour", rate_limit_burst=0, auth_paths="/api")
    headers = {"sec-fetch-site": "cross-site", **sent.get("headers", {})}
    for _ in range(4):
        for _ in range(4):
            await request(guard, method, path, **{**sent, "headers": headers})
        await next_second(guard)
    assert offences(guard) == 0
    if method == "POST" and path == "/graphql":  # refused before anything was read: the visitor's bucket is full
        assert (await graphql(guard, "{me{id}}")).status == 200


async def test_a_program_does_not_become_a_visitor_by_saying_so(mount) -> None:
    """JSON and bearer tokens are never sent unasked, whatever the header says."""
    guard = mount(rate_limit_default="1/hour", rate_limit_burst=0)
    disguise = {"sec-fetch-site": "cross-site"}
    await violate_the_rate(guard, headers=disguise)
    assert (await graphql(guard, "{me{id}}", headers=disguise)).status == 403


async def test_polling_clients(mount, secret) -> None:
    """Tabs that poll with an expired token, or with none, or inside their Retry-After."""
    guard = mount(auth_required=True, rate_limit_authenticated="1/hour", rate_limit_burst=0)
    stale = make_token(secret, sub="ada", expires_in_seconds=-5)
    for _ in range(40):
        assert (await graphql(guard, "{me{id}}", token=stale)).status == 401
        assert (await graphql(guard, "{me{id}}")).status == 401
    assert offences(guard) == 0
    poller = make_token(secret, sub="poller")
    answers = [(await graphql(guard, "{me{id}}", token=poller)).status for _ in range(40)]
    assert answers == [200] + [429] * 39  # one offence in that second, not 39
    assert offences(guard) == 0


async def test_an_expired_token_takes_nothing_from_the_address(mount, secret) -> None:
    guard = mount(rate_limit_default="3/hour", rate_limit_burst=0)
    stale = make_token(secret, sub="ada", expires_in_seconds=-5)
    for _ in range(10):
        assert (await graphql(guard, "{me{id}}", token=stale)).status == 401
    assert (await graphql(guard, "{me{id}}")).header("x-ratelimit-remaining") == "2"


async def test_a_slow_database(mount, secret) -> None:
    """Timeouts, full pools and too many operations at once are no offence."""
    app = EchoApp(seconds=30)
    guard = mount(app, query_timeout=0.4, max_in_flight=2, database_pool_size=6)
    callers = [{"token": make_token(secret, sub=name)} for name in ("ada", "bob")] * 4 + [{}] * 4
    seen = set()
    for _ in range(3):
        replies = await asyncio.gather(*(graphql(guard, "{users{id}}", **caller) for caller in callers))
        seen |= {reply.status for reply in replies}
    assert seen == {504, 429, 503}
    assert offences(guard) == 0
    app.seconds = 0
    for caller in (callers[0], callers[-1]):
        assert (await graphql(guard, "{me{id}}", **caller)).status == 200


async def test_a_full_pool_costs_nobody_a_token(mount) -> None:
    app = EchoApp(held=True)
    guard = mount(app, database_pool_size=4, rate_limit_default="1/hour", rate_limit_burst=0)
    slow = [asyncio.create_task(graphql(guard, "{me{id}}", client=(f"198.51.100.{n}", 1))) for n in range(2)]
    await until(lambda: app.at_work == 2)
    for _ in range(5):
        refused = await graphql(guard, "{me{id}}")
        assert (refused.status, refused.code) == (503, "OVERLOADED")
    app.release()
    await asyncio.gather(*slow)
    assert (await graphql(guard, "{me{id}}")).status == 200
    assert offences(guard) == 0


async def test_the_app_that_forbids(mount, secret) -> None:
    """A page full of links that its reader may not follow."""
    guard = mount(EchoApp(status=403))
    for caller in ({"token": make_token(secret, sub="ada")}, {}) * 20:
        assert (await graphql(guard, "{me{id}}", **caller)).status == 403
    assert offences(guard) == 0
