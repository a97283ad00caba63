"""The operator at a distance: what it makes of whatever may answer at a URL, and that it speaks the API's own table."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fraiseql_guard.admin.routes import ROUTES
from fraiseql_guard.operator.interface import (
    DangerousError,
    Document,
    NotAppliedError,
    NotFoundError,
    Operator,
    OperatorError,
    Origin,
    Target,
)
from fraiseql_guard.operator.remote import RemoteOperator, base_url
from fraiseql_guard.secret import Secret

TOKEN = "a-token-of-the-operator-on-call-0123456789"
DONE = {"message": "Done.", "changed": True, "affected": 1, "would_have_met": None, "details": {}}


class Peer(ThreadingHTTPServer):
    """Answers every request alike, and remembers what came."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.answer = (status, body, headers)
        self.came: list[tuple[str, str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/admin"


class _Handler(BaseHTTPRequestHandler):
    server: Peer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.came.append((self.command, self.path, dict(self.headers), body))
        status, answer, headers = self.server.answer
        if not status:
            self.connection.close()
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def peer(status: int, body: object = b"", **headers: str) -> Iterator[Peer]:
    answer = body if isinstance(body, bytes) else json.dumps(body).encode()
    with Peer(status, answer, {name.replace("_", "-"): value for name, value in headers.items()}) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


async def asked(server: Peer, method: str, *arguments: object, timeout_seconds: float = 10.0, **options: object):
    remote = RemoteOperator(server.url, token=Secret(TOKEN), timeout_seconds=timeout_seconds)
    try:
        return await getattr(remote, method)(*arguments, **options)
    finally:
        await remote.aclose()


async def error_of(status: int, body: object = b"", **headers: str) -> OperatorError:
    with peer(status, body, **headers) as server:
        with pytest.raises(OperatorError) as caught:
            await asked(server, "block", Target(user_id="ada"))
        assert TOKEN not in str(caught.value)
        return caught.value


CALLS = {
    "block": (Target(user_id="zoë }x/?&"),),
    "lift": (Target(ip_address="2001:db8::/48"),),
    "lift_all": (),
    "lifting": (),
    "blocks": (),
    "blocks_page": (10, "5_1"),
    "unlock": ("ada@example.org",),
    "set_limit": (Target(user_id="ada", issuer="https://i", tenant="t"), "5/minute"),
    "clear_limit": (Target(user_id="ada"),),
    "limits": (),
    "limits_page": (10, "5_1"),
    "allow": ("203.0.113.9",),
    "disallow": ("203.0.113.9",),
    "allowed": (),
    "switch": ("mode", "all", "monitor"),
    "unswitch": ("setting", "x"),
    "switches": (),
    "collect_garbage": (),
    "clear_caches": (),
    "documents": (),
    "trust": ([Document(id="x", name="Me", type="query", text="query Me{me}")],),
    "distrust": ("../x",),
    "document": ("../blocks",),
    "status": (),
    "offenders": (),
    "refusals": (),
    "why": ("../blocks",),
    "actions": (),
    "config": (),
}


def test_the_whole_interface_is_there():
    assert set(CALLS) == {name for name in vars(Operator) if not name.startswith("_")}
    assert all(callable(getattr(RemoteOperator, name)) for name in CALLS)


def route_of(method: str, path: str):
    for route in ROUTES:
        start, _, parameter = route.path.partition("{")
        if route.method == method and (path.startswith(start) if parameter else path == route.path):
            return route
    raise AssertionError(f"the API has no {method} {path}")


KINDS = ["mode", "setting", "document", "operation"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in CALLS for kind in (KINDS if "switch" in name and name != "switches" else [""])],
)
async def test_every_call_is_one_of_the_apis_routes_with_its_fields(name, kind):
    arguments, options = CALLS[name], {"duration_seconds": 5.0} if name == "switch" else {}
    if kind:
        arguments = (kind, *arguments[1:])
    with peer(418, {}) as server, pytest.raises(OperatorError):
        await asked(server, name, *arguments, **options)
    ((method, target, headers, body),) = server.came
    path, _, query = target.partition("?")
    route = route_of(method, path.removeprefix("/admin"))
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    given = {part.partition("=")[0] for part in query.split("&") if part} if not body else set(json.loads(body))
    known = {field.name for field in (route.body if body else route.query)}
    assert given <= known
    assert {field.name for field in (*route.body, *route.query) if field.required} <= given


async def test_what_an_operator_says_arrives():
    with peer(200, DONE) as server:
        done = await asked(server, "lift_all", origin=None)
        await asked(server, "lift_all", origin=Origin.OPERATOR)
        await asked(server, "block", Target(user_id="zoë }x"), reason="why", force=True, duration_seconds=5.0)
    assert done.affected == 1
    bodies = [json.loads(body) for *_, body in server.came]
    assert bodies[:2] == [{"origin": "all"}, {"origin": "operator"}]
    assert bodies[2] == {"user_id": "zoë }x", "duration_seconds": 5.0, "reason": "why", "force": True}


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (401, {"detail": "no"}, OperatorError, "FRAISEQL_GUARD_ADMIN_TOKEN"),
        (403, {"detail": "you may not"}, OperatorError, "you may not"),
        (404, {"detail": "there is none"}, NotFoundError, "there is none"),
        (404, b"<h1>Not found</h1>", OperatorError, "is not the guard's API"),
        (404, {"error": "other app"}, OperatorError, "is not the guard's API"),
        (409, {"detail": "is loopback", "would_have_met": 3}, DangerousError, "is loopback"),
        (409, {"detail": "is in the settings"}, OperatorError, "is in the settings"),
        (400, {"detail": "no such user", "field": "user_id"}, OperatorError, "no such user"),
        (503, {"detail": "the store does not answer"}, NotAppliedError, "does not answer"),
        (502, b"Bad Gateway", OperatorError, "answers 502"),
        (200, b"<html>", OperatorError, "is not the guard's API"),
        (200, [1], OperatorError, "is not the guard's API"),
        (200, {"changed": "maybe"}, OperatorError, "does not understand"),
    ],
)
async def test_every_answer_becomes_an_error_that_helps(status, body, kind, text):
    error = await error_of(status, body)
    assert type(error) is kind
    assert text in str(error)


async def test_details_of_an_error_are_kept():
    dangerous = await error_of(409, {"detail": "is loopback", "would_have_met": 3, "field": "ip_address"})
    assert (dangerous.would_have_met, dangerous.field) == (3, "ip_address")
    assert "in 7 s" in str(await error_of(429, {"detail": "slowly"}, Retry_After="7"))


async def test_the_token_does_not_follow_a_redirect():
    with peer(200, DONE) as other:
        error = await error_of(307, b"", Location=f"{other.url}/blocks")
        assert other.came == []
    assert other.url in str(error)


async def test_an_answer_that_breaks_off_leaves_open_whether_it_was_done():
    assert "not known" in str(await error_of(0))


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    with peer(200, DONE) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        remote = RemoteOperator(server.url.replace("http:", "https:"), token=Secret(TOKEN))
        with pytest.raises(NotAppliedError, match=r"(?i)cannot be reached.*certificate"):
            await remote.blocks()
        await remote.aclose()
    assert server.came == []


def _certificate(folder):
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "server.pem"
    file.write_bytes(private + certificate.public_bytes(pem))
    return file


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://h/admin/", "https://h/admin"),
        ("http://[::1]:8000/a", "http://[::1]:8000/a"),
        ("https://h", "https://h"),
    ],
)
def test_a_url_is_taken_with_or_without_its_slash(text, url):
    assert base_url(text) == url
