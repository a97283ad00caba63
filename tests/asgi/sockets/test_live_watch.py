"""Who ends what lives on after a request was let pass: blocks, sanctions, tokens, users, keys, operators, the end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from fraiseql_guard.core.secret import Secret
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support import keys
from tests.support.asgi import graphql, request
from tests.support.key_server import KeyServer
from tests.support.live import Living, OpeningApp, opened
from tests.support.redis_server import RedisServer
from tests.support.turns_of_polls import polls
from tests.support.waiting import until

ADA, BOB = make_token(SECRET, sub="ada"), make_token(SECRET, sub="bob")
HERE, THERE = ("203.0.113.7", 40000), ("198.51.100.9", 40000)
DEEP = "{a" * 60 + "}" * 60


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def fleet(guarded: Any, redis: RedisServer) -> AsyncIterator[list[Any]]:
    """Two workers, each with its own store on one Redis."""
    options = {"redis_url": redis.url, "store_timeout_ms": 5000, "auth_required": False, "jwt_secret": SECRET}
    guards = [guarded(OpeningApp(), dos_offences=2, **options) for _ in range(2)]
    yield guards
    for guard in guards:
        await guard.guard.aclose()


@pytest.fixture
async def guard(guarded: Any) -> AsyncIterator[Any]:
    found = guarded(OpeningApp(), jwt_secret=SECRET, auth_required=False, jwt_leeway_seconds=30)
    yield found
    await found.guard.aclose()


async def ended(*connections: Living) -> list[str | None]:
    """Why these have ended, when they have."""
    await until(lambda: all(each.why for each in connections))
    return [each.why for each in connections]


async def offend(guard: Any, **more: Any) -> None:
    """Ask for too much, until that brings a block."""
    codes = [(await graphql(guard, DEEP, **more)).code for _ in range(3)]
    assert codes == ["QUERY_TOO_DEEP", "QUERY_TOO_DEEP", "BLOCKED"]


# --- blocks and sanctions --------------------------------------------------------------------------------------------


@pytest.mark.redis
async def test_an_operators_block_of_a_user_ends_all_that_the_user_has_open_on_all_workers(fleet: list[Any]) -> None:
    first, second = fleet
    of_ada = [await opened(each, token=ADA) for each in fleet] + [await opened(second, token=ADA, client=THERE)]
    others = [await opened(second, token=BOB), await opened(second)]
    done = await first.guard.operator.block(Target(user_id="ada"), duration_seconds=60)
    assert of_ada[0].why == "BLOCKED"  # at once, where it was said
    assert done.details["connections_ended"] == 1
    assert "1 of its live connections ended in this worker at once" in done.message
    assert await ended(*of_ada) == ["BLOCKED"] * 3
    await polls(second)
    assert [each.why for each in others] == [None, None]
    assert (await graphql(second, "{me{id}}", token=ADA)).code == "BLOCKED"


@pytest.mark.redis
async def test_an_operators_block_of_an_address_ends_what_is_open_from_it_with_a_token_or_without(
    fleet: list[Any],
) -> None:
    first, second = fleet
    from_here = [await opened(second, client=HERE), await opened(second, token=ADA, client=HERE)]
    own = await opened(first, client=HERE)
    others = [await opened(second, client=THERE), await opened(second, token=ADA, client=THERE)]
    done = await first.guard.operator.block(Target(ip_address=HERE[0]), duration_seconds=60)
    assert (own.why, done.details["connections_ended"]) == ("BLOCKED", 1)
    assert await ended(*from_here) == ["BLOCKED", "BLOCKED"]
    await polls(second)
    assert [each.why for each in others] == [None, None]


@pytest.mark.redis
@pytest.mark.parametrize("where", ["in this worker", "in another worker"])
async def test_an_automatic_sanction_ends_what_the_subject_has_open(fleet: list[Any], where: str) -> None:
    first, second = fleet
    offending = first if where == "in this worker" else second
    of_ada, of_bob, anonymous = await opened(first, token=ADA), await opened(first, token=BOB), await opened(first)
    await offend(offending, token=ADA)
    if where == "in this worker":
        assert of_ada.why == "BLOCKED"
    assert await ended(of_ada) == ["BLOCKED"]
    await polls(first)
    assert (of_bob.why, anonymous.why) == (None, None)


@pytest.mark.redis
async def test_an_automatic_sanction_of_an_address_ends_what_has_no_user(fleet: list[Any]) -> None:
    first, second = fleet
    anonymous, of_ada = await opened(first, client=HERE), await opened(first, token=ADA, client=HERE)
    await offend(second, client=HERE)
    assert await ended(anonymous) == ["BLOCKED"]
    await polls(first)
    assert of_ada.why is None  # no request of hers is refused for it
    assert (await graphql(first, "{me{id}}", token=ADA, client=HERE)).status == 200


async def test_a_block_for_bad_tokens_ends_nothing_of_those_who_sent_none(guarded: Any) -> None:
    guard = guarded(OpeningApp(), jwt_secret=SECRET, auth_required=False, brute_force_offences=2)
    anonymous = await opened(guard)
    for number in range(4):
        await graphql(guard, "{me{id}}", token=make_token("x" * 40, sub=f"u{number}"))
    assert (await graphql(guard, "{me{id}}", token=make_token("x" * 40, sub="last"))).code == "BLOCKED"
    await polls(guard)
    assert anonymous.why is None
    assert (await graphql(guard, "{me{id}}")).status == 200  # as the next request is judged


async def test_a_network_of_a_group_ends_its_own_and_a_group_ends_all(guarded: Any) -> None:
    guard = guarded(OpeningApp(), dos_offences=2)
    addresses = [(f"2001:db8:0:{number:x}::7", 40000) for number in range(10)]
    living = [await opened(guard, client=each) for each in addresses]
    for each in addresses[:7]:
        await offend(guard, client=each)
    assert [each.why for each in living] == ["BLOCKED"] * 7 + [None] * 3
    await offend(guard, client=addresses[7])
    assert [each.why for each in living] == ["BLOCKED"] * 10  # so many networks bring the group itself a sanction


async def test_monitor_mode_ends_nothing(guarded: Any) -> None:
    guard = guarded(OpeningApp(), jwt_secret=SECRET, auth_required=False, mode="monitor", dos_offences=2)
    anonymous = await opened(guard)
    of_ada = await opened(guard, token=make_token(SECRET, sub="ada", expires_in_seconds=1))
    for _ in range(4):
        await graphql(guard, DEEP)
    await guard.guard.operator.block(Target(user_id="ada"), duration_seconds=60)
    done = await guard.guard.operator.block(Target(ip_address=HERE[0]), duration_seconds=60)
    assert "connections_ended" not in done.details
    await asyncio.sleep(0.6)
    await polls(guard)
    assert (anonymous.why, of_ada.why) == (None, None)
    # Once it is enforced again, what operators have said of networks holds for what is open, too.
    await guard.store.overrides.put(Override(OverrideKind.MODE, "all", 60, value="enforce"))
    assert await ended(anonymous, of_ada) == ["BLOCKED", "BLOCKED"]


async def test_what_is_blocked_between_its_upgrade_and_its_life_ends_at_once(guard: Any) -> None:
    before = await opened(guard)
    await guard.guard.operator.block(Target(ip_address="203.0.113.0/24"), duration_seconds=60)
    await guard.heard()
    late = Living(guard.guard, before.ctx)
    guard.guard.runtime.live.add(late)
    assert late.why == "BLOCKED"


async def test_a_block_that_was_lifted_meanwhile_ends_nothing_more(guard: Any) -> None:
    await guard.guard.operator.block(Target(user_id="ada"), duration_seconds=60)
    await guard.guard.operator.lift(Target(user_id="ada"))
    other = await opened(guard)
    await polls(guard)
    of_ada = await opened(guard, token=ADA)
    await polls(guard)
    assert (of_ada.why, other.why) == (None, None)


async def test_a_connection_that_has_become_a_users_is_ended_as_the_users(guard: Any) -> None:
    living, of_ada = await opened(guard), await opened(guard, token=ADA)
    living.ctx.identify(of_ada.ctx.identity)
    guard.guard.runtime.live.add(living)
    await guard.guard.operator.block(Target(user_id="ada"), duration_seconds=60)
    assert living.why == "BLOCKED"
    assert len(guard.guard.runtime.live) == 0


# --- tokens ----------------------------------------------------------------------------------------------------------


def soon_over(seconds: float, leeway: int = 30) -> tuple[str, float]:
    """A token that is over in about so many seconds, leeway included, and when."""
    expires = int(time.time() + seconds + 1) - leeway
    return make_token(SECRET, sub="ada", exp=expires), float(expires + leeway)


@pytest.mark.parametrize("grace", [0, 5])
async def test_what_is_open_ends_with_its_token_leeway_and_grace_included(guarded: Any, grace: int) -> None:
    guard = guarded(OpeningApp(), jwt_secret=SECRET, token_grace_seconds=grace, jwt_leeway_seconds=30)
    token, over = soon_over(0.5, leeway=30 + grace)
    living = await opened(guard, token=token)
    assert await ended(living) == ["TOKEN_EXPIRED"]
    assert living.ended_at is not None
    assert living.ended_at >= over
    assert len(living.endings) == 1
    assert living.endings[0].closing_code == 4403
    await guard.guard.aclose()


async def test_a_later_token_takes_the_place_of_the_first(guard: Any) -> None:
    first, over = soon_over(0.5)
    living, later = await opened(guard, token=first), await opened(guard, token=ADA)
    living.ctx.identify(later.ctx.identity)
    guard.guard.runtime.live.add(living)
    await asyncio.sleep(over - time.time() + 0.3)
    assert living.why is None


async def test_where_no_token_is_needed_what_is_open_goes_on_after_its_token(guarded: Any) -> None:
    guard = guarded(OpeningApp(), jwt_secret=SECRET, jwt_leeway_seconds=30)
    guard.app.guard = guard.guard
    token, over = soon_over(0.5)
    await request(guard, "GET", "/chat", token=token)
    (living,) = guard.app.opened
    assert living.ctx.identity is not None
    await asyncio.sleep(over - time.time() + 0.3)
    assert living.why is None
    await guard.guard.aclose()


# --- users -----------------------------------------------------------------------------------------------------------


class Users:
    """An app's answer about its users."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []

    async def __call__(self, identity: Any) -> Any:
        self.asked.append(identity.user_id)
        answer = self.answers.get(identity.user_id, "active")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
