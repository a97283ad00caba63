"""Operators see what is open on all workers, and say which of it is to end."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.live_facts import LiveFacts, LiveOperation
from fraiseql_guard.operations.operator.closing_order import ClosingOrder, read_order
from fraiseql_guard.operations.operator.interface import NotFoundError, OperatorError
from fraiseql_guard.operations.operator.records import Heartbeat, write_heartbeat
from fraiseql_guard.operations.operator.shared_values import Live, SocketHolder, Worker
from fraiseql_guard.stores.overrides import OverrideKind

ADA = LiveFacts(
    id="a" * 32,
    protocol="graphql_transport_ws",
    user_id="ada",
    ip_address="203.0.113.7",
    age_seconds=90.0,
    operations=(LiveOperation(name="News", query_hash="ab" * 32, age_seconds=80.0, events=12, request_id="r" * 32),),
    messages=9,
    token_ends_at=2_000_000_000.0,
)
STRANGER = LiveFacts(
    id="b" * 32, protocol="sse", user_id="anonymous", ip_address="198.51.100.9", age_seconds=5.0, waiting_bytes=70
)


def holder(user_id: str, ip_address: str, count: int) -> SocketHolder:
    return SocketHolder(user_id=user_id, ip_address=ip_address, open=count)


def worker(name: str, live: Live | None) -> Worker:
    return Worker(
        id=name,
        host="h",
        pid=1,
        version="1",
        started_at=1.0,
        seen_at=2.0,
        fingerprint="",
        modes={},
        breaker_open=False,
        token_keys={},
        live=live,
    )


@pytest.fixture
async def operator(make_operator: Any, store: Any) -> Any:
    one = Live(
        open={"graphql_transport_ws": 3},
        opened_last_minute=4,
        closed={"client": 2},
        holders=(holder("ada", "203.0.113.7", 2), holder("bob", "203.0.113.8", 1)),
    )
    two = Live(
        open={"graphql_transport_ws": 1, "sse": 1},
        opened_last_minute=1,
        closed={"client": 1, "blocked": 1},
        holders=(holder("anonymous", "198.51.100.9", 4), holder("bob", "203.0.113.8", 2)),
    )
    beats = (
        Heartbeat(worker=worker("w1", one), connections=(ADA,)),
        Heartbeat(worker=worker("w2", two), connections=(STRANGER,)),
        Heartbeat(worker=worker("w0", None)),  # of an older version
    )
    for beat in beats:
        await store.fleet.beat(beat.worker.id, write_heartbeat(beat), 60)
    return make_operator()


async def test_what_is_open_is_added_up_over_all_workers(operator: Any) -> None:
    found = await operator.sockets()
    assert found.open == {"graphql_transport_ws": 4, "sse": 1}
    assert (found.opened_last_minute, found.closed) == (5, {"blocked": 1, "client": 3})
    assert [(each.worker, each.id) for each in found.items] == [("w1", ADA.id), ("w2", STRANGER.id)]
    assert found.items[0].operations == ADA.operations
    assert [each.id for each in (await operator.sockets(1)).items] == [ADA.id]


async def test_callers_who_have_the_most_open_are_added_up(operator: Any) -> None:
    found = await operator.sockets()
    stranger, bob = holder("anonymous", "198.51.100.9", 4), holder("bob", "203.0.113.8", 3)
    assert found.holders == [stranger, bob, holder("ada", "203.0.113.7", 2)]
    assert (await operator.sockets(user_id="bob")).holders == [bob]
    assert (await operator.sockets(ip_address="198.51.100.0/24")).holders == [stranger]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({"user_id": "ada"}, [ADA.id]),
        ({"user_id": "bob"}, []),
        ({"ip_address": "198.51.100.0/24"}, [STRANGER.id]),
        ({"ip_address": "203.0.113.7"}, [ADA.id]),
        ({"user_id": "ada", "ip_address": "198.51.100.0/24"}, []),
    ],
)
async def test_those_of_a_user_or_an_address_are_found(operator: Any, asked: dict[str, str], ids: list[str]) -> None:
    assert [each.id for each in (await operator.sockets(**asked)).items] == ids


@pytest.mark.parametrize(
    "asked", [{}, {"user_id": "ada", "everything": True}, {"connection_id": "x", "ip_address": "192.0.2.1"}]
)
async def test_exactly_one_thing_is_meant(operator: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(OperatorError, match="exactly one"):
        await operator.close_sockets(**asked)


@pytest.mark.parametrize("code", [0, 1000, 1012, 3999, 5000])
async def test_only_codes_of_applications_close(operator: Any, code: int) -> None:
    with pytest.raises(OperatorError, match="4000"):
        await operator.close_sockets(everything=True, code=code)


async def test_two_orders_at_once_are_both_heard(operator: Any, store: Any) -> None:
    await operator.close_sockets(user_id="ada")
    await operator.close_sockets(user_id="bob")
    control = await store.overrides.read(-1)
    assert control is not None
    orders = [read_order(each.value) for each in control.of(OverrideKind.COMMAND)]
    assert [each.user_id for each in orders] == ["ada", "bob"]


async def test_a_worker_that_nothing_is_known_of_is_not_drained(operator: Any) -> None:
    with pytest.raises(NotFoundError, match="w9"):
        await operator.drain_sockets(worker="w9")
    assert (await operator.drain_sockets(worker="w1")).affected == 1
    assert (await operator.drain_sockets()).affected == 3


class Open:
    """A connection of a subject."""

    def __init__(self, subject: Subject, address: str = "203.0.113.7") -> None:
        self.ctx = RequestContext(
            "GET", "/graphql", b"", (), None, True, "id", lambda *_: "", "/graphql", address, subject
        )

    def facts(self) -> LiveFacts:
        return ADA


USER = Subject("user", '["https://a","t","ada"]')


@pytest.mark.parametrize(
    ("order", "meant"),
    [
        (ClosingOrder(), True),
        (ClosingOrder(connection_id=ADA.id), True),
        (ClosingOrder(connection_id=STRANGER.id), False),
        (ClosingOrder(user_id="ada"), True),
        (ClosingOrder(user_id="bob"), False),
        (ClosingOrder(ip_address="203.0.113.0/24"), True),
        (ClosingOrder(ip_address="198.51.100.0/24"), False),
        (ClosingOrder(ip_address="2001:db8::/32"), False),
    ],
)
def test_an_order_means_what_it_says(order: ClosingOrder, meant: bool) -> None:
    assert read_order(order.written()) == order
    assert order.means(Open(USER)) is meant


def test_a_user_without_a_token_is_none() -> None:
    assert not ClosingOrder(user_id="ada").means(Open(Subject("address", "ada")))
    assert not ClosingOrder(ip_address="203.0.113.0/24").means(Open(Subject("address", ""), "unknown"))


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"code": "x"}', '{"ip_address": "x"}', '{"user_id": 5}'])
def test_an_order_of_other_software_ends_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_order(text)


def test_an_order_of_a_newer_version_means_what_this_one_understands_of_it() -> None:
    order = read_order(orjson.dumps({"user_id": "ada", "since": 5}).decode())
    assert order.user_id == "ada"
