"""Who gets in, what everybody else learns (nothing) and pays, and that nothing stops a right token."""

import hmac

import pytest

from fraiseql_guard import RateLimitMiddleware, SettingsError
from fraiseql_guard.core.secret import Secret
from fraiseql_guard.operations.http.routes import ROUTES
from fraiseql_guard.operations.http.tokens import AdminTokens
from fraiseql_guard.testing import make_token
from tests.operations.http.conftest import BOBS, OPERATORS_ADDRESS, TOKEN, TOKENS
from tests.support.asgi import EchoApp, graphql, request
from tests.support.redis_server import RedisServer

WRONG = TOKEN[:-1] + "x"
PATHS = ["/blocks", "/nothing", "/openapi.json", "/session", "/refusals/x", "/../graphql", "//blocks"]


# --- no operator -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", PATHS)
async def test_without_a_token_everything_looks_alike(serve, method, path) -> None:
    api = serve(cors_origins="https://evil.example")
    reply = await api(method, path, token=None, headers={"origin": "https://evil.example"})
    assert reply.status == 401
    names = {name for name, _ in reply.headers if not name.startswith((b"x-ratelimit", b"ratelimit"))}
    expected = "content-type content-length cache-control x-request-id www-authenticate x-content-type-options"
    assert names == {name.encode() for name in expected.split()}
    assert reply.header("www-authenticate") == "Bearer"
    if method == "HEAD":
        assert reply.body == b""
        return
    problem = reply.json
    assert len(problem.pop("requestId")) == 32
    assert problem == {
        "type": "about:blank",
        "title": "Authentication is required or the token was not accepted.",
        "status": 401,
        "code": "ADMIN_UNAUTHENTICATED",
    }
    assert api.guard.app.scopes == []


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {WRONG}",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN} x",
        "Bearer \xff\xfe",
        "Bearer alice",
    ],
)
async def test_what_is_not_exactly_a_token_is_none(serve, authorization) -> None:
    assert (await serve()("GET", "/blocks", token=None, headers={"authorization": authorization})).status == 401