async def users(guarded: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Users, Any]]:
    monkeypatch.setattr("fraiseql_guard.asgi.sockets.standing_users.USER_ROUND_SECONDS", 1.0)
    asked = Users()
    guard = guarded(OpeningApp(), jwt_secret=SECRET, auth_required=False, user_status=asked)
    yield asked, guard
    await guard.guard.aclose()


@pytest.mark.parametrize("answer", ["disabled", "not_found"])
async def test_a_user_who_is_gone_loses_all_that_is_open(users: tuple[Users, Any], answer: str) -> None:
    asked, guard = users
    of_ada = [await opened(guard, token=ADA) for _ in range(3)]
    others = [await opened(guard, token=BOB), await opened(guard)]
    asked.answers["ada"] = answer
    assert await ended(*of_ada) == ["UNAUTHENTICATED"] * 3
    asked.asked.clear()
    await until(lambda: "bob" in asked.asked)
    assert "ada" not in asked.asked  # nothing of hers lives
    assert [each.why for each in others] == [None, None]


async def test_no_answer_ends_nothing(users: tuple[Users, Any]) -> None:
    asked, guard = users
    living = await opened(guard, token=ADA)
    asked.answers["ada"] = RuntimeError("the database is down")
    asked.asked.clear()
    await until(lambda: len(asked.asked) >= 2)
    assert living.why is None
    asked.answers["ada"] = "disabled"
    assert await ended(living) == ["UNAUTHENTICATED"]


