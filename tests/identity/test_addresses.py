import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.identity.addresses import AddressResolver
from fraiseql_guard.identity.proxy_headers import by_name, only_proxies_send

PUBLIC, PROXY = ("203.0.113.9", 50000), ("10.0.0.1", 50000)


def resolver(trusted="", header="x-forwarded-for"):
    return AddressResolver(Settings.load({}, trusted_proxies=trusted, forwarded_header=header))


# One of each vendor and kind; those that begin alike are one entry of the table.
BY_PROXIES = """
forwarded via x-forwarded x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-forwarded-anything
x-real-ip x-client-ip x-cluster-client-ip true-client-ip client-ip fly-client-ip fly-region cf-connecting-ip cf-ray
cf-visitor cdn-loop cloudfront-viewer-address x-amz-cf-id x-amzn-trace-id x-cloud-trace-context fastly-client-ip
x-azure-clientip x-azure-ref x-arr-log-id x-appengine-user-ip x-envoy-external-address x-original-forwarded-for
x-original-url x-rewrite-url x-scheme x-request-start x-vercel-id x-nf-client-connection-ip x-akamai-edgescape
incap-client-ip ali-cdn-real-ip x-sucuri-clientip wl-proxy-client-ip front-end-https surrogate-capability
""".split()
BY_ANYBODY = """
host user-agent accept accept-encoding connection authorization traceparent tracestate baggage b3 x-b3-traceid
x-request-id x-correlation-id x-datadog-trace-id x-prometheus-scrape-timeout-seconds x-requested-with origin referer
proxy-authorization proxy-connection max-forwards x-client-data x-client-version x-api-key viable forwarded-by-me cfg-x
""".split()


def lines(**headers):
    return [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.1", 443), "192.0.2.1"),
        (["192.0.2.1", 443], "192.0.2.1"),
        (("192.0.2.1", "443"), "192.0.2.1"),
        (("192.0.2.1", None), "192.0.2.1"),
        (("192.0.2.1",), "192.0.2.1"),
        (("::ffff:192.0.2.1", 443, 0, 0), "192.0.2.1"),
        (("fe80::1%eth0", 443), "fe80::1"),
        (("2001:DB8::1", 443), "2001:db8::1"),
        (None, "unknown"),
        ((), "unknown"),
        ([], "unknown"),
        ("", "unknown"),
        (("", 0), "unknown"),
        ((None, None), "unknown"),
        (("unix:/run/app.sock", None), "unknown"),
        ("/run/app.sock", "unknown"),
        (("testclient", 50000), "unknown"),
        ((b"192.0.2.1", 1), "unknown"),
        ((42, 1), "unknown"),
        (42, "unknown"),
        ({"host": "192.0.2.1"}, "unknown"),
        (("1" * 100_000, 1), "unknown"),
        (("192.0.2.1\n", 1), "unknown"),
    ],
)
def test_every_shape_of_client(client, address):
    caller = resolver().resolve(client, [])
    assert caller.address == address
    assert caller.subject.kind == "address"
    assert not caller.shared
    assert caller.header == ""


@pytest.mark.parametrize(
    ("host", "private", "loopback"),
    [("127.0.0.1", True, True), ("::1", True, True), ("10.0.0.1", True, False), ("203.0.113.9", False, False)],
)
@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8,127.0.0.1,::1"])
def test_a_private_peer_is_one_without_forwarding_headers(host, private, loopback, trusted):
    alone = resolver(trusted).resolve((host, 1), lines(host="app", user_agent="probe"))
    assert (alone.private, alone.loopback) == (private, loopback)
    for header in BY_PROXIES:
        through = resolver(trusted).resolve((host, 1), [(header.encode(), b"198.51.100.1")])
        assert not through.private
        assert not through.loopback
        assert through.header == header


@pytest.mark.parametrize("header", BY_ANYBODY)
@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8"])
def test_what_clients_and_applications_send_themselves_makes_no_proxy(header, trusted):
    caller = resolver(trusted).resolve(PROXY, [(header.encode(), b"x")], [header.encode()])
    assert (caller.private, caller.shared, caller.header) == (True, False, "")


@pytest.mark.parametrize("header", BY_PROXIES)
def test_names_that_are_known_and_names_in_capitals_are_told_like_others(header):
    subject = resolver()
    for name in (header, header, header.upper()):
        assert not subject.resolve(PROXY, [(name.encode(), b"x")], [name.encode()]).private


def test_an_operator_hears_of_proxies_and_not_of_applications_that_pass_traces_on():
    subject = resolver()
    for name in ("x-amzn-trace-id", "x-cloud-trace-context"):
        caller = subject.resolve(PROXY, [(name.encode(), b"x")])
        assert (caller.shared, caller.suspect, caller.private) == (True, False, False)
        caller = subject.resolve(PROXY, [(name.encode(), b"x"), (b"via", b"1.1 google")])
        assert (caller.shared, caller.suspect, caller.header) == (True, True, "via")


