"""The operator at a distance: what it makes of whatever may answer at a URL, and that it speaks the API's own table."""

import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.http.routes import ROUTES
from fraiseql_guard.operations.operator.interface import (
    DangerousError,
    Document,
    NotAppliedError,
    NotFoundError,
    Operator,
    OperatorError,
    Origin,
    Target,
)
from fraiseql_guard.operations.operator.remote import RemoteOperator, base_url
from tests.support.peer import Peer, peer

TOKEN = "a-token-of-the-operator-on-call-0123456789"
DONE = {"message": "Done.", "changed": True, "affected": 1, "would_have_met": None, "details": {}}


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
    "sockets": (10,),
    "close_sockets": (),
    "drain_sockets": (),
    "documents": (),
    "trust": ([Document(id="x", name="Me", type="query", text="query Me{me}")],),
    "distrust": ("../x",),
    "document": ("../blocks",),
    "status": (),
    "limits_advice": (),
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
    with peer(200, DONE, **MARKED) as server:
        done = await asked(server, "lift_all", origin=None)
        await asked(server, "lift_all", origin=Origin.OPERATOR)
        await asked(server, "block", Target(user_id="zoë }x"), reason="why", force=True, duration_seconds=5.0)
    assert done.affected == 1
    bodies = [json.loads(body) for *_, body in server.came]
    assert bodies[:2] == [{"origin": "all"}, {"origin": "operator"}]
    assert bodies[2] == {"user_id": "zoë }x", "duration_seconds": 5.0, "reason": "why", "force": True}


MARKED = {"X-FraiseQL-Guard": "operator-api"}
PROBLEM = {"Content-Type": "application/problem+json"}
ELSEWHERE = "is not the guard's API"


def problem(status: int, code: str, detail: str, **members: object) -> dict[str, object]:
    return {"type": "about:blank", "title": "?", "status": status, "detail": detail, "code": code, **members}


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (problem(404, "NOT_FOUND", "there is none"), NotFoundError, "there is none"),
        (problem(409, "DANGEROUS", "is loopback", would_have_met=3), DangerousError, "is loopback"),
        (problem(409, "CONFLICT", "is in the settings"), OperatorError, "is in the settings"),
        (problem(400, "INVALID", "no such user", field="user_id"), OperatorError, "no such user"),
        (problem(503, "NOT_APPLIED", "the store does not answer"), NotAppliedError, "does not answer"),
        ({"status": 404, "detail": "there is nothing of this name"}, OperatorError, "nothing of this name"),
        ({"status": 403, "detail": "a session changes things only with"}, OperatorError, "only with"),
    ],
)
async def test_what_the_api_says_no_to_becomes_an_error_that_helps(answer, kind, text):
    error = await error_of(answer["status"], answer, **MARKED, **PROBLEM)
    assert type(error) is kind
    assert text in str(error)


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (401, "ADMIN_UNAUTHENTICATED", "FRAISEQL_GUARD_ADMIN_TOKEN"),
        (403, "BLOCKED", "refuses: 403 BLOCKED"),
        (429, "RATE_LIMITED", "asked again in"),
        (404, "PERSISTED_QUERY_NOT_FOUND", "refuses: 404"),
    ],
)
async def test_what_the_guard_before_the_api_refuses_is_told_and_never_means_no(status, code, text):
    error = await error_of(status, problem(status, code, "why"), **PROBLEM)
    assert type(error) is OperatorError
    assert text in str(error)


NOT_OURS = [
    (404, {"detail": "Not Found"}, {"Content-Type": "application/json"}, "/admin"),  # FastAPI
    (404, "Not Found", {"Content-Type": "text/plain"}, ELSEWHERE),  # Starlette
    (404, "<h1>Not found</h1>", {"Content-Type": "text/html"}, ELSEWHERE),
    (404, problem(404, "NOT_FOUND", "no order 7"), PROBLEM, ELSEWHERE),  # another app's problem
    (404, problem(404, "NOT_FOUND", "no"), MARKED, ELSEWHERE),  # no problem+json
    (404, problem(400, "NOT_FOUND", "no"), {**MARKED, **PROBLEM}, ELSEWHERE),  # its status is another one's
    (404, "[" * 200_000, {**MARKED, **PROBLEM}, ELSEWHERE),
    (409, {"detail": "taken", "would_have_met": 3}, {"Content-Type": "application/json"}, ELSEWHERE),
    (401, "", {"WWW-Authenticate": "Basic"}, "other credentials"),
    (403, "<html>a firewall", {}, "other credentials"),
    (405, {"detail": "Method Not Allowed"}, {}, ELSEWHERE),
    (418, {}, {}, ELSEWHERE),
    (429, "slow down", {}, ELSEWHERE),
    (500, {"detail": "Internal Server Error"}, {}, ELSEWHERE),
    (502, "Bad Gateway", {}, "a proxy before it reaches no worker"),
    (503, {"detail": "the store does not answer"}, {}, "a proxy before it reaches no worker"),
    (504, "", {}, "a proxy before it reaches no worker"),
    (200, "<html>", {}, ELSEWHERE),
    (200, "", {}, ELSEWHERE),
    (200, [1], {}, ELSEWHERE),
    (200, {"items": []}, {}, ELSEWHERE),  # an app that has blocks of its own
    (200, DONE, {}, ELSEWHERE),
    (204, "", {}, ELSEWHERE),
    (200, "[1]", MARKED, ELSEWHERE),
    (200, {"changed": "maybe"}, MARKED, "does not understand"),
    (302, "", {"Location": "https://login.example.org/?next=%2Fadmin"}, "sends to https://login.example.org/"),
    (308, "", {"Location": "/admin/"}, "give the right --url"),
]


