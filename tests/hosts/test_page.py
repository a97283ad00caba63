"""docs/hosts.md says what is so: its examples are the files, its order works, and its messages are really said."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Mount

from fraiseql_guard import SettingsError
from fraiseql_guard.asgi import startup_warnings
from fraiseql_guard.graphql.cost.schema import load_schema
from tests.conftest import SECRET
from tests.hosts.serving import client_of, lifespan
from tests.hosts.table import HOSTS, IN_PROCESS, Host, parameters
from tests.hosts.test_orders import PREFLIGHT, ask
from tests.hosts.test_prefixes import starlette_mount
from tests.hosts.test_starts import bare_strawberry, sentences
from tests.support.asgi import EchoApp, graphql
from tests.support.pages import ROOT, blocks
from tests.support.ports import free_port

PAGE = "docs/hosts.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
EXAMPLES = ROOT / "examples" / "hosts"
LONGEST_SECONDS = 60


def file_of(host: Host) -> Path:
    return EXAMPLES / f"{host.name}.py"


def test_every_example_stands_on_the_page_whole() -> None:
    *shown, _order = blocks(PAGE)
    files = {path.stem: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py") if path.stem != "__init__"}
    assert shown == [files[host.name] for host in sorted(HOSTS, key=lambda host: shown.index(files[host.name]))]
    assert files.keys() == {host.name for host in HOSTS}


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_an_example_is_short_enough_to_be_read(host: Host) -> None:
    assert 20 <= len(file_of(host).read_text(encoding="utf-8").splitlines()) <= 65


def test_every_host_of_the_table_has_its_section() -> None:
    rows = re.findall(r"^\| \[([^]]+)\]\(#([a-z-]+)\) \|", TEXT, re.MULTILINE)
    titles = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert [name for name, _ in rows] == [title for title in titles if title in dict(rows)]
    assert len(rows) == len(HOSTS)


async def test_the_order_of_the_page_lets_pages_read_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAISEQL_JWT_SECRET", SECRET)
    (order,) = [block for block in blocks(PAGE) if "CORSMiddleware" in block]
    names: dict[str, Any] = {}
    exec(compile(order, PAGE, "exec"), names)
    async with lifespan(names["app"]), client_of(names["app"]) as client:
        preflight = await client.options("/graphql", headers=PREFLIGHT)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "https://app.example")
        refused = await ask(client)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example")
        assert "retry-after" in refused.headers["access-control-expose-headers"].lower()


SERVED = tuple(host for host in IN_PROCESS if host.name in ("starlette_app", "django_app"))
"""One that needs nothing, and the one whose settings are its process's."""


@pytest.mark.parametrize("host", parameters(SERVED))
def test_an_example_is_served_as_the_page_says(host: Host, tmp_path: Path) -> None:
    (typed,) = (block for block in blocks(PAGE, "sh") if block.startswith("uvicorn"))
    shutil.copy(file_of(host), tmp_path / "main.py")
    port = free_port()
    words = shlex.split(typed.replace("main:app", f"main:{host.app}"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FRAISEQL_GUARD_LOG_FILE": str(tmp_path / "guard.log")}
    server = subprocess.Popen(
        [sys.executable, "-m", *words, "--port", str(port)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert _first_answer(port, server).json() == {"data": {"whoami": "anonymous"}}
    finally:
        server.terminate()
        _, said = server.communicate(timeout=LONGEST_SECONDS)
    assert b"Application shutdown complete" in said
    assert b"lifespan" not in said


def _first_answer(port: int, server: subprocess.Popen[bytes]) -> httpx.Response:
    ends_at = time.monotonic() + LONGEST_SECONDS
    while True:
        try:
            asked = {"query": "{ whoami }"}
            return httpx.post(f"http://localhost:{port}/graphql", json=asked, trust_env=False, timeout=LONGEST_SECONDS)
        except httpx.ConnectError:
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < ends_at
            time.sleep(0.05)


def messages() -> list[str]:
    """The first column of the table of messages."""
    table = TEXT.partition("## What goes wrong")[2]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


async def _said_by(app: Any, log: Path) -> list[str]:
    async with lifespan(app), client_of(app) as client:
        await client.post("/api/graphql", json={"query": "{ whoami }"})
    return sentences(log)


async def _careless(scope: Any, receive: Any, send: Any) -> None:
    """Takes every scope for a request's."""
    await JSONResponse(scope["path"])(scope, receive, send)


async def _of_starts(guarded: Callable[..., Any], log: Path) -> list[str]:
    """What the starts of apps say in which something is in the wrong place."""
    from litestar import Litestar, asgi, post
    from litestar.middleware import DefineMiddleware

    from fraiseql_guard import Guard

    async def page() -> str:
        return "a page"

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await bare_strawberry()(scope, receive, send)

    mounted.__annotations__ = dict.fromkeys(("scope", "receive", "send"), Any) | {"return": None}
    mount = Guard(Litestar([asgi("/graphql", is_mount=True, copy_scope=True)(mounted)]))
    inside = Starlette()
    inside.add_middleware(CORSMiddleware)
    inside.add_middleware(GZipMiddleware)
    middleware = [DefineMiddleware(Guard)]
    of_litestar = Litestar([post("/api/graphql", media_type="text/plain")(page)], middleware=middleware)
    at_the_root = Guard(Starlette(routes=[Mount("/", bare_strawberry())]))
    monitored = Guard(bare_strawberry(), mode="monitor")
    for app in (starlette_mount(), at_the_root, monitored, mount, Guard(inside), of_litestar, Guard(_careless)):
        await _said_by(app, log)
    guard = guarded(EchoApp(), schema="type Query { people: [Person!]! } type Person { name: String }")
    await graphql(guard, "{ people { name } }")
    elsewhere = await graphql(guarded(bare_strawberry()), "{ name }", path="/")
    return [
        elsewhere.json["detail"],
        *sentences(log),
        *(line["context"]["detail"] for line in guard.lines("guard.configuration")),
    ]


def _of_schemas() -> list[str]:
    from fastapi import FastAPI

    found = []
    for source in (FastAPI(), "main:schema", "{ people { name } }"):
        with pytest.raises(SettingsError) as raised:
            load_schema(source)
        found.append(str(raised.value))
    return found


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Strawberry is tried on Python 3.13")
async def test_every_message_of_the_page_is_said(
    guarded: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "starts.log"
    monkeypatch.setenv("FRAISEQL_GUARD_LOG_FILE", str(log))
    monkeypatch.setattr(startup_warnings, "takes_largest_messages", lambda: True)  # as under uvicorn
    said = [*await _of_starts(guarded, log), *_of_schemas()]
    assert len(messages()) > 10
    assert [message for message in messages() if not any(each.startswith(message) for each in said)] == []