def test_a_flood_of_names_is_not_kept():
    known = by_name(only_proxies_send)
    for number in range(5_000):
        assert known[b"x-forwarded-%d" % number]
        assert known[b"x-forwarded-" + b"y" * number]
    assert len(known) <= 1_000
    assert max(map(len, known)) <= 64


def test_a_unix_socket_is_never_private():
    for client in (None, ("", 0)):
        assert not resolver("unix").resolve(client, []).private


@pytest.mark.parametrize("header", BY_PROXIES)
@pytest.mark.parametrize(
    ("client", "shared"),
    [
        (PROXY, True),
        (("127.0.0.1", 1), True),
        (("fd00::1", 1), True),
        (("100.64.3.4", 1), True),
        (None, True),
        (PUBLIC, False),
        (("2001:db8::1", 1), False),
    ],
)
def test_an_undeclared_proxy_is_shared_and_its_header_not_believed(header, client, shared):
    subject = resolver(header=header)
    caller = subject.resolve(client, [(header.encode(), b"198.51.100.1")])
    assert caller.shared is shared
    assert caller.address == subject.resolve(client, []).address
    assert caller.subject == subject.resolve(client, []).subject


@pytest.mark.parametrize("host", ["10.0.0.7", "127.0.0.1", "fd00::7", PUBLIC[0]])
@pytest.mark.parametrize("shape", [tuple, list])
def test_a_peer_that_the_server_has_replaced_is_a_caller(host, shape):
    """uvicorn's proxy headers leave the port 0. The header is still there, so it is no probe of this machine."""
    subject = resolver()
    header = [(b"x-forwarded-for", host.encode())]
    for _ in range(2):  # and stays one beside a proxy of the same address
        caller = subject.resolve(shape((host, 0)), header)
        assert (caller.address, caller.shared, caller.resolved) == (host, False, True)
        assert (caller.private, caller.loopback) == (False, False)
        assert subject.resolve((host, 5), header).shared is (host != PUBLIC[0])


def test_a_unix_socket_is_not_replaced_by_its_missing_port():
    caller = resolver().resolve(("", 0), [(b"x-forwarded-for", b"198.51.100.1")])
    assert (caller.shared, caller.resolved) == (True, False)


@pytest.mark.parametrize(
    ("value", "address", "shared"),
    [
        ("198.51.100.1", "198.51.100.1", False),
        ("198.51.100.1:4711", "198.51.100.1", False),
        ("1.1.1.1, 198.51.100.1", "198.51.100.1", False),
        ("1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1", False),
        ("::ffff:198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1", False),
        ("2001:db8::7, [2001:db8:ffff::1]:80, 10.0.0.2", "2001:db8:ffff::1", False),
        ("garbage, 198.51.100.1", "198.51.100.1", False),
        ("198.51.100.1, garbage, 10.0.0.2", "10.0.0.2", True),
        ("198.51.100.1, garbage", "10.0.0.1", True),
        ("unknown", "10.0.0.1", True),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3", False),
        ("192.168.1.1", "192.168.1.1", False),
        ("198.51.100.1, 192.168.1.1", "192.168.1.1", True),
        ("", "10.0.0.1", False),
    ],
)
def test_the_walk_from_the_right(value, address, shared):
    caller = resolver("10.0.0.0/8").resolve(PROXY, lines(x_forwarded_for=value))
    assert (caller.address, caller.shared, caller.header) == (address, shared, "x-forwarded-for")


def test_all_lines_of_the_header_are_one_list():
    headers = [(b"x-forwarded-for", b"1.1.1.1, 198.51.100.1"), (b"host", b"a"), (b"x-forwarded-for", b"10.0.0.2")]
    assert resolver("10.0.0.0/8").resolve(PROXY, headers).address == "198.51.100.1"


@pytest.mark.parametrize(
    ("header", "value", "address"),
    [
        ("forwarded", 'for=1.1.1.1, for="[2001:db8::1]:80";proto=https, for=10.0.0.2', "2001:db8::1"),
        ("x-real-ip", "198.51.100.1", "198.51.100.1"),
        ("x-real-ip", "198.51.100.1, 198.51.100.2", "10.0.0.1"),
        ("fly-client-ip", "198.51.100.1", "198.51.100.1"),
    ],
)
def test_only_the_chosen_header_is_believed(header, value, address):
    others = lines(x_forwarded_for="1.2.3.4", cf_connecting_ip="1.2.3.4") if header != "x-forwarded-for" else []
    caller = resolver("10.0.0.0/8", header).resolve(PROXY, [*others, (header.encode(), value.encode())])
    assert (caller.address, caller.header) == (address, header)


