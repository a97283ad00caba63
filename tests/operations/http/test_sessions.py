"""Sessions of the console: a cookie in place of the token, of use only to the browser that has it."""

import itertools
import re

import pytest

from fraiseql_guard.operations.http.sessions import COOKIE, SECURE_COOKIE, Principal, Session, Sessions
from fraiseql_guard.testing import ManualClock, make_token
from tests.operations.http.conftest import BOBS, OPERATORS_ADDRESS, TOKEN, TOKENS
from tests.support.asgi import LOOPBACK

BLOCK = {"ip_address": "203.0.113.9"}


async def opened(api, **more):
    reply = await api("POST", "/session", **more)
    assert reply.status == 200, reply.body
    cookie = reply.header("set-cookie")
    return reply.json, cookie, {"cookie": f"theme=dark; {cookie.partition(';')[0]}; x=1"}


async def test_a_session_is_opened_with_the_token_and_told(serve) -> None:
    api = serve()
    session, _, _ = await opened(api)
    assert session["actor"] == "alice"
    assert 8 * 3600 - 60 < session["expires_in_seconds"] <= 8 * 3600  # it counts down from the first moment
    assert api.guard.lines("admin.login")[0]["context"] == {"actor": "alice", "ip_address": OPERATORS_ADDRESS[0]}


async def test_the_cookie_of_a_session_holds_no_token_and_stays_here(serve) -> None:
    _, cookie, _ = await opened(serve())
    assert TOKEN not in cookie
    assert cookie.startswith("__Host-")
    assert cookie.partition(";")[2] == " Path=/; Max-Age=28800; HttpOnly; SameSite=Strict; Secure"


async def test_a_session_stands_for_the_token(serve) -> None:
    api = serve()
    session, _, headers = await opened(api)
    seen = await api.done("GET", "/session", token=None, headers=headers)
    assert (seen["actor"], seen["csrf_token"]) == ("alice", session["csrf_token"])
    assert await api.items("/blocks", token=None, headers=headers) == []
    changing = {**headers, "x-csrf-token": session["csrf_token"]}
    await api.done("POST", "/blocks", BLOCK, token=None, headers=changing)
    assert (await api.items("/blocks"))[0]["actor"] == "alice"


@pytest.mark.parametrize("csrf", [None, "", "x", "é"])
async def test_a_change_by_cookie_alone_is_refused(serve, csrf) -> None:
    api = serve()
    session, _, headers = await opened(api)
    _, _, bobs = await opened(api, token=BOBS)
    other = await api.done("GET", "/session", token=None, headers=bobs)
    for wrong in ({} if csrf is None else {"x-csrf-token": csrf}, {"x-csrf-token": other["csrf_token"]}):
        problem = await api.refused(403, "POST", "/blocks", BLOCK, token=None, headers={**headers, **wrong})
        assert "X-CSRF-Token" in problem["detail"]
    assert await api.items("/blocks") == []
    assert session["csrf_token"] not in headers["cookie"]


async def test_over_loopback_http_the_cookie_need_not_be_secure(serve) -> None:
    api = serve()
    _, plain, _ = await opened(api, client=LOOPBACK)
    assert plain.startswith(f"{COOKIE}=")
    assert plain.partition(";")[2] == " Path=/admin; Max-Age=28800; HttpOnly; SameSite=Strict"
    for more in ({"client": LOOPBACK, "headers": {"x-forwarded-proto": "https"}}, {}):
        _, secure, _ = await opened(api, **more)
        assert secure.startswith(f"{SECURE_COOKIE}=")
        assert secure.endswith("; Secure")
        assert "Domain" not in secure


