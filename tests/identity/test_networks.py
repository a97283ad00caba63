import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.identity.networks import LOOPBACK, PRIVATE, NetworkSet, listed, parse_address, subject_of

NETWORKS = st.one_of(
    st.builds(lambda n, p: ipaddress.ip_network((n, p), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)),
    st.builds(
        lambda n, p: ipaddress.ip_network((n, p), strict=False), st.integers(2**32, 2**128 - 1), st.integers(0, 128)
    ),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.1%eth0", None),
        ("192.0.2.01", None),
        ("192.0.2", None),
        ("3221225985", None),
        ("0x7f.0.0.1", None),
        ("१९२.0.2.1", None),
        ("192.0.2.1\x00", None),
        ("", None),
        ("unknown", None),
    ],
)
def test_one_caller_has_one_name(text, canonical):
    assert parse_address(text) == (canonical and ipaddress.ip_address(canonical))


@settings(deadline=None)
@given(networks=st.lists(NETWORKS, max_size=5), address=st.ip_addresses())
def test_a_network_set_answers_like_the_networks_themselves(networks, address):
    assert (address in NetworkSet(networks)) == any(address in network for network in networks)


def test_listed_takes_text_and_never_lists_the_unknown():
    networks = [ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32")]
    for answer, address in [
        (True, "192.0.2.7"),
        (True, "2001:db8::7"),
        (False, "198.51.100.1"),
        (False, "unknown"),
        (False, ""),
    ]:
        assert listed(address, networks) is answer
        assert listed(address, NetworkSet(networks)) is answer
    assert not listed("192.0.2.7", ())
    assert not NetworkSet(())
    assert NetworkSet(networks)


@pytest.mark.parametrize(
    ("address", "private", "loopback"),
    [
        ("127.8.9.1", True, True),
        ("::1", True, True),
        ("10.1.2.3", True, False),
        ("172.31.0.1", True, False),
        ("172.32.0.1", False, False),
        ("192.168.1.1", True, False),
        ("169.254.1.1", True, False),
        ("100.64.0.1", True, False),
        ("100.128.0.1", False, False),
        ("fd12::1", True, False),
        ("fe80::1", True, False),
        ("203.0.113.1", False, False),
        ("2001:db8::1", False, False),
    ],
)
def test_private_is_where_nobody_from_the_internet_comes_from(address, private, loopback):
    assert (address in PRIVATE, address in LOOPBACK) == (private, loopback)


def test_subjects():
    assert subject_of(None).name == "unknown"
    assert subject_of(parse_address("192.0.2.1")).name == "192.0.2.1"
    subject = subject_of(parse_address("2001:db8:0:1234:5:6:7:8"))
    assert subject.name == "2001:db8:0:1234::/64"
    assert subject.group == "2001:db8::/48"
    assert subject.networks == (("2001:db8:0:1200::/56", 4), ("2001:db8::/48", 16))


def test_neighbours_in_a_48_share_a_slot_and_strangers_do_not():
    one, neighbour, stranger = (
        subject_of(parse_address(text)) for text in ("2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:1::1")
    )
    assert one.tag == neighbour.tag != stranger.tag
    assert one != neighbour


@pytest.mark.parametrize(
    ("prefix", "name", "networks"),
    [
        (
            128, "2001:db8:1:203:4:5:6:7/128",
            (("2001:db8:1:203::/64", 4), ("2001:db8:1:200::/56", 16), ("2001:db8:1::/48", 64)),
        ),
        (64, "2001:db8:1:203::/64", (("2001:db8:1:200::/56", 4), ("2001:db8:1::/48", 16))),
        (60, "2001:db8:1:200::/60", (("2001:db8:1:200::/56", 4), ("2001:db8:1::/48", 16))),
        (56, "2001:db8:1:200::/56", (("2001:db8:1::/48", 4),)),
        (48, "2001:db8:1::/48", ()),
    ],
)  # fmt: skip
def test_the_prefix_that_is_one_caller_and_the_networks_around_it(prefix, name, networks) -> None:
    subject = subject_of(parse_address("2001:db8:1:203:4:5:6:7"), ipv6_prefix=prefix)
    assert (subject.name, subject.networks) == (name, networks)
    assert subject.group == (networks[-1][0] if networks else "")