# --- keys ------------------------------------------------------------------------------------------------------------


async def test_a_token_whose_key_is_out_of_force_ends_what_is_open(guarded: Any, clock: Any, tmp_path: Any) -> None:
    one, two = "first-secret-of-at-least-thirty-two-bytes", "second-secret-of-at-least-thirty-two-bytes"
    current = tmp_path / "current"
    current.write_text(one)
    guard = guarded(OpeningApp(), jwt_secret=Secret(path=current), jwt_secret_new=two, clock=clock)
    of_one = [await opened(guard, token=make_token(one, sub=f"u{number}")) for number in range(25)]
    of_two = await opened(guard, token=make_token(two, sub="bob"))
    current.write_text("third-secret-of-at-least-thirty-two-bytes!")
    guard.advance(10)  # the file is looked at again
    assert await ended(*of_one) == ["UNAUTHENTICATED"] * 25
    await asyncio.sleep(0.3)
    assert of_two.why is None
    await guard.guard.aclose()


async def test_keys_at_an_address_that_change_end_what_they_do_not_confirm_and_an_outage_ends_nothing(
    guarded: Any, clock: Any
) -> None:
    private, other = keys.private("P-256"), keys.private("P-256", 1)

    def named(*held: Any) -> bytes:
        return json.dumps({"keys": [keys.jwk(each, kid=kid) for each, kid in held]}).encode()

    async with KeyServer() as server:
        server.body = named((private, "a"), (other, "b"))
        guard = guarded(OpeningApp(), jwks_url=server.url, clock=clock, max_token_lifetime_seconds=1_000_000)
        of_a = await opened(guard, token=make_token(private, sub="ada", kid="a", expires_in_seconds=900_000))
        of_b = await opened(guard, token=make_token(other, sub="bob", kid="b", expires_in_seconds=900_000))
        server.down = True
        guard.advance(90_000)  # longer than keys are used while their source fails
        await until(lambda: guard.guard.runtime.verifier.fingerprints() == {})
        await asyncio.sleep(1.5)
        assert (of_a.why, of_b.why) == (None, None)
        server.down, server.body = False, named((other, "b"))
        guard.advance(400)
        assert await ended(of_a) == ["UNAUTHENTICATED"]
        assert of_b.why is None
        await guard.guard.aclose()


