"""The map of a cluster: slots, redirects, nodes without a name. Real clusters are in tests/live."""

from __future__ import annotations

import pytest

from fraiseql_guard.stores.redis.client.cluster import SLOTS, key_slot, read_slots, redirection

ASKED = ("10.0.0.1", 7000)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("123456789", 0x31C3),  # the check value of the specification's CRC16
        ("foo", 12182),
        ("{foo}bar", 12182),
        ("x{foo}{bar}", 12182),
        ("foo{}{bar}", 8363),  # an empty tag is no tag
        ("", 0),
    ],
)
def test_the_slot_of_a_key(key: str, slot: int):
    assert key_slot(key) == slot


def test_who_holds_which_slot():
    slots = read_slots(
        [[0, 99, [b"10.0.0.2", 7001, b"id", []], [b"10.0.0.9", 7009, b"replica"]], [200, 16_383, [b"h", 7002, b"id"]]],
        ASKED,
    )
    assert len(slots) == SLOTS
    assert slots[0] == slots[99] == ("10.0.0.2", 7001)
    assert slots[100] == ASKED  # no node's: the one that is asked says so
    assert slots[-1] == ("h", 7002)


@pytest.mark.parametrize("nameless", [b"", None, b"?"])
def test_a_node_that_does_not_know_its_name_is_where_it_was_asked(nameless: bytes | None):
    assert read_slots([[0, 1, [nameless, 7003, b"id"]]], ASKED)[0] == ("10.0.0.1", 7003)


def test_a_map_without_slots_is_none():
    with pytest.raises(LookupError):
        read_slots([], ASKED)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("MOVED 3999 10.0.0.2:6381", ("10.0.0.2", 6381)),
        ("ASK 3999 host.example:6381", ("host.example", 6381)),
        ("MOVED 3999 2001:db8::1:6381", ("2001:db8::1", 6381)),
        ("MOVED 3999 :6381", ("10.0.0.1", 6381)),
        ("ASK 3999 ?:6381", ("10.0.0.1", 6381)),
        ("CLUSTERDOWN The cluster is down", None),
        ("TRYAGAIN Multiple keys request during rehashing of slot", None),
        ("MOVED", None),
    ],
)
def test_where_a_redirect_leads(text: str, place: tuple[str, int] | None):
    assert redirection(text, ASKED) == place
