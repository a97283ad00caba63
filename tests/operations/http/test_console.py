"""The console's files: the same for every visitor, strict, and the only thing that needs no token."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import fraiseql_guard.operations.http
from fraiseql_guard.core.signals import WITH_MODE, Protection
from tests.operations.http.conftest import OPERATORS_ADDRESS, Api, felt
from tests.support.asgi import graphql

FOLDER = Path(fraiseql_guard.operations.http.__file__).parent / "console"
PATHS = ["/", *(f"/{file.name}" for file in sorted(FOLDER.iterdir()) if file.suffix != ".html")]


@pytest.fixture
def api(serve: Any) -> Api:
    return serve()


async def test_the_path_leads_to_the_page(api: Api):
    reply = await api("GET", "", token=None)
    assert (reply.status, reply.header("location"), reply.body) == (308, "admin/", b"")
    page = await api("GET", "/", token=None)
    assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
    assert (await api("HEAD", "/", token=None)).body == b""
    assert api.guard.metric("fraiseql_http_requests_total", endpoint="/admin/", status="200") == 2


@pytest.mark.parametrize("path", PATHS)
async def test_every_file_comes_with_the_strict_policy(path: str, api: Api):
    reply = await api("GET", path, token=None)
    assert reply.status == 200
    policy = dict(each.partition(" ")[::2] for each in reply.header("content-security-policy").split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert reply.header("x-content-type-options") == "nosniff"
    assert reply.header("referrer-policy") == "no-referrer"
    assert reply.header("cache-control") == "no-store"


async def test_who_shows_a_token_gets_the_very_same_files(api: Api):
    for path in PATHS:
        assert (await api("GET", path)).body == (await api("GET", path, token=None)).body


async def test_everything_else_still_needs_a_token(api: Api):
    assert (await api("POST", "/", token=None)).status == 401
    for path in ("//", "/index.html", "/../console.js", "/status", "/console"):
        assert (await api("GET", path, token=None)).status == 401, path


async def test_no_limit_stands_between_an_operator_and_the_page(serve: Any):
    api = serve(rate_limit_default="2/hour", rate_limit_burst=0)
    statuses = [(await graphql(api.guard, "{me{id}}", client=OPERATORS_ADDRESS)).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert [(await api("GET", path, token=None)).status for path in PATHS] == [200] * len(PATHS)


async def test_an_operator_whose_address_is_blocked_can_still_log_in(api: Api):
    await api.done("POST", "/blocks", {"ip_address": "198.51.100.200", "force": True})
    assert await felt(403, api.guard, client=OPERATORS_ADDRESS)
    assert (await api("GET", "/", token=None)).status == 200
    assert (await api("POST", "/session")).status == 200
    assert (await api("GET", "/status", token=None)).status == 403


async def test_looking_does_not_show_in_what_is_looked_at(api: Api):
    await graphql(api.guard, "{me{id}}")
    for _ in range(50):
        await api.done("GET", "/status")
        await api("GET", "/", token=None)
        problem = await api.refused(409, "POST", "/blocks", {"ip_address": "0.0.0.0/0"})
        if problem["would_have_met"]:
            break
        await asyncio.sleep(0.1)
    assert problem["detail"].endswith("it would have met 1 of the last 1 requests")


async def test_without_tokens_there_can_be_no_session_and_no_page(serve: Any):
    api = serve(admin_tokens=None, admin_scope="guard:operate", jwt_secret="s" * 32)
    assert (await api("GET", "/", token=None)).status == 401


def test_the_files_load_nothing_from_elsewhere_and_make_no_markup():
    for file in FOLDER.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|@import|url\(", text), file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text), file.name
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page)


def test_the_form_that_only_watches_offers_what_has_a_mode():
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    offered = re.findall(r'<option value="([a-z_]+)">', page)
    assert offered == ["all", *(each.value for each in WITH_MODE)]


def test_the_header_knows_what_has_a_mode():
    board = (FOLDER / "board.js").read_text(encoding="utf-8")
    (listed,) = re.findall(r"WITH_MODE = new Set\(\[(.*)\]\)", board)
    assert re.findall(r'"([a-z_]+)"', listed) == [each.value for each in WITH_MODE]


def test_every_protection_has_a_title_among_the_charts():
    series = (FOLDER / "series.js").read_text(encoding="utf-8")
    assert re.findall(r'"refusals:([a-z_]+)":', series) == [each.value for each in Protection]
