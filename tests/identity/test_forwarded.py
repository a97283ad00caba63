import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.identity.forwarded import MAX_HEADER_BYTES, MAX_HOPS, elements, hops, node_address


def read(header, value):
    return [hop and str(hop) for hop in hops(header, value.encode("latin-1"))]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:8080", "192.0.2.1"),
        ("192.0.2.1:_port", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("[fe80::1%eth0]:443", "fe80::1"),
        ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
        ("192.0.2.1:", None),
        ("192.0.2.1:http", None),
        ("192.0.2.1:123456", None),
        ("[192.0.2.1]", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]443", None),
        ("[2001:db8::1]:", None),
        ("2001:db8::1]", None),
        ("unknown", None),
        ("_hidden", None),
        ("_hidden:80", None),
        ("example.org", None),
        ("192.0.2.1, 192.0.2.2", None),
        ("", None),
        (None, None),
    ],
)
def test_node(text, address):
    assert node_address(text) == (address and ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("192.0.2.1", ["192.0.2.1"]),
        ("192.0.2.1, 198.51.100.2 ,203.0.113.3:80", ["203.0.113.3", "198.51.100.2", "192.0.2.1"]),
        ("192.0.2.1,,198.51.100.2,", ["198.51.100.2", "192.0.2.1"]),
        ("unknown, 192.0.2.1", ["192.0.2.1", None]),
        ('"192.0.2.1"', [None]),
        ("192.0.2.1;198.51.100.2", [None]),
        ("\xff\x00", [None]),
    ],
)
def test_x_forwarded_for(value, expected):
    assert read("x-forwarded-for", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", ["192.0.2.60"]),
        ("For=192.0.2.43, for=198.51.100.17", ["198.51.100.17", "192.0.2.43"]),
        ('for=192.0.2.43, FOR="[2001:db8:cafe::17]:4711"', ["2001:db8:cafe::17", "192.0.2.43"]),
        ('proto=https ; for="192.0.2.1:80" ; host="a, for=198.51.100.1"', ["192.0.2.1"]),
        (r'for=192.0.2.1;host="a\", for=198.51.100.1"', ["192.0.2.1"]),
        (r'for=192.0.2.1;host="a, for=198.51.100.1\"b"', ["192.0.2.1"]),
        (r'for=192.0.2.1;host="a\\", for=198.51.100.1', ["198.51.100.1", "192.0.2.1"]),
        ('for="192.0.2.\\1"', ["192.0.2.1"]),
        ("for=[2001:db8::1]", ["2001:db8::1"]),
        ("for=unknown", [None]),
        ('for="_gazonk"', [None]),
        ("for=_SEVKISEK:_80", [None]),
        ("proto=https", [None]),
        ("for=192.0.2.1;for=192.0.2.2", [None]),
        ("for = 192.0.2.1", [None]),
        ("for", [None]),
        ("192.0.2.1", [None]),
        ('for="192.0.2.1', [None]),
        ("for=192.0.2.1;;proto=http;", ["192.0.2.1"]),
    ],
)
def test_forwarded(value, expected):
    assert read("forwarded", value) == expected


@pytest.mark.parametrize(
    "forged", ['for="', 'for=1.1.1.1, for="', 'for="\\', 'x="a", y="', '\\"', '"""', "for=1.1.1.1;"]
)
@pytest.mark.parametrize(
    "appended", ["for=192.0.2.1", 'for="[2001:db8::1]:443";proto="https"', 'host="a,b";for=192.0.2.1']
)
def test_what_a_client_sends_never_swallows_what_its_proxy_appends(forged, appended):
    honest = read("forwarded", appended)
    assert read("forwarded", f"{forged}, {appended}")[0] == honest[0]


@pytest.mark.parametrize("header", ["x-real-ip", "cf-connecting-ip", "x-client"])
def test_a_single_value_header_holds_one_address(header):
    assert read(header, " [2001:db8::1]:80 ") == ["2001:db8::1"]
    assert read(header, "192.0.2.1,192.0.2.2") == [None]
    assert read(header, "") == []


def test_at_most_twenty_hops():
    assert read("x-forwarded-for", ",".join(["192.0.2.1"] * MAX_HOPS)) == ["192.0.2.1"] * MAX_HOPS
    for count in (MAX_HOPS + 1, MAX_HOPS * 5):
        assert read("x-forwarded-for", ",".join(["192.0.2.1"] * count)) == ["192.0.2.1"] * MAX_HOPS + [None]
        assert read("forwarded", ",".join(["for=192.0.2.1"] * count)) == ["192.0.2.1"] * MAX_HOPS + [None]


@pytest.mark.parametrize(("header", "element"), [("x-forwarded-for", "{}"), ("forwarded", "for={}")])
def test_the_nearest_two_kibibytes_are_read_and_a_cut_element_never(header, element):
    far, near = element.format("111.111.111.111"), ", " + element.format("192.0.2.1")
    for cut in range(len(far)):
        value = far + near.rjust(MAX_HEADER_BYTES + cut - len(far))
        assert read(header, value) == ["192.0.2.1", None if cut else "111.111.111.111"]


@settings(deadline=None)
@given(st.sampled_from(["x-forwarded-for", "forwarded", "x-real-ip"]), st.binary(max_size=3000))
def test_any_bytes_are_read_without_an_error(header, value):
    assert len(list(hops(header, value))) <= MAX_HOPS + 1


@settings(deadline=None)
@given(st.text(alphabet='for=";,\\ .:[]1a', max_size=200))
def test_any_forwarded_text_is_read_without_an_error(value):
    assert len(list(hops("forwarded", value.encode()))) <= MAX_HOPS + 1


def split_by_hand(text):
    """Elements from the right, character by character."""
    found, end, quoted = [], len(text), False
    for position in range(len(text) - 1, -1, -1):
        if text[position] == "," and not quoted:
            found.append(text[position + 1 : end])
            end = position
        elif text[position] == '"':
            before = text[:position]
            if not (quoted and (len(before) - len(before.rstrip("\\"))) % 2):
                quoted = not quoted
    return [*found, text[:end]]


@settings(deadline=None)
@given(st.text(alphabet='",\\a;=', max_size=40))
def test_elements_are_split_at_commas_outside_of_quotes(value):
    assert list(elements(value)) == split_by_hand(value)
