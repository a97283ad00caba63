"""Open WebSockets and subscriptions: how many each bound lets in, exactly, and what the first one above it is told."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from fraiseql_guard.checks.socket_room import SocketRoom, Stage, SubscriptionRoom
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import (
    SOCKETS_FULL,
    SUBSCRIPTIONS_FULL,
    TOO_MANY_SOCKETS,
    TOO_MANY_SUBSCRIPTIONS,
    Code,
)
from tests.support.contexts import measured, request_of


def full(code: Code, limit: int, *, tokens: int = 0) -> Denial:
    return Denial(code, limit=limit, actual=limit + 1, retry_after_seconds=1.0, tokens=tokens)


# --- sockets ---------------------------------------------------------------------------------------------------------


def sockets(most: int = 1000, each: int = 1000, opened: Counter[tuple[str, str]] | None = None) -> SocketRoom:
    return SocketRoom(Settings.load({}, max_sockets=most, max_sockets_per_caller=each), opened)


@pytest.mark.parametrize(
    ("stage", "facts", "most"),
    [
        (Stage.OPENED, {}, 2),
        (Stage.ANONYMOUS, {}, 2),
        (Stage.VERIFIED, {"user": "alice"}, 2),
        (Stage.OPENED, {"shared_peer": True}, 40),
        (Stage.ANONYMOUS, {"shared_peer": True}, 40),
        (Stage.VERIFIED, {"shared_peer": True, "user": "alice"}, 2),
    ],
)
def test_a_caller_has_so_many_sockets_and_all_who_look_alike_twenty_times_as_many(stage, facts, most) -> None:
    room = sockets(each=2)
    assert [room.take(request_of(**facts), stage) for _ in range(most)] == [None] * most
    refused = request_of(**facts)
    assert room.take(refused, stage) == full(TOO_MANY_SOCKETS, most, tokens=1)
    assert refused.socket_slots == ()


@pytest.mark.parametrize(
    ("most", "stage", "room_for"),
    [
        (8, Stage.OPENED, 2), (8, Stage.ANONYMOUS, 4), (8, Stage.VERIFIED, 8),
        (9, Stage.OPENED, 2), (9, Stage.ANONYMOUS, 4), (9, Stage.VERIFIED, 9),
        (1, Stage.OPENED, 1), (1, Stage.ANONYMOUS, 1), (1, Stage.VERIFIED, 1),
    ],
)  # fmt: skip
def test_a_fourth_is_for_sockets_that_begin_half_for_the_anonymous_and_all_for_verified_users(
    most, stage, room_for
) -> None:
    room = sockets(most)
    assert room.limit == most
    assert [room.take(request_of(f"198.51.100.{n}"), stage) for n in range(room_for)] == [None] * room_for
    assert room.take(request_of(), stage) == full(SOCKETS_FULL, room_for)


def test_sockets_that_begin_count_among_the_anonymous() -> None:
    room = sockets(8)
    for number in range(2):
        room.take(request_of(f"198.51.100.{number}"), Stage.OPENED)
    for number in range(2):
        assert room.take(request_of(f"198.51.100.1{number}"), Stage.ANONYMOUS) is None
    assert room.take(request_of(), Stage.ANONYMOUS) == full(SOCKETS_FULL, 4)


def test_a_socket_that_is_verified_changes_its_place_for_one_of_its_user() -> None:
    opened: Counter[tuple[str, str]] = Counter()
    room = sockets(4, 1, opened)
    ctx = request_of()
    assert room.take(ctx, Stage.OPENED) is None
    assert room.take(ctx, Stage.ANONYMOUS) is None  # it is not counted against itself
    user = request_of(user="alice")
    assert room.take(user, Stage.OPENED) is None
    assert room.take(user, Stage.VERIFIED) is None
    before = user.socket_slots
    other = request_of(user="alice")
    assert room.take(other, Stage.VERIFIED) is not None
    assert room.take(user, Stage.VERIFIED) is None
    assert user.socket_slots == before
    for each in (ctx, user, user, other):
        room.release(each)
        assert each.socket_slots == ()
    assert not opened


def test_a_refused_change_of_place_keeps_the_place_that_there_was() -> None:
    opened: Counter[tuple[str, str]] = Counter()
    room = sockets(8, 1, opened)
    room.take(request_of(user="alice"), Stage.VERIFIED)
    ctx = request_of()
    room.take(ctx, Stage.OPENED)
    held, before = ctx.socket_slots, dict(opened)
    ctx.subject = request_of(user="alice").subject
    assert room.take(ctx, Stage.VERIFIED) == full(TOO_MANY_SOCKETS, 1, tokens=1)
    assert (ctx.socket_slots, dict(opened)) == (held, before)


# --- subscriptions ---------------------------------------------------------------------------------------------------


def subscription(address: str = "192.0.2.1", **facts: Any):
    return request_of(address, measured=measured("subscription"), **facts)


def subscriptions(most: int = 1000, each: int = 1000) -> SubscriptionRoom:
    return SubscriptionRoom(Settings.load({}, max_subscriptions=most, max_subscriptions_per_caller=each))


@pytest.mark.parametrize(
    ("facts", "most"),
    [({}, 2), ({"user": "a"}, 2), ({"shared_peer": True}, 40), ({"shared_peer": True, "user": "a"}, 2)],
)
def test_a_caller_has_so_many_subscriptions_and_all_who_look_alike_twenty_times_as_many(facts, most) -> None:
    room = subscriptions(each=2)
    running = [subscription(**facts) for _ in range(most)]
    assert [room.decide(each) for each in running] == [None] * most
    refused = subscription(**facts)
    assert room.decide(refused) == full(TOO_MANY_SUBSCRIPTIONS, most, tokens=1)
    assert (room.open_subscriptions, refused.subscription_slots) == (most, ())
    room.release(running[0])
    room.release(running[0])
    assert room.open_subscriptions == most - 1
    assert room.decide(refused) is None


@pytest.mark.parametrize(("most", "anonymous"), [(8, 4), (9, 4), (1, 1)])
def test_half_is_for_the_anonymous_and_all_for_verified_users(most, anonymous) -> None:
    room = subscriptions(most)
    assert [room.decide(subscription(f"198.51.100.{n}")) for n in range(anonymous)] == [None] * anonymous
    assert room.decide(subscription()) == full(SUBSCRIPTIONS_FULL, anonymous)
    users = most - anonymous
    assert [room.decide(subscription(user=f"u{n}")) for n in range(users)] == [None] * users
    assert room.decide(subscription(user="late")) == full(SUBSCRIPTIONS_FULL, most)


@pytest.mark.parametrize(
    "asked",
    [
        None,
        measured(),
        measured("mutation"),
        measured("subscription", kinds=frozenset({"query", "subscription"})),
        measured("subscription", unmeasured=1),
    ],
)
def test_what_is_no_subscription_alone_takes_no_place(asked) -> None:
    room = subscriptions(1)
    ctx = request_of(measured=asked)
    assert room.decide(ctx) is None
    assert (ctx.subscription_slots, room.open_subscriptions) == ((), 0)


def test_a_subscription_that_has_its_place_takes_no_second_one() -> None:
    room, ctx = subscriptions(), subscription()
    room.decide(ctx)
    room.decide(ctx)
    assert room.open_subscriptions == 1
