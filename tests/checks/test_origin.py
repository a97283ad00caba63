"""Which pages may open WebSockets: every spelling of an origin and of the host that a socket is opened to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.checks.origin import SocketOrigin
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import CROSS_SITE_REQUEST, Protection
from fraiseql_guard.identity.page_origin import PageOrigin
from tests.conftest import SECRET

COOKIE = (b"cookie", b"session=1")
DEFAULT = {"http": 80, "https": 443}
HOSTS = st.sampled_from(
    ["app.example.org", "localhost", "127.0.0.1", "[::1]", "[2001:db8::a]", "xn--bcher-kva.example", "a_b"]
)
PORTS = st.none() | st.integers(1, 65_535)
SCHEMES = st.sampled_from(["http", "https"])


def upgrade(
    origin: bytes | list[bytes],
    host: str | list[str] = "app.example.org",
    *,
    secure: bool = False,
    trusted: bool = False,
    guarded: bool = True,
    more: Any = (COOKIE,),
    query: bytes = b"",
) -> RequestContext:
    lines = [(b"origin", each) for each in ([origin] if isinstance(origin, bytes) else origin)]
    lines += [(b"host", each.encode()) for each in ([host] if isinstance(host, str) else host)]
    lines += more
    subject = Subject("address", "192.0.2.1")
    ctx = RequestContext(
        "GET", "/graphql", query, lines, None, guarded, "id", lambda *_: "", "/graphql", "192.0.2.1", subject
    )
    ctx.socket, ctx.secure, ctx.trusted_peer = True, secure, trusted
    return ctx


def passes(ctx: RequestContext, *, auth: Mode = Mode.OFF, **settings: Any) -> bool:
    modes = dict.fromkeys(Protection, Mode.ENFORCE) | {Protection.AUTH: auth}
    denial = SocketOrigin(Settings.load({}, **settings), modes, Protection.QUERY_LIMITS).decide(ctx)
    if denial is None:
        return True
    assert (denial.code, denial.status, denial.tokens, denial.offence) == (CROSS_SITE_REQUEST, 403, 0, None)
    assert "FRAISEQL_GUARD_SOCKET_ORIGINS" in denial.detail
    assert ctx.cross_site_simple == (b"bearer" not in ctx.headers.get(b"authorization", b"").lower())
    return False


def written(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


def spelled(text: str, flips: int) -> str:
    """The text with some letters in upper case."""
    return "".join(each.upper() if flips >> place % 16 & 1 else each for place, each in enumerate(text))


# --- our own pages ---------------------------------------------------------------------------------------------------


@given(SCHEMES, HOSTS, PORTS, st.booleans(), st.integers(0, 65_535))
def test_a_page_of_the_same_host_and_port_passes_in_every_spelling(scheme, host, port, names_port, flips) -> None:
    """Origins leave out the port of their scheme; a Host may name it, or leave it out as well."""
    real = port or DEFAULT[scheme]
    usual = real == DEFAULT[scheme]
    origin = spelled(f"{scheme}://{written(host, None if usual else real)}", flips).encode()
    asked = spelled(written(host, real if names_port or not usual else None), flips ^ 0xFFFF)
    for secure in {scheme == "https", False}:  # behind a proxy where TLS ends, the server knows of none
        ctx = upgrade(origin, asked, secure=secure)
        assert passes(ctx)
        assert not ctx.cross_site_simple


@given(SCHEMES, HOSTS, PORTS, HOSTS, PORTS, st.booleans(), st.booleans())
def test_no_page_of_another_host_or_port_passes(scheme, host, port, other, other_port, secure, trusted) -> None:
    real = port or DEFAULT[scheme]
    theirs = other_port or (443 if secure else DEFAULT[scheme])
    expected = host == other and real == theirs and not (secure and scheme == "http")
    origin = f"{scheme}://{written(host, port)}".encode()
    ctx = upgrade(origin, written(other, other_port), secure=secure, trusted=trusted)
    assert passes(ctx) == expected
    assert ctx.cross_site_simple != expected


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode()))
def test_whatever_is_no_origin_is_foreign(origin) -> None:
    read = PageOrigin.parse(origin.decode("latin-1"))
    assert passes(upgrade(origin)) == (read is not None and read.host == "app.example.org" and read.at_default_port)


@pytest.mark.parametrize(
    "origin",
    [
        *(b"", b"null", b"NULL", b"*", b"app.example.org", b"//app.example.org", b"ws://app.example.org"),
        *(b"http://app.example.org/", b"http://app.example.org ", b" http://app.example.org", b"http://"),
        *(b"http://app.example.org http://app.example.org", b"http://app.example.org, http://evil.example"),
        *(b"http://user@app.example.org", b"http://evil.example@app.example.org"),
        *(b"http://app.example.org@evil.example", b"http://app.example.org.evil.example"),
        *(b"http://evil-app.example.org", b"http://app.example.org.", b"http://app.example.org:80.evil.example"),
        *(b"http://app.example.org:8080", b"http://app.example.org%00", b"http://app.example.org\x00"),
        *(b"http://app.example.org\n", b"http://app\xadexample.org", b"file://", b"javascript:"),
        *(b"chrome-extension://app.example.org", b"http://[app.example.org]", b"http://[::1", b"http://::1"),
        *(b"http:app.example.org", b"http:\\\\app.example.org", b"http://app.example.org#", b"http://[:::1]"),
    ],
)
def test_what_resembles_our_origin_is_foreign(origin) -> None:
    assert not passes(upgrade(origin))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (b"http://[::1]:8000", "[0:0:0:0:0:0:0:1]:8000"),
        (b"http://[2001:DB8::A]", "[2001:db8:0::a]"),
        (b"https://[::ffff:127.0.0.1]", "[::ffff:7f00:1]:443"),
        (b"http://app.example.org:", "app.example.org:"),
    ],
)
def test_an_address_and_a_port_have_many_spellings(origin, host) -> None:
    assert passes(upgrade(origin, host))


@pytest.mark.parametrize(
    "host",
    [
        [],
        ["app.example.org", "app.example.org"],
        [""],
        ["app.example.org/"],
        ["user@app.example.org"],
        ["app.example.org, app.example.org"],
        ["[::1"],
    ],
)
def test_a_host_that_is_missing_or_cannot_be_read_is_no_page_s_own(host) -> None:
    assert not passes(upgrade(b"http://app.example.org", host))


def test_several_origins_are_foreign_even_if_they_are_alike() -> None:
    assert not passes(upgrade([b"http://app.example.org", b"http://app.example.org"]))
    assert not passes(upgrade([b"http://app.example.org", b"http://evil.example"]))


def test_without_an_origin_it_is_no_page() -> None:
    ctx = upgrade([])
    assert passes(ctx)
    assert not ctx.cross_site_simple


# --- proxies ---------------------------------------------------------------------------------------------------------

FORWARDED = ((b"x-forwarded-host", b"app.example.org"), (b"x-forwarded-proto", b"https"), COOKIE)


def test_what_a_trusted_proxy_says_of_host_and_scheme_is_believed_and_of_no_other() -> None:
    ours, plain = b"https://app.example.org", b"http://app.example.org"
    assert passes(upgrade(ours, "backend:8000", trusted=True, more=FORWARDED))
    assert not passes(upgrade(plain, "backend:8000", trusted=True, more=FORWARDED))
    assert not passes(upgrade(b"http://backend:8000", "backend:8000", trusted=True, more=FORWARDED))
    assert not passes(upgrade(ours, "backend:8000", more=FORWARDED))
    assert passes(upgrade(plain, more=FORWARDED))  # that TLS was used, others may say or not


@pytest.mark.parametrize("value", [b"app.example.org, inner:80", b" app.example.org ,backend", b"APP.example.org:443"])
def test_each_proxy_appends_and_the_first_is_what_the_browser_asked_for(value) -> None:
    more = ((b"x-forwarded-host", value), COOKIE)
    assert passes(upgrade(b"https://app.example.org", "backend:8000", trusted=True, more=more))


def proxied(forwarded: bytes, origin: bytes = b"https://app.example.org", *more: tuple[bytes, bytes]) -> Any:
    """An upgrade behind a trusted proxy that says this in a Forwarded header (RFC 7239)."""
    return upgrade(origin, "backend:8000", trusted=True, more=((b"forwarded", forwarded), *more, COOKIE))


@pytest.mark.parametrize(
    "forwarded",
    [
        b"for=192.0.2.1;host=app.example.org;proto=https",
        b'proto=HTTPS; Host="APP.example.org:443"; for="[2001:db8::1]:80"',
        b'host="app.example.org", for=10.0.0.1;host=inner;proto=http',
        b'for="a,b";host=app.example.org,for=10.0.0.1',
    ],
)
def test_where_it_is_the_header_of_the_proxies_forwarded_tells_host_and_scheme(forwarded) -> None:
    assert passes(proxied(forwarded), forwarded_header="forwarded")
    assert not passes(proxied(forwarded))  # proxies that send another one pass it on as it came
    untrusted = upgrade(b"https://app.example.org", "backend:8000", more=((b"forwarded", forwarded), COOKIE))
    assert not passes(untrusted, forwarded_header="forwarded")


@pytest.mark.parametrize(
    "forwarded",
    [
        *(b"", b"for=192.0.2.1", b"host=app.example.org.evil.example", b"host=evil.example, host=app.example.org"),
        *(b"host=app.example.org;host=app.example.org", b'host="app.example.org', b"host=app.example.org/;proto=https"),
        b"host=app.example.org;for=" + b"x" * 2048,
    ],
)
def test_a_forwarded_header_that_names_no_host_or_another_makes_no_page_our_own(forwarded) -> None:
    assert not passes(proxied(forwarded), forwarded_header="forwarded")


def test_with_tls_at_the_proxy_a_plain_page_is_foreign_and_what_forwarded_leaves_out_others_may_tell() -> None:
    plain, by_forwarded = b"http://app.example.org", {"forwarded_header": "forwarded"}
    assert not passes(proxied(b"host=app.example.org;proto=https", plain), **by_forwarded)
    assert passes(proxied(b"host=app.example.org;proto=http", plain), **by_forwarded)
    assert passes(proxied(b"for=192.0.2.1;proto=https", b"https://app.example.org", FORWARDED[0]), **by_forwarded)
    assert not passes(proxied(b"host=app.example.org", plain, FORWARDED[1]), **by_forwarded)
    assert passes(proxied(b'host="[::1]:8000"', b"http://[0:0::1]:8000"), **by_forwarded)


# --- listed origins --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["socket_origins", "cors_origins"])
def test_a_listed_origin_passes_in_every_spelling_and_no_other(option) -> None:
    listed = {option: "https://spa.example.org, http://LOCALHOST:5173"}
    for origin in (b"https://spa.example.org", b"https://SPA.example.org:443", b"http://localhost:5173"):
        ctx = upgrade(origin)
        assert passes(ctx, **listed)
        assert not ctx.cross_site_simple
    for origin in (b"http://spa.example.org", b"https://spa.example.org:444", b"https://localhost:5173", b"null"):
        assert not passes(upgrade(origin), **listed)


@pytest.mark.parametrize("origin", [b"http://evil.example", b"null", b"", [b"null", b"http://a.example"]])
def test_an_asterisk_lists_all(origin) -> None:
    assert passes(upgrade(origin), socket_origins="*")
    assert passes(upgrade(origin), cors_origins="*")


# --- nothing to borrow -----------------------------------------------------------------------------------------------

EVIL = b"http://evil.example"
KEY = {"jwt_secret": SECRET}


@pytest.mark.parametrize("origin", [EVIL, b"null", b""])
def test_a_foreign_page_passes_where_only_a_token_of_its_own_opens_anything(origin) -> None:
    ctx = upgrade(origin, more=())
    assert passes(ctx, auth=Mode.ENFORCE, **KEY)
    assert ctx.cross_site_simple  # but what it does is not its visitor's doing


@pytest.mark.parametrize(
    ("auth", "settings"),
    [
        (Mode.OFF, {}),
        (Mode.MONITOR, KEY),
        (Mode.ENFORCE, {**KEY, "auth_required": False}),
        (Mode.ENFORCE, {**KEY, "public_operations": "login"}),
    ],
)
def test_not_where_something_is_open_to_its_visitor_without_one(auth, settings) -> None:
    assert not passes(upgrade(EVIL, more=()), auth=auth, **settings)


@pytest.mark.parametrize(
    ("more", "query"),
    [
        ((COOKIE,), b""),
        (((b"authorization", b"Basic eDp5"),), b""),
        (((b"authorization", b"BEARER x"),), b""),  # of a program, whose doing it is
        ((), b"access_token=x"),
        ((), b"a&%61ccess_token=x"),
    ],
)
def test_not_with_anything_that_it_may_have_borrowed(more, query) -> None:
    settings = {**KEY, "socket_token_parameter": "access_token"}
    assert not passes(upgrade(EVIL, more=more, query=query), auth=Mode.ENFORCE, **settings)


# --- other paths -----------------------------------------------------------------------------------------------------


def test_elsewhere_origins_are_judged_once_some_are_configured_for_sockets() -> None:
    assert passes(upgrade(EVIL, guarded=False))
    assert passes(upgrade(EVIL, guarded=False), cors_origins="https://spa.example.org")
    listed = {"socket_origins": "https://spa.example.org"}
    assert not passes(upgrade(EVIL, guarded=False), **listed)
    assert not passes(upgrade(EVIL, guarded=False, more=()), auth=Mode.ENFORCE, **KEY, **listed)
    assert passes(upgrade(b"https://spa.example.org", guarded=False), **listed)
    assert passes(upgrade(b"http://app.example.org", guarded=False), **listed)
