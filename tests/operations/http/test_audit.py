"""Every route that changes something leaves its line, asked by token and by the console's session; so does a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import fraiseql_guard.operations.http
from fraiseql_guard.core import signals
from fraiseql_guard.operations.http.routes import ROUTES
from fraiseql_guard.operations.operator.routes import BESIDE, CHANGES
from tests.operations.http.conftest import Api, felt

ADDRESS, DIGEST, LASTS = "203.0.113.9", "ab" * 32, {"duration_seconds": 60}
CASES: dict[tuple[str, str], tuple[Any, str, str]] = {
    ("POST", "/blocks"): ({"ip_address": ADDRESS}, "", "block"),
    ("DELETE", "/blocks"): (None, f"ip_address={ADDRESS}", "lift"),
    ("POST", "/lift"): ({}, "", "lift_all"),
    ("DELETE", "/lockouts"): (None, "identifier=ada", "unlock"),
    ("POST", "/rate-limits"): ({"user_id": "ada", "limit": "9/minute"}, "", "set_limit"),
    ("DELETE", "/rate-limits"): (None, "user_id=ada", "clear_limit"),
    ("POST", "/allow-list"): ({"ip_address": ADDRESS}, "", "allow"),
    ("DELETE", "/allow-list"): (None, f"ip_address={ADDRESS}", "disallow"),
    ("PUT", "/mode"): ({"mode": "monitor", **LASTS}, "", "switch"),
    ("DELETE", "/mode"): (None, "", "unswitch"),
    ("PUT", "/settings"): ({"variable": "FRAISEQL_MAX_QUERY_DEPTH", "value": "9", **LASTS}, "", "switch"),
    ("DELETE", "/settings"): (None, "variable=FRAISEQL_MAX_QUERY_DEPTH", "unswitch"),
    ("PUT", "/document-blocks"): ({"document": DIGEST, **LASTS}, "", "switch"),
    ("DELETE", "/document-blocks"): (None, f"document={DIGEST}", "unswitch"),
    ("PUT", "/operation-blocks"): ({"operation": "Export", **LASTS}, "", "switch"),
    ("DELETE", "/operation-blocks"): (None, "operation=Export", "unswitch"),
    ("POST", "/gc"): (None, "", "collect_garbage"),
    ("POST", "/caches/clear"): (None, "", "clear_caches"),
    ("POST", "/sockets/close"): ({"user_id": "ada"}, "", "close_sockets"),
    ("POST", "/sockets/drain"): ({}, "", "drain_sockets"),
    ("POST", "/documents"): ({"text": "{held}", "id": "held"}, "", "trust"),
    ("DELETE", "/documents"): (None, "id=held", "distrust"),
}
"""By route: its body, its query, and the change that it makes."""
SESSIONS = {("POST", "/session"), ("DELETE", "/session")}
CONSOLE = Path(fraiseql_guard.operations.http.__file__).parent / "console"


def test_every_route_that_changes_something_is_tried_and_every_change_has_a_route():
    assert set(CASES) | SESSIONS == {(route.method, route.path) for route in ROUTES if route.method != "GET"}
    assert {change for _, _, change in CASES.values()} == set(CHANGES)


def test_the_console_changes_nothing_but_by_these_routes():
    asked = "".join(file.read_text(encoding="utf-8") for file in CONSOLE.glob("*.js"))
    changes = set(re.findall(r'change\("([A-Z]+)", "([a-z/-]+)"', asked))
    assert len(changes) >= 7
    assert {(method, f"/{path}") for method, path in changes} <= set(CASES) | SESSIONS
    assert len(re.findall(r"\bfetch\(", asked)) == 1, "there is one place that asks"


def audited(api: Api) -> list[dict[str, Any]]:
    return [line for line in api.guard.lines() if line["event"].startswith("admin.")]


@pytest.mark.parametrize("way", ["token", "session"])
async def test_every_change_leaves_its_line(way: str, api: Api):
    more: dict[str, Any] = {}
    if way == "session":
        opened = await api("POST", "/session")
        cookie = opened.header("set-cookie").partition(";")[0]
        more = {"token": None, "headers": {"cookie": cookie, "x-csrf-token": opened.json["csrf_token"]}}
        assert [line["event"] for line in audited(api)] == [signals.ADMIN_LOGIN.name]
    for (method, path), (body, query, change) in CASES.items():
        before = len(audited(api))
        await api.done(method, path, body, query=query, **more)
        (line,) = audited(api)[before:]
        assert (line["event"], line["context"]["actor"]) == (CHANGES[change].name, "alice"), (method, path)


async def test_the_overrides_file_leaves_its_line(serve: Any, tmp_path: Path):
    path = tmp_path / "overrides.yaml"
    path.write_text("blocks: [{ip: 203.0.113.0/24}]\n")
    api = serve(overrides_file=path)
    assert await felt(403, api.guard, client=("203.0.113.9", 1))
    path.write_text("blocks: []\n")
    assert await felt(200, api.guard, client=("203.0.113.9", 1))
    named = BESIDE["overrides file"].name
    added, removed = [line["context"] for line in api.guard.lines(named)]
    assert (added["actor"], added["added"], added["file"]) == ("overrides file", ["block 203.0.113.0/24"], str(path))
    assert (removed["removed"], removed["in_force"]) == (["block 203.0.113.0/24"], 0)