async def test_two_authorization_headers_are_none(serve) -> None:
    lines = [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")]
    assert (await serve()("GET", "/blocks", token=None, headers=lines)).status == 401


async def test_a_token_in_the_query_is_none(serve) -> None:
    assert (await serve()("GET", "/blocks", token=None, query=f"access_token={TOKEN}&token={TOKEN}")).status == 401


@pytest.mark.parametrize("name", ["alice", "bob"])
async def test_the_tokens_name_is_the_actor(serve, name) -> None:
    api = serve()
    await api.done("POST", "/gc", token={"alice": TOKEN, "bob": BOBS}[name])
    assert (await api.items("/actions"))[0]["actor"] == name


def test_every_token_is_compared_whichever_matches_in_constant_time(monkeypatch) -> None:
    compared = []
    monkeypatch.setattr(
        hmac, "compare_digest", lambda one, other: compared.append((len(one), len(other))) or one == other
    )
    tokens = AdminTokens(Secret(TOKENS))
    for given, actor in ((TOKEN, "alice"), (BOBS, "bob"), ("", None), ("x" * 5000, None), ("\ud800", None)):
        compared.clear()
        assert tokens.actor(given) == actor
        assert compared == [(32, 32)] * 2


def test_exchanged_tokens_are_read_again(tmp_path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"alice={TOKEN}\n")
    now = [0.0]
    tokens = AdminTokens(Secret(path=path, clock=lambda: now[0]))
    assert (tokens.actor(TOKEN), tokens.actor(BOBS)) == ("alice", None)
    path.write_text(f"bob={BOBS}\ncarol={WRONG}\n")
    now[0] = 6.0
    assert (tokens.actor(TOKEN), tokens.actor(BOBS), tokens.actor(WRONG)) == (None, "bob", "carol")


# --- wrong tokens pay ------------------------------------------------------------------------------------------------


@pytest.fixture
async def guessed(serve):
    """An API at which so many wrong tokens were tried that there is no room for more: ten tokens each of 120."""
    api = serve()
    assert [(await api("GET", "/blocks", token=WRONG)).status for _ in range(13)] == [401] * 12 + [429]
    return api


async def test_wrong_tokens_slow_their_address_and_no_right_token(guessed) -> None:
    assert (await guessed("GET", "/blocks", token=None)).status == 429
    assert (await guessed("GET", "/blocks", token=TOKEN)).status == 200


async def test_wrong_tokens_are_counted(guessed) -> None:
    metric = guessed.guard.metric
    assert metric("fraiseql_guard_refusals_total", code="ADMIN_UNAUTHENTICATED", protection="admin") == 12
    assert metric("fraiseql_http_requests_total", endpoint="/admin", status="401") == 12


async def test_wrong_tokens_are_told_and_not_written(guessed) -> None:
    api = guessed
    line = api.guard.lines("admin.login_failed")[0]
    assert line["level"] == "WARNING"
    assert line["context"]["ip_address"] == OPERATORS_ADDRESS[0]
    assert line["context"]["presented"] is True
    assert WRONG not in str(api.guard.lines())


async def test_guessing_is_brute_force(serve, secret) -> None:
    api = serve(jwt_secret=secret, brute_force_offences=3, rate_limit_default="100000/minute")
    assert [(await api("GET", "/x", token=WRONG)).status for _ in range(4)] == [401, 401, 401, 403]
    assert len(api.guard.lines("security.brute_force_detected")) == 1
    assert (await api("GET", "/status", token=TOKEN)).status == 200


async def test_looking_without_a_token_is_no_offence(serve, secret) -> None:
    api = serve(jwt_secret=secret, brute_force_offences=3, rate_limit_default="100000/minute")
    assert {(await api("GET", "/x", token=None)).status for _ in range(6)} == {401}
    assert api.guard.lines("admin.login_failed")[0]["context"]["presented"] is False


async def test_monitor_mode_opens_nothing(serve) -> None:
    api = serve(mode="monitor")
    assert (await api("GET", "/blocks", token=WRONG)).status == 401
    assert (await api("GET", "/blocks")).status == 200


# --- nothing stops a right one ---------------------------------------------------------------------------------------


async def test_a_right_token_is_not_counted(serve) -> None:
    api = serve(rate_limit_default="1/hour", rate_limit_burst=0)
    replies = [await api("GET", "/blocks") for _ in range(30)]
    assert {reply.status for reply in replies} == {200}
    assert replies[0].header("x-ratelimit-limit") is None


async def test_a_right_token_works_from_a_blocked_address(serve) -> None:
    api = serve()
    await api.done("POST", "/blocks", {"ip_address": OPERATORS_ADDRESS[0], "force": True})
    await api.guard.heard()
    assert (await graphql(api.guard, "{me{id}}", client=OPERATORS_ADDRESS)).status == 403
    assert (await api("GET", "/blocks", token=WRONG)).status == 403
    await api.done("DELETE", "/blocks", query=f"ip_address={OPERATORS_ADDRESS[0]}")


@pytest.mark.redis
async def test_a_right_token_is_answered_in_an_outage(serve) -> None:
    with RedisServer() as server:
        api = serve(redis_url=server.url, on_store_failure="closed", store_timeout_ms=200)
        await api.done("GET", "/status")
        server.kill()
        status = await api.done("GET", "/status")
        assert (status["store"], status["store_answers"]) == ("redis", False)
        assert "does not answer" in status["notes"][0]
        assert len(await api.items("/config")) > 50
        for method, path, body in (
            ("POST", "/blocks", {"ip_address": "203.0.113.9"}),
            ("DELETE", "/blocks", None),
            ("PUT", "/mode", {"mode": "monitor", "duration_seconds": 60}),
            ("POST", "/gc", None),
        ):
            reply = await api(method, path, body, query="ip_address=203.0.113.9" if method == "DELETE" else "")
            assert (reply.status, reply.header("retry-after")) == (503, "1"), reply.body
            assert "nothing was changed" in reply.json["detail"]
        assert api.guard.lines("admin.block") == []


# --- a scope ---------------------------------------------------------------------------------------------------------


async def test_a_verified_token_with_the_scope_is_an_operator(serve, secret) -> None:
    api = serve(admin_tokens=None, admin_scope="guard:operate", jwt_secret=secret)
    right = make_token(secret, sub="carol", scope="read guard:operate")
    await api.done("POST", "/gc", token=right)
    assert (await api.items("/actions", token=right))[0]["actor"] == "user:carol"
    for wrong in (
        make_token(secret, sub="carol", scope="guard:operated"),
        make_token(secret, sub="carol"),
        make_token(secret, sub="carol", scope="guard:operate", expires_in_seconds=-60),
        make_token("another-secret-of-at-least-thirty-two-bytes", sub="carol", scope="guard:operate"),
        TOKEN,
    ):
        assert (await api("GET", "/status", token=wrong)).status == 401


async def test_without_the_setting_a_scope_opens_nothing(serve, secret) -> None:
    api = serve(jwt_secret=secret)
    assert (await api("GET", "/status", token=make_token(secret, sub="carol", scope="guard:operate"))).status == 401


def test_a_scope_without_a_key_stops_the_start(guarded) -> None:
    with pytest.raises(SettingsError, match=r"FRAISEQL_GUARD_ADMIN_SCOPE='guard:operate' needs a key"):
        guarded(admin_scope="guard:operate")


# --- where it stands -------------------------------------------------------------------------------------------------


async def test_without_tokens_and_scope_the_path_is_the_apps(guarded) -> None:
    guard = guarded()
    assert (await request(guard, "GET", "/admin/blocks")).json == {"data": {"ok": True}}
    with pytest.raises(SettingsError, match="FRAISEQL_GUARD_ADMIN_TOKENS"):
        guard.guard.admin_app()


@pytest.mark.parametrize(
    "path",
    ["/admin", "/admin/", "//admin/blocks", "/./admin/blocks", "/x/../admin/blocks", "/admin;v=1/blocks",
     "/%61dmin/blocks", "/%2561dmin", "/admin/../graphql", "/graphql/../admin/blocks",
     "\\admin\\blocks", "/admin/%2e%2e/graphql"],
)  # fmt: skip
async def test_however_it_is_written_the_path_never_reaches_the_app(serve, path) -> None:
    api = serve()
    assert (await request(api.guard, "POST", path, body=b"{}")).status == 401
    inside = await request(api.guard, "POST", path, body=b"{}", token=TOKEN)
    assert inside.status in (400, 404)  # POST /blocks misses a field; all the others lead nowhere
    assert api.guard.app.scopes == []


@pytest.mark.parametrize("path", ["/administration", "/admins/x", "/x/admin", "/adminx"])
async def test_other_paths_are_the_apps(serve, path) -> None:
    api = serve()
    assert (await request(api.guard, "GET", path)).status == 200


async def test_another_path(serve) -> None:
    api = serve(admin_path="/ops/guard/")
    assert (await request(api.guard, "GET", "/ops/guard/blocks", token=TOKEN)).status == 200
    assert (await request(api.guard, "GET", "/admin/blocks", token=TOKEN)).json == {"data": {"ok": True}}
    assert (
        "/ops/guard/blocks" in (await request(api.guard, "GET", "/ops/guard/openapi.json", token=TOKEN)).json["paths"]
    )


@pytest.mark.parametrize("path", ["/", "", "admin", "/a b", "/admin/../x", "/ädmin", "/admin?x"])
def test_an_unusable_path_stops_the_start(guarded, path) -> None:
    if path == "":
        return  # an empty variable counts as unset
    with pytest.raises(SettingsError, match="admin_path="):
        guarded(admin_tokens=TOKENS, admin_path=path)


@pytest.mark.parametrize(
    "tokens",
    ["alice", f"{TOKEN}", "alice=short", f"alice={TOKEN},alice={BOBS}", f"alice={TOKEN},bob={TOKEN}", f"a b={TOKEN}",
     f"={TOKEN}", f"alice={'é' * 40}", f"user:x={TOKEN}"],
)  # fmt: skip
def test_unusable_tokens_stop_the_start_and_are_not_shown(guarded, tokens) -> None:
    with pytest.raises(SettingsError) as error:
        guarded(admin_tokens=tokens)
    assert "admin_tokens=(secret)" in str(error.value)
    assert TOKEN not in str(error.value)


async def test_mounted_under_a_prefix(serve) -> None:
    api = serve()
    reply = await request(_with_root(api.guard), "GET", "/v1/admin/blocks", token=TOKEN)
    assert reply.status == 200


def _with_root(guard):
    async def app(scope, receive, send):
        await guard({**scope, "root_path": "/v1"}, receive, send)

    return app


async def test_a_port_of_its_own_takes_it_off_the_apps(serve) -> None:
    api = serve()
    admin = api.guard.guard.admin_app()
    assert (await request(admin, "GET", "/admin/blocks", token=TOKEN)).status == 200
    assert (await request(admin, "GET", "/elsewhere", token=TOKEN)).status == 404
    assert (await request(admin, "GET", "/elsewhere")).status == 401
    assert (await request(admin, "GET", "/graphql", token=WRONG)).status == 401
    assert (await request(api.guard, "GET", "/admin/blocks", token=TOKEN)).json == {"data": {"ok": True}}
    body = b'{"ip_address":"203.0.113.7"}'
    await request(admin, "POST", "/admin/blocks", body=body, token=TOKEN, client=OPERATORS_ADDRESS)
    await api.guard.heard()
    assert (await graphql(api.guard, "{me{id}}")).status == 403
    assert api.guard.metric("fraiseql_http_requests_total", endpoint="/admin/blocks", status="200") == 2


async def test_the_lifespan_of_a_port_of_its_own(serve) -> None:
    admin, sent = serve().guard.guard.admin_app(), []
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message["type"])

    await admin({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("apart", [False, True])
async def test_sockets_are_refused(serve, apart) -> None:
    api, sent = serve(), []

    async def send(message):
        sent.append(message)

    app = api.guard.guard.admin_app() if apart else api.guard
    scope = {"type": "websocket", "path": "/admin/live", "headers": [], "client": OPERATORS_ADDRESS}
    await app(scope, None, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert api.guard.app.scopes == []


async def test_single_protections_do_not_serve_it(guarded) -> None:
    guard = guarded(EchoApp(), middleware=RateLimitMiddleware, admin_tokens=TOKENS)
    assert (await request(guard, "GET", "/admin/blocks", token=TOKEN)).json == {"data": {"ok": True}}


async def test_the_endpoint_label_is_the_routes(serve) -> None:
    api = serve()
    for path in ("/refusals/abc", "/refusals/def", "/no/such", "/blocks"):
        await api("GET", path)
    for endpoint, status, count in (
        ("/admin/refusals/{request_id}", "404", 2),
        ("/admin", "404", 1),
        ("/admin/blocks", "200", 1),
    ):
        assert api.guard.metric("fraiseql_http_requests_total", endpoint=endpoint, status=status) == count


def test_the_table_has_every_route_once() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