async def test_each_connection_accepts_the_cookie_of_its_own_kind_alone(serve) -> None:
    api = serve(rate_limit_default="100000/minute")
    _, cookie, _ = await opened(api)
    value = cookie.partition(";")[0].partition("=")[2]
    proxied = {"client": LOOPBACK, "headers": {"via": "1.1 proxy"}}
    names = (COOKIE, SECURE_COOKIE, SECURE_COOKIE.lower(), f"__Secure-{COOKIE}", f"{SECURE_COOKIE}2")
    for name, (more, right) in itertools.product(names, (({}, SECURE_COOKIE), (proxied, SECURE_COOKIE),
                                                        ({"client": LOOPBACK}, COOKIE))):  # fmt: skip
        headers = {**more.get("headers", {}), "cookie": f"{name}={value}"}
        reply = await api("GET", "/blocks", token=None, **{**more, "headers": headers})
        assert reply.status == (200 if name == right else 401)


async def test_a_cookie_of_another_name_beside_it_changes_nothing(serve) -> None:
    api = serve()
    _, _, headers = await opened(api)
    forged = {"cookie": f"{COOKIE}=forged; {headers['cookie']}"}
    assert (await api("GET", "/blocks", token=None, headers=forged)).status == 200


async def test_logging_out_forgets_the_cookie(serve) -> None:
    api = serve()
    session, _, headers = await opened(api)
    reply = await api("DELETE", "/session", token=None, headers={**headers, "x-csrf-token": session["csrf_token"]})
    assert reply.header("set-cookie").startswith(f"{SECURE_COOKIE}=; Path=/; Max-Age=0; HttpOnly")


async def test_no_session_opens_another(serve) -> None:
    api = serve()
    session, _, headers = await opened(api)
    headers["x-csrf-token"] = session["csrf_token"]
    await api.refused(400, "POST", "/session", token=None, headers=headers)


async def test_a_cookie_that_is_not_ours_is_no_session(serve) -> None:
    api = serve(rate_limit_default="100000/minute")
    _, _, headers = await opened(api)
    value = re.search(rf"{SECURE_COOKIE}=([^;]+)", headers["cookie"])[1]
    body, _, signature = value.partition(".")
    for wrong in (
        body,
        f"{body}.",
        f".{signature}",
        f"{body}.{signature[:-1]}",
        f"{body[:-1]}.{signature}",
        "x",
        "",
        "." * 5000,
    ):
        assert (await api("GET", "/blocks", token=None, headers={"cookie": f"{SECURE_COOKIE}={wrong}"})).status == 401
    twice = {"cookie": f"{SECURE_COOKIE}={value}; {SECURE_COOKIE}={value}"}
    assert (await api("GET", "/blocks", token=None, headers=twice)).status == 401
    assert (await api("GET", "/blocks", token="wrong", headers=headers)).status == 401, "a header decides alone"
    assert not any(line["context"]["presented"] for line in api.guard.lines("admin.login_failed")[:-1])


async def test_every_worker_knows_it_and_other_tokens_end_it(serve) -> None:
    _, _, headers = await opened(serve())
    assert (await serve()("GET", "/blocks", token=None, headers=headers)).status == 200
    assert (await serve(admin_tokens=f"alice={TOKEN}")("GET", "/blocks", token=None, headers=headers)).status == 401


def test_a_session_ends_after_eight_hours_or_with_its_token() -> None:
    clock = ManualClock()
    sessions = Sessions(lambda: TOKENS, "/admin", clock=clock)
    for until, seconds in ((None, 8 * 3600.0), (clock() + 60.0, 60.0), (clock() + 1e9, 8 * 3600.0)):
        principal = Principal(actor="alice", address="", session=Session(actor="alice"), until=until)
        session, header = sessions.open(principal, secure=True)
        cookie = header.decode().partition(";")[0].partition("=")[2]
        assert session.expires_in_seconds == seconds
        clock.advance(seconds - 1)
        assert sessions.verify(cookie, "203.0.113.1").actor == "alice"
        clock.advance(1)
        assert sessions.verify(cookie, "203.0.113.1") is None
        clock.advance(-seconds)


async def test_without_tokens_there_is_no_session(serve, secret) -> None:
    api = serve(admin_tokens=None, admin_scope="ops", jwt_secret=secret)
    problem = await api.refused(400, "POST", "/session", token=make_token(secret, sub="carol", scope="ops"))
    assert "FRAISEQL_GUARD_ADMIN_TOKENS" in problem["detail"]
