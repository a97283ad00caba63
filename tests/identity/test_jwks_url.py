"""Keys behind an address: when they are fetched, what is taken, and what an issuer's outage does."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fraiseql_guard.core.key_forms import ALGORITHMS
from fraiseql_guard.identity import jwks_url as module
from fraiseql_guard.identity.jwks_url import JwksUrl
from fraiseql_guard.identity.jws import read_jws
from fraiseql_guard.testing import ManualClock, make_token
from tests.identity.test_key_sources import Told
from tests.support import keys
from tests.support.key_server import KeyServer
from tests.support.waiting import until

ONE, TWO = keys.private("P-256"), keys.private("P-256", 1)


def jwks(*privates):
    return keys.jwk_set(*(keys.jwk(each, kid=f"key-{number}") for number, each in enumerate(privates))).encode()


@pytest.fixture
async def server():
    async with KeyServer() as found:
        found.body = jwks(ONE)
        yield found


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def told():
    return Told()


@pytest.fixture
async def source(server, clock, told):
    found = JwksUrl(server.url, tuple(ALGORITHMS), refresh_seconds=300, clock=clock)
    found.observer = told
    yield found
    await found.aclose()


def kids(source):
    found = source.keys()
    return [key.kid for key in found]


async def test_the_first_fetch_is_started_once_and_no_request_waits(server, source):
    assert source.keys() == ()
    await asyncio.sleep(0.05)
    assert server.requests == 0  # not yet in use
    source.warm_up()
    source.warm_up()
    assert [source.keys() for _ in range(20)] == [()] * 20
    assert await source.fetch(60) is True
    assert kids(source) == ["key-0"]
    assert server.requests == 1


async def test_many_that_wait_share_one_fetch(server, source):
    server.seconds = 0.05
    assert await asyncio.gather(*(source.fetch(60) for _ in range(50))) == [True] * 50
    assert server.requests == 1


async def test_aging_keys_are_fetched_ahead_while_the_old_ones_serve(server, source, clock):
    await source.fetch(60)
    before = source.keys()
    server.body = jwks(ONE, TWO)
    clock.advance(299)
    assert source.keys() is before
    assert server.requests == 1
    clock.advance(2)
    assert source.keys() is before  # set off, not waited for
    await source.fetch(60)
    assert kids(source) == ["key-0", "key-1"]
    assert server.requests == 2


async def test_the_same_keys_again_are_no_change(server, source, clock):
    await source.fetch(60)
    before = source.keys()
    clock.advance(301)
    source.keys()
    await source.fetch(60)
    assert source.keys() is before
    assert server.requests == 2


async def test_an_outage_leaves_the_keys_in_force_for_a_day(server, source, clock, told):
    await source.fetch(60)
    server.down = True
    for _ in range(287):
        clock.advance(300)
        assert kids(source) == ["key-0"]
        await source.fetch(60)
    assert len(told.failed) >= 286
    assert {(name, usable) for name, _, usable in told.failed} == {("url", True)}
    clock.advance(601)
    assert kids(source) == []
    server.down = False
    clock.advance(31)
    assert await source.fetch(60) is True
    assert kids(source) == ["key-0"]
    ((name, seconds),) = told.recovered
    assert name == "url"
    assert seconds > 80_000


async def test_without_any_keys_it_is_tried_after_1_2_4_seconds_and_then_every_30(server, source, clock):
    server.down = True
    asked = []
    for second in range(120):
        before = server.requests
        await source.fetch(60)
        if server.requests > before:
            asked.append(second)
        clock.advance(1)
    assert asked == [0, 1, 3, 7, 15, 31, 61, 91]


async def test_unknown_kids_fetch_once_in_30_seconds_whatever_comes_of_it(server, source, clock):
    unknown = read_jws(make_token(TWO, sub="u", kid="key-1"), ALGORITHMS)
    await source.fetch(60)
    assert source.may_know(unknown)
    assert await source.fetch(60) is False  # the set has just come
    clock.advance(30)
    assert await source.fetch(60) is True
    server.down = True
    clock.advance(30)
    assert [await source.fetch(60) for _ in range(20)] == [False] * 20
    assert server.requests == 3
    assert 1 <= source.retry_after_seconds <= 30
    server.down, server.body = False, jwks(ONE, TWO)
    clock.advance(30)
    assert await source.fetch(60) is True
    source.keys()
    assert not source.may_know(unknown)


async def test_only_what_a_newer_set_could_judge_is_worth_a_fetch(source):
    await source.fetch(60)
    source.keys()
    assert not source.may_know(read_jws(make_token(TWO, sub="u"), ALGORITHMS))
    assert not source.may_know(read_jws(make_token(TWO, sub="u", kid="key-0"), ALGORITHMS))
    assert not source.may_know(read_jws(make_token("x" * 40, sub="u", kid="key-1"), ALGORITHMS))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"status": 500}, "status 500"),
        ({"status": 404}, "status 404"),
        ({"status": 302, "headers": {"location": "http://127.0.0.1:1/"}}, "redirects are not followed"),
        ({"status": 204, "body": b""}, "status 204"),
        ({"headers": {"content-encoding": "gzip"}}, "compressed"),
        ({"body": b"<html>"}, "no JWK set"),
        ({"body": b'{"keys": []}'}, "no usable key"),
        ({"body": keys.jwk_set(keys.jwk(keys.private("RSA", bits=1024))).encode()}, "1024 bits"),
        ({"body": keys.jwk_set({"kty": "oct", "k": "A" * 43}).encode()}, "secret"),
        ({"body": jwks(ONE) + b" " * 70_000}, "larger than"),
        ({"endless": True}, "larger than"),
        ({"body": keys.jwk_set(*[keys.jwk(ONE, kid=str(n)) for n in range(21)]).encode()}, "more than 20"),
        ({"down": True}, "cannot be reached"),
    ],
    ids=" ".join,
)
async def test_what_is_not_taken(server, source, told, how, why):
    for name, value in how.items():
        setattr(server, name, value)
    assert await source.fetch(60) is False
    assert source.keys() == ()
    ((name, detail, usable),) = told.failed
    assert (name, usable) == ("url", False)
    assert why in detail


async def test_keys_that_are_not_used_are_warned_about_once(server, source, clock, told):
    server.body = keys.jwk_set(keys.jwk(ONE, kid="a"), keys.jwk(TWO, use="enc")).encode()
    for _ in range(3):
        await source.fetch(60)
        clock.advance(301)
    assert server.requests == 3
    (sentence,) = told.sentences
    assert "key 2 has a use other than sig" in sentence


async def test_a_hung_issuer_is_given_up_and_those_who_wait_are_let_go_sooner(server, source, told, monkeypatch):
    monkeypatch.setattr(module, "FETCH_SECONDS", 1.5)
    server.seconds = 60
    assert await source.fetch(0.05) is False
    assert told.failed == []  # the flight goes on
    assert await source.fetch(60) is False
    assert "did not answer" in told.failed[0][1]


async def test_made_up_tokens_do_not_pile_up_behind_a_hung_issuer(server, source, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 5)
    server.seconds = 1.5
    began = [asyncio.create_task(source.fetch(60)) for _ in range(20)]
    await until(lambda: any(task.done() for task in began))
    done, waiting = await asyncio.wait(began, timeout=0)
    assert (len(done), len(waiting)) == (15, 5)
    assert {task.result() for task in done} == {False}
    assert await asyncio.gather(*waiting) == [True] * 5


async def test_a_query_in_the_address_is_not_shown(server, clock, told):
    server.down = True
    source = JwksUrl(server.url + "?key=hunter2", tuple(ALGORITHMS), clock=clock)
    source.observer = told
    await source.fetch(60)
    assert "hunter2" not in told.failed[0][1]


async def test_an_address_where_nobody_listens(server, source, told):
    await server.leave()
    assert await source.fetch(60) is False
    assert "cannot be reached" in told.failed[0][1]


def test_without_an_event_loop_nothing_is_fetched_and_nothing_breaks(clock):
    source = JwksUrl("http://127.0.0.1:9/", tuple(ALGORITHMS), clock=clock)
    assert source.keys() == ()


# --- https -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 that has signed itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("trusted", [True, False])
async def test_an_issuer_must_prove_who_it_is(certificate, monkeypatch, told, trusted):
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with KeyServer(tls) as server:
        server.body = jwks(ONE)
        source = JwksUrl(server.url, tuple(ALGORITHMS))
        source.observer = told
        assert await source.fetch(60) is trusted
    assert len(told.failed) == (0 if trusted else 1)