def test_a_trusted_proxy_that_sends_another_header_than_the_chosen_one_is_shared():
    caller = resolver("10.0.0.0/8", "forwarded").resolve(PROXY, lines(x_forwarded_for="198.51.100.1"))
    assert (caller.address, caller.shared, caller.header) == ("10.0.0.1", True, "x-forwarded-for")


def test_a_trusted_public_proxy_that_says_nothing_useful_is_shared():
    caller = resolver(PUBLIC[0]).resolve(PUBLIC, lines(x_forwarded_for="unknown"))
    assert (caller.address, caller.shared) == (PUBLIC[0], True)


def test_a_unix_socket_may_be_a_trusted_proxy():
    headers = lines(x_forwarded_for="198.51.100.1")
    for client in (None, (), ("", 0), ("unix:/run/app.sock", 0)):
        assert resolver("unix").resolve(client, headers).address == "198.51.100.1"
        assert resolver("10.0.0.0/8").resolve(client, headers).address == "unknown"
    for client in (("testclient", 1), (42, 1), 42):
        assert resolver("unix").resolve(client, headers).address == "unknown"


def test_no_flood_of_addresses_makes_the_memory_grow():
    settings = Settings.load({}, trusted_proxies="10.0.0.0/8", forwarded_header="x-forwarded-for")
    subject = AddressResolver(settings, most_remembered=10)
    for number in range(50):
        assert subject.resolve((f"198.51.100.{number}", 1), []).address == f"198.51.100.{number}"
        through = subject.resolve(PROXY, lines(x_forwarded_for=f"203.0.113.{number}"))
        assert through.address == f"203.0.113.{number}"
        subject.resolve(PROXY, lines(x_forwarded_for=f"203.0.113.{number}," + " " * 300))
    assert max(subject.remembered) <= 10


V4 = st.ip_addresses(v=4).map(str)
TRUSTED = st.integers(0, 2**24 - 1).map(lambda low: str(ipaddress.ip_address((10 << 24) + low)))
HOP = st.one_of(V4, TRUSTED, st.ip_addresses(v=6).map(str), st.sampled_from(["garbage", "unknown", "_x", "1.2.3"]))


def model(peer, chain, trusted):
    """The caller's address, in plain words."""
    address = peer
    for hop in [peer, *reversed(chain)]:
        try:
            parsed = ipaddress.ip_address(hop)
        except ValueError:
            return str(address)
        address = parsed.ipv4_mapped or parsed if parsed.version == 6 else parsed
        if not any(address in network for network in trusted):
            break
    return str(address)


@settings(deadline=None)
@given(peer=st.one_of(V4, TRUSTED), chain=st.lists(HOP, min_size=1, max_size=8), trust=st.booleans())
def test_the_resolver_agrees_with_a_plain_model(peer, chain, trust):
    settings = Settings.load({}, trusted_proxies="10.0.0.0/8" if trust else "")
    caller = AddressResolver(settings).resolve((peer, 1), lines(x_forwarded_for=", ".join(chain)))
    assert caller.address == model(peer, chain, settings.trusted_proxies)


@settings(deadline=None)
@given(
    peer=V4.filter(lambda text: not text.startswith("10.")),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"x-forwarded-for", b"forwarded", b"x-real-ip", b"cf-connecting-ip", b"x"]),
            st.one_of(st.binary(max_size=60), V4.map(str.encode), V4.map(lambda text: f"for={text}".encode())),
        ),
        max_size=5,
    ),
)
def test_nobody_chooses_an_address_except_through_a_trusted_proxy(peer, headers):
    for header in ("x-forwarded-for", "forwarded", "x-real-ip"):
        direct = resolver("10.0.0.0/8", header)
        assert direct.resolve((peer, 1), headers).address == peer
        appended = f"for={peer}" if header == "forwarded" else peer
        sent = [value for name, value in headers if name.decode() == header]
        if header != "x-real-ip":  # a list: the proxy appends what it saw to what the client sent
            through = direct.resolve(PROXY, [*headers, (header.encode(), appended.encode())])
            assert through.address == peer
        joined = b", ".join([*sent, appended.encode()])
        others = [(name, value) for name, value in headers if name.decode() != header]
        value = appended.encode() if header == "x-real-ip" else joined
        assert direct.resolve(PROXY, [*others, (header.encode(), value)]).address == peer


@pytest.mark.parametrize("many", [20, 5_000])
def test_a_header_in_many_lines_is_read_as_one_line_of_it_is(many):
    client, values = ("10.0.0.1", 1), [f"192.0.2.{number % 250}" for number in range(many)]
    chosen = resolver(trusted="10.0.0.0/8, 192.0.2.0/24")
    apart = chosen.resolve(client, [(b"x-forwarded-for", value.encode()) for value in values])
    joined = chosen.resolve(client, lines(x_forwarded_for=",".join(values)))
    assert (apart.address, apart.shared) == (joined.address, joined.shared)
