"""No sequence of requests with unverifiable tokens changes anything for any user: limits, sanctions, offences.

What a user would notice is compared with a guard that saw no attack; what the store is asked is looked at too.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fraiseql_guard import Guard
from fraiseql_guard.stores import AdmitRequest, AdmitResult
from fraiseql_guard.testing import ManualClock, make_token
from tests.conftest import SECRET
from tests.support.asgi import EchoApp, graphql, request
from tests.support.properties import examples

USERS = ("alice", "bob")
HOMES = {"alice": "203.0.113.7", "bob": "198.51.100.9"}
ADDRESSES = st.sampled_from(["203.0.113.7", "198.51.100.9", "192.0.2.1", "2001:db8::1"])
TOKENS = {user: make_token(SECRET, sub=user) for user in USERS}
ALICE = TOKENS["alice"]


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


FORGED = st.builds(
    lambda sub, key, algorithm, more: (
        make_token(key, sub=sub, **more)
        if algorithm == "HS256"
        else f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part({'sub': sub, 'exp': 9e9, **more})}."
    ),
    st.sampled_from(USERS),
    st.sampled_from(["x" * 32, SECRET[:-1] + "!", SECRET + "!"]),
    st.sampled_from(["HS256", "none", "HS512", "RS256"]),
    st.fixed_dictionaries({}, optional={"tier": st.just("pro"), "exp": st.just(1), "iss": st.text(max_size=5)}),
)
DAMAGED = st.one_of(
    st.integers(0, len(ALICE) - 2).map(lambda at: ALICE[:at] + ("A" if ALICE[at] != "A" else "B") + ALICE[at + 1 :]),
    st.integers(1, len(ALICE) - 1).map(lambda at: ALICE[:at]),
    st.sampled_from([ALICE + "=", ALICE + "A", ALICE + ".", ALICE + "." + ALICE, ALICE.upper(), "a.b.c"]),
    st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
)
QUERIES = st.sampled_from(
    ["{me{id}}", "{users(limit:100000){id}}", "mutation{login(name:1){t}}", "{", "mutation{a:x b:x c:x}"]
)
REQUEST = st.tuples(FORGED | DAMAGED, ADDRESSES, QUERIES, st.integers(1, 4))


async def mount(folder: Path) -> tuple[Guard, ManualClock]:
    """A guard that knows its users' tokens; a probe costs them nothing."""
    clock = ManualClock(time.time())
    guard = Guard(
        EchoApp(), clock=clock, log_file=folder / "log", jwt_secret=SECRET, public_operations="login",
        tiers="pro=7/minute", rate_limit_authenticated="5/minute", rate_limit_burst=0, brute_force_offences=4,
        dos_offences=2,
    )  # fmt: skip
    for token in TOKENS.values():
        assert (await request(guard, "GET", "/health", token=token, client=("10.0.0.9", 1))).status == 200
    return guard, clock


async def work(guard: Guard) -> list[tuple[int, str | None, str | None]]:
    """All that users see: each is served five times, then the bucket is empty."""
    seen = []
    for user in USERS:
        for _ in range(7):
            reply = await graphql(guard, "{me{id}}", token=TOKENS[user], client=(HOMES[user], 1))
            seen.append((reply.status, reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")))
    return seen


def charged(guard: Guard) -> set[str]:
    """Kinds of subjects that the store is given anything to keep of, from now on."""
    store, kinds = guard.runtime.store, set[str]()
    admit = store.admit

    async def watched(request: AdmitRequest) -> AdmitResult:
        if request.charges or request.offence:
            kinds.add(request.subject.kind)
        return await admit(request)

    object.__setattr__(store, "admit", watched)
    return kinds


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str | None, str | None]]:
    """What users see of a guard that was not attacked."""

    async def run() -> list[tuple[int, str | None, str | None]]:
        guard, _ = await mount(tmp_path_factory.mktemp("undisturbed"))
        seen = await work(guard)
        await guard.aclose()
        return seen

    return asyncio.run(run())


@examples(40, allow=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUEST, min_size=1, max_size=25))
def test_users_notice_nothing(tmp_path: Path, undisturbed, requests):
    async def run() -> None:
        guard, clock = await mount(tmp_path)
        kinds = charged(guard)
        for token, address, query, times in requests:
            for _ in range(times):
                reply = await graphql(guard, query, client=(address, 1), headers={"authorization": f"Bearer {token}"})
                assert reply.status in (401, 403, 429)
            clock.advance(0.5)
        assert kinds <= {"address"}
        assert all(sanction.subject.kind == "address" for sanction in await guard.runtime.store.sanctions.all())
        assert await work(guard) == undisturbed
        await guard.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("token", ["a.b.c", make_token("x" * 32, sub="alice", tier="pro")])
async def test_the_looking_glass_sees_users(tmp_path: Path, token) -> None:
    """That the test above looks at the right places."""
    guard, _ = await mount(tmp_path)
    kinds = charged(guard)
    await graphql(guard, "{me{id}}", token=token)
    assert kinds == {"address"}
    await work(guard)
    assert kinds == {"address", "user"}
    await guard.aclose()
