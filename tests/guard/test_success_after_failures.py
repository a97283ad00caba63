"""A success that follows failures may be a break-in: its line outlives every flood.

The clock stands still: all is within one second of the flood limits.
"""

from fraiseql_guard.telemetry.log.rate_limit import LINES_PER_KIND
from fraiseql_guard.testing import make_token
from tests.guard.test_lockouts import PASSWORD, blog, enter
from tests.support.asgi import graphql

EVENT = "security.auth_success"


async def flood(guard, secret) -> None:
    """As many users log in as a second has lines."""
    for number in range(LINES_PER_KIND):
        token = make_token(secret, sub=f"user-{number}")
        assert (await graphql(guard, "{me{id}}", token=token, client=("198.51.100.1", 1))).status == 200


async def test_the_one_that_guessed_right_is_seen_in_a_flood(guarded, clock, secret) -> None:
    guard = guarded(jwt_secret=secret, clock=clock)
    await flood(guard, secret)
    innocent, guessed = make_token(secret, sub="innocent"), make_token(secret, sub="victim")
    await graphql(guard, "{me{id}}", token=innocent)
    assert len(guard.lines(EVENT)) == LINES_PER_KIND  # the flood's limit
    for _ in range(3):
        assert (await graphql(guard, "{me{id}}", token=make_token("x" * 32, sub="victim"))).status == 401
    assert (await graphql(guard, "{me{id}}", token=guessed)).status == 200
    line = guard.lines(EVENT)[-1]["context"]
    assert (line["user_id"], line["ip_address"], line["failures_before"]) == ("victim", "203.0.113.7", 3)
    await graphql(guard, "{me{id}}", token=make_token(secret, sub="victim", extra=1))
    assert len(guard.lines(EVENT)) == LINES_PER_KIND + 1  # the failures were told


async def test_it_is_seen_from_behind_the_block_too(guarded, clock, secret) -> None:
    guard = guarded(jwt_secret=secret, clock=clock)
    await flood(guard, secret)
    for _ in range(20):
        await graphql(guard, "{me{id}}", token=make_token("x" * 32, sub="victim"))
    assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="victim"))).status == 200
    assert guard.lines(EVENT)[-1]["context"]["failures_before"] == 20


async def test_missing_and_expired_tokens_and_old_failures_make_no_success_special(guarded, clock, secret) -> None:
    guard = guarded(jwt_secret=secret, clock=clock)
    await graphql(guard, "{me{id}}", token="a.b.c", client=("203.0.113.99", 1))
    guard.advance(301)
    await flood(guard, secret)
    await graphql(guard, "{me{id}}")
    await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice", expires_in_seconds=-5))
    await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice"))
    await graphql(guard, "{me{id}}", token=make_token(secret, sub="bob"), client=("203.0.113.99", 1))
    assert len(guard.lines(EVENT)) == LINES_PER_KIND


async def test_a_reported_login_after_failures_is_seen(guarded, clock) -> None:
    guard = guarded(blog(), clock=clock)
    for number in range(20):
        await enter(guard, f"name-{number}", PASSWORD)
    assert len(guard.lines("guard.login_succeeded")) == 5  # lines a second about one address
    for _ in range(4):
        await enter(guard, "victim")
    await enter(guard, "victim", PASSWORD)
    assert len(guard.lines("guard.login_succeeded")) == 6
    assert guard.lines("guard.login_succeeded")[-1]["context"]["failures_before"] == 4


async def test_in_monitor_mode_the_same_is_told(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, mode="monitor")
    await graphql(guard, "{me{id}}", token="a.b.c")
    await graphql(guard, "{me{id}}", token=make_token(secret, sub="victim"))
    assert guard.lines(EVENT)[-1]["context"]["failures_before"] == 1
