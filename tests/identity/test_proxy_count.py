"""The client's address by the number of proxies in front, where their networks are not known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.settings import Settings, SettingsError
from fraiseql_guard.identity.addresses import AddressResolver, Caller

PEER = ("192.0.2.10", 40000)


def resolver(count: int, **more: str) -> AddressResolver:
    return AddressResolver(Settings.load({}, proxy_count=count, **more))


def found(of: AddressResolver, value: str | None, *, client: object = PEER, name: str = "x-forwarded-for") -> Caller:
    return of.resolve(client, [] if value is None else [(name.encode(), value.encode())])


@pytest.mark.parametrize(
    ("count", "value", "address"),
    [
        (1, "203.0.113.5", "203.0.113.5"),
        (1, "6.6.6.6, 203.0.113.5", "203.0.113.5"),
        (2, "203.0.113.5, 198.51.100.1", "203.0.113.5"),
        (2, "6.6.6.6, 203.0.113.5, 198.51.100.1", "203.0.113.5"),
        (2, "203.0.113.5, unknown", "203.0.113.5"),
        (3, "203.0.113.5:80, 10.0.0.1, 10.0.0.2", "203.0.113.5"),
        (1, "2001:db8::5", "2001:db8::5"),
    ],
)
def test_the_client_is_the_so_many_th_from_the_right(count: int, value: str, address: str) -> None:
    caller = found(resolver(count), value)
    assert (caller.address, caller.trusted, caller.suspect) == (address, True, False)


@pytest.mark.parametrize("value", ["203.0.113.5", "", " , ", "garbage, 198.51.100.1"])
@pytest.mark.parametrize("peer", ["192.0.2.10", "10.0.0.9"])
def test_a_header_with_fewer_is_not_believed(value: str, peer: str) -> None:
    """It did not pass all proxies: the client may have written all of it."""
    caller = found(resolver(2), value, client=(peer, 40000))
    assert (caller.address, caller.trusted) == (peer, False)
    assert caller.suspect is (peer == "10.0.0.9"), "of a private peer an operator is warned, as of any unknown proxy"


def test_a_peer_without_such_a_header_is_itself() -> None:
    caller = found(resolver(1), None, client=("10.0.0.9", 40000))
    assert (caller.address, caller.trusted, caller.private, caller.suspect) == ("10.0.0.9", False, True, False)


def test_behind_a_unix_socket() -> None:
    assert found(resolver(1), "203.0.113.5", client=None).address == "203.0.113.5"
    assert found(resolver(2), "203.0.113.5", client=None).address == "unknown"


def test_forwarded_is_counted_alike() -> None:
    of = resolver(2, forwarded_header="forwarded")
    assert found(of, "for=6.6.6.6, for=203.0.113.5;proto=https, for=_hidden", name="forwarded").address == "203.0.113.5"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"trusted_proxies": "10.0.0.0/8"}, r"PROXY_COUNT=2 and FRAISEQL_GUARD_TRUSTED_PROXIES are both set"),
        ({"forwarded_header": "x-real-ip"}, r"FORWARDED_HEADER='x-real-ip' holds a single one"),
    ],
)
def test_settings_that_contradict_it_stop_the_start(more: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        resolver(2, **more)


@pytest.mark.parametrize("count", ["0", "21", "-1", "one"])
def test_a_number_is_1_to_20(count: str) -> None:
    with pytest.raises(SettingsError, match="FRAISEQL_GUARD_PROXY_COUNT"):
        Settings.load({"FRAISEQL_GUARD_PROXY_COUNT": count})


ADDRESSES = st.ip_addresses(v=4).map(str)
FORGED = st.lists(ADDRESSES | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12), max_size=6)


@given(FORGED, ADDRESSES, st.lists(ADDRESSES, max_size=4))
def test_whatever_a_client_sends_along_it_is_the_address_that_the_first_proxy_saw(
    forged: list[str], client: str, proxies: list[str]
) -> None:
    """Each proxy appends what it saw: the first one the client, each further one the proxy before it."""
    value = ", ".join([*forged, client, *proxies])
    assert found(resolver(len(proxies) + 1), value).address == client


@given(FORGED, st.integers(1, 20))
def test_what_is_found_is_in_the_header_or_the_peer(parts: list[str], count: int) -> None:
    """As Express and werkzeug count, but for a header that is too short."""
    elements = [part.strip() for part in ",".join(parts).split(",") if part.strip()]
    caller = found(resolver(count), ",".join(parts))
    if len(elements) < count:
        assert caller.address == PEER[0]
    elif caller.trusted:
        assert caller.address in elements[-count]