@pytest.mark.parametrize(("status", "body", "headers", "text"), NOT_OURS)
async def test_what_is_not_the_guards_is_no_answer(status, body, headers, text):
    content = body.encode() if isinstance(body, str) else body
    error = await error_of(status, content, **headers)
    assert type(error) is OperatorError
    assert text in str(error)


@pytest.mark.parametrize(("status", "body", "headers", "text"), NOT_OURS)
@pytest.mark.parametrize("words", [["blocks"], ["why", "abc"], ["unblock", "203.0.113.9"], ["mode"], ["status"]])
def test_the_command_ends_with_2_for_what_is_not_the_guards(words, status, body, headers, text, monkeypatch):
    content = body.encode() if isinstance(body, str) else body
    monkeypatch.setenv(name_of("admin_token"), TOKEN)
    with peer(status, content, **headers) as server:
        ran = CliRunner().invoke(app, [*words, "--url", server.url])
    assert (ran.exit_code, ran.stdout, ran.stderr.count("\n")) == (2, "", 1), ran.output


async def test_without_the_admin_path_the_whole_url_is_suggested():
    with peer(404, {"detail": "Not Found"}) as server:
        url = server.url.removesuffix("/admin")
        remote = RemoteOperator(url, token=Secret(TOKEN))
        with pytest.raises(OperatorError, match=rf"--url {url}/admin"):
            await remote.why("abc")
        await remote.aclose()


async def test_details_of_an_error_are_kept():
    answer = problem(409, "DANGEROUS", "is loopback", would_have_met=3, field="ip_address")
    dangerous = await error_of(409, answer, **MARKED, **PROBLEM)
    assert (dangerous.would_have_met, dangerous.field) == (3, "ip_address")
    slowly = problem(429, "RATE_LIMITED", "slowly")
    assert "in 7 s" in str(await error_of(429, slowly, Retry_After="7", **PROBLEM))


async def test_a_list_without_items_is_no_empty_list():
    with peer(200, {}, **MARKED) as server, pytest.raises(OperatorError, match="a list without items"):
        await asked(server, "blocks")


async def test_an_answer_that_does_not_come_in_time_is_said_so():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = RemoteOperator(
            f"http://127.0.0.1:{silent.getsockname()[1]}/admin", token=Secret(TOKEN), timeout_seconds=0.2
        )
        with pytest.raises(OperatorError, match=r"did not answer within 0\.2 s"):
            await remote.blocks()
        await remote.aclose()


async def test_plain_http_where_tls_is_asked_for_is_said_so():
    with peer(200, DONE) as server:
        remote = RemoteOperator(server.url.replace("http:", "https:"), token=Secret(TOKEN))
        with pytest.raises(NotAppliedError, match="speaks no TLS"):
            await remote.blocks()
        await remote.aclose()


async def test_the_token_does_not_follow_a_redirect():
    with peer(200, DONE) as other:
        error = await error_of(307, b"", Location=f"{other.url}/blocks")
        assert other.came == []
    assert other.url in str(error)


async def test_an_answer_that_breaks_off_leaves_open_whether_it_was_done():
    assert "not known" in str(await error_of(0))


async def test_a_certificate_without_a_known_issuer_is_refused(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    with peer(200, DONE) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        remote = RemoteOperator(server.url.replace("http:", "https:"), token=Secret(TOKEN))
        with pytest.raises(NotAppliedError, match=r"(?i)cannot be reached.*certificate is not trusted.*SSL_CERT_FILE"):
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