# --- operators -------------------------------------------------------------------------------------------------------


@pytest.mark.redis
async def test_an_operator_closes_one_those_of_a_user_of_an_address_or_all(fleet: list[Any]) -> None:
    first, second = fleet
    operator = first.guard.operator
    one, of_ada = await opened(second, token=BOB), [await opened(each, token=ADA) for each in fleet]
    far, rest = await opened(second, client=THERE), await opened(second, token=BOB)
    await until(lambda: len(first.guard.runtime.live) == 1)
    await first.heard()
    await second.heard()
    await operator.close_sockets(connection_id=one.ctx.request_id)
    await operator.close_sockets(user_id="ada", code=4400)
    await operator.close_sockets(ip_address="198.51.100.0/24")
    assert await ended(one, *of_ada, far) == ["SHUTDOWN"] * 4
    assert [each.endings[0].closing_code for each in (one, *of_ada)] == [4503, 4400, 4400]
    assert rest.why is None
    await operator.close_sockets(everything=True)
    assert await ended(rest) == ["SHUTDOWN"]
    assert [line["context"]["code"] for line in first.lines("admin.close_sockets")] == [4503, 4400, 4503, 4503]


async def test_a_worker_is_drained_by_and_by(guard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fraiseql_guard.asgi.sockets.live_watch.DRAIN_SECONDS", 1.0)
    living = [await opened(guard) for _ in range(20)]
    await guard.heard()
    await until(guard.guard.operator.status)
    (worker,) = (await guard.guard.operator.status()).workers
    await guard.guard.operator.drain_sockets(worker=worker.id)
    assert set(await ended(*living)) == {"SHUTDOWN"}
    moments = [each.ended_at or 0.0 for each in living]
    assert max(moments) - min(moments) > 0.1


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_the_end_of_the_worker_ends_all_before_the_app_is_told(guarded: Any) -> None:
    guard = guarded(OpeningApp(), jwt_secret=SECRET, auth_required=False)
    messages: asyncio.Queue[Any] = asyncio.Queue()
    sent: asyncio.Queue[Any] = asyncio.Queue()
    lifespan = asyncio.create_task(guard({"type": "lifespan"}, messages.get, sent.put))
    await messages.put({"type": "lifespan.startup"})
    await sent.get()
    living = [await opened(guard), await opened(guard, token=ADA)]
    await messages.put({"type": "lifespan.shutdown"})
    await lifespan
    assert [each.why for each in living] == ["SHUTDOWN", "SHUTDOWN"]


async def test_nothing_runs_where_nothing_lives(guard: Any) -> None:
    assert not _watching()
    living = await opened(guard, token=ADA)
    assert _watching()
    living.leave()
    await until(lambda: not _watching())
    assert len(guard.guard.runtime.live) == 0


def _watching() -> bool:
    return any("LiveWatch" in getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks())


def test_a_part_that_breaks_keeps_no_other_from_being_ended(guarded: Callable[..., Any]) -> None:
    """In an event loop of its own: what is told of a fault is looked at after it."""

    async def run() -> tuple[Any, Living]:
        guard = guarded(OpeningApp(), jwt_secret=SECRET, auth_required=False)
        guard.app.guard = guard.guard
        broken, whole = await opened(guard, token=ADA), await opened(guard, token=BOB)
        broken.end = lambda _: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        for user in ("ada", "bob"):
            await guard.guard.operator.block(Target(user_id=user), duration_seconds=60)
        await guard.guard.aclose()
        return guard, whole

    guard, whole = asyncio.run(run())
    assert whole.why == "BLOCKED"
    assert guard.metric("fraiseql_guard_faults_total", part="sockets") >= 1
