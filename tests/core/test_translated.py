"""Callers that a translator hands over as IPv6: each is the one caller that it would be without."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.translated import LENGTHS, embedded_ipv4, is_translated
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.identity.addresses import AddressResolver
from fraiseql_guard.identity.networks import subject_of

PUBLIC = ("203.0.113.7", "8.8.8.8", "1.2.3.4", "223.255.255.254")
SPECIAL = ("10.1.2.3", "192.168.0.1", "172.31.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "0.0.0.1", "224.0.0.1",
           "255.255.255.255")  # fmt: skip
PREFIXES = ("64:ff9b::", "64:ff9b:1::", "::ffff:0:")
# RFC 6052, section 2.4
EXAMPLES = {
    "2001:db8::/32": "2001:db8:c000:221::", "2001:db8:100::/40": "2001:db8:1c0:2:21::",
    "2001:db8:122::/48": "2001:db8:122:c000:2:2100::", "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
    "2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::", "2001:db8:122:344::/96": "2001:db8:122:344::192.0.2.33",
}  # fmt: skip


def caller(host, *, header=None, **options):
    lines = [] if header is None else [(b"x-forwarded-for", header.encode())]
    return AddressResolver(Settings.load({}, **options)).resolve((host, 1), lines)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("address", PUBLIC)
def test_a_translated_caller_is_its_ipv4_address(prefix, address):
    found, plain = caller(prefix + address), caller(address)
    assert (found.address, found.subject) == (address, plain.subject)
    assert caller("10.0.0.1", header=f"{prefix}{address}", trusted_proxies="10.0.0.0/8").subject == plain.subject
    assert caller("10.0.0.1", header=f"[{prefix}{address}]:80", trusted_proxies="10.0.0.0/8").address == address


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("address", SPECIAL)
def test_a_special_address_stays_what_it_is_and_opens_no_door(prefix, address):
    found = caller(prefix + address)
    assert IPv6Address(found.address) == IPv6Address(prefix + address)
    assert (found.private, found.loopback, found.shared) == (False, False, False)
    assert found.subject == Subject("address", found.address)


def test_a_private_address_behind_a_prefix_is_trusted_by_nobody():
    found = caller("64:ff9b::10.0.0.1", header="198.51.100.1", trusted_proxies="10.0.0.0/8")
    assert found.address == "64:ff9b::a00:1"


@pytest.mark.parametrize(("prefix", "address"), EXAMPLES.items())
def test_prefixes_of_every_length(prefix, address):
    assert caller(address, nat64_prefixes=prefix).address == "192.0.2.33"
    assert caller(address).address == str(IPv6Address(address))


def test_a_translators_own_private_addresses_are_one_caller_each():
    found = caller("2001:db8:122:344::10.0.0.1", nat64_prefixes="2001:db8:122:344::/96")
    assert found.subject == Subject("address", found.address)
    assert not found.private


def test_elsewhere_in_the_local_prefix_every_address_is_one_caller():
    one, other = caller("64:ff9b:1:7::5"), caller("64:ff9b:1:7::6")
    assert one.subject == Subject("address", "64:ff9b:1:7::5")
    assert one.subject.key != other.subject.key


def test_a_teredo_client_counts_as_its_ipv4_address():
    client = 0xFFFF_FFFF ^ int(IPv4Address("203.0.113.7"))
    subjects = {
        caller(str(IPv6Address((0x20010000_41379E76 << 64) | (flags << 48) | (port << 32) | client))).subject
        for flags, port in ((0x8000, 40_000), (0, 50_000))
    }
    assert subjects == {Subject("address", "203.0.113.7")}
    assert caller("2001:0:4137:9e76:8000:63bf:f5ff:fffe").subject.name == "2001:0:4137:9e76:8000:63bf:f5ff:fffe"


def test_a_6to4_site_is_a_customer_with_a_prefix():
    assert caller("2002:cb00:7107:1::1").subject.networks[-1][0] == "2002:cb00:7107::/48"


@given(st.sampled_from(LENGTHS), st.integers(0, 2**96 - 1), st.integers(0, 2**32 - 1))
def test_every_address_comes_back(length, top, number):
    prefix = IPv6Network((top << 32 >> (128 - length) << (128 - length), length))
    if length == 96:
        address = IPv6Address(int(prefix.network_address) | number)
    else:
        bits = int(prefix.network_address) >> 64 << 56 | number << (120 - length - 32)
        address = IPv6Address((bits >> 56 << 64) | (bits & (1 << 56) - 1))
    ipv4 = IPv4Address(number)
    assert embedded_ipv4(address, [prefix]) == (ipv4 if is_translated(ipv4) else None)


@given(st.integers(0, 2**128 - 1) | st.integers(0, 2**32 - 1).map(lambda low: 0x64FF9B << 96 | low))
def test_no_two_callers_share_a_name_but_in_a_64(number):
    address = IPv6Address(number)
    subject = subject_of(address)
    assert subject.name in (str(address), str(ip_network((number, 64), strict=False))) or address.teredo


# --- what operators write ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("64:ff9b::203.0.113.7", "203.0.113.7/32"),
        ("64:ff9b::cb00:7100/120", "203.0.113.0/24"),
        ("64:ff9b:1::cb00:7107", "203.0.113.7/32"),
        ("64:ff9b::10.0.0.0/104", "64:ff9b::a00:0/104"),
        ("64:ff9b:1:7::/64", "64:ff9b:1:7::/64"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_allow_lists_and_blocks_are_about_the_ipv4_address(written, meant):
    assert Settings.load({}, allow_list=written).allow_list == (ip_network(meant),)


@pytest.mark.parametrize("written", ["64:ff9b::/96", "64:ff9b::a00:0/101", "64:ff9b:1::/100"])
def test_a_network_of_everything_translated_is_refused(written):
    with pytest.raises(SettingsError, match="translated IPv4"):
        Settings.load({}, allow_list=written)


@pytest.mark.parametrize("written", ["2001:db8::/65", "2001:db8::1/96", "10.0.0.0/8", "x"])
def test_a_prefix_that_no_translator_has_is_refused(written):
    with pytest.raises(SettingsError, match="FRAISEQL_GUARD_NAT64_PREFIXES"):
        Settings.load({}, nat64_prefixes=written)
