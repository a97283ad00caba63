"""The guides have one shape and name everything that the code has; what they show and a runner of blocks cannot try is
tried here, on real parts."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from fraiseql_guard.cli import app as command
from fraiseql_guard.core import signals as s
from fraiseql_guard.core.settings import VARIABLES, name_of
from tests.conftest import SECRET
from tests.operations.log_analysis.lines import Log
from tests.support.asgi import EchoApp, graphql
from tests.support.pages import ROOT, blocks
from tests.support.ports import free_port
from tests.support.processes import STARLETTE, Server, needs_fraiseql
from tests.support.redis_server import RedisServer
from tests.support.upgrades import opened
from tests.support.waiting import until
from tools.architecture import STAGES, STEPS_PICTURE, steps_picture
from tools.guides import GUIDES

SHAPE = (
    "What it protects against",
    "How it decides",
    "Settings",
    "What a client sees",
    "What an operator sees",
    "Examples",
    "What it does not do",
)
PROTECTIONS = [name for name in GUIDES if name != "decisions"]
ELSEWHERE = {
    # Operators, metrics, logs and pages that no single protection has (docs/operator.md, docs/signals.md).
    *("admin_tokens", "admin_scope", "admin_path", "admin_token", "actor", "overrides_file", "refusal_template_file"),
    *("metrics_path", "metrics_networks", "metrics_token", "health_path", "log_file", "log_level", "access_log"),
    *("log_measures", "cors_origins"),
}
OTHER_CODES = {"ADMIN_UNAUTHENTICATED", "METRICS_FORBIDDEN", "HEALTH_FORBIDDEN"}
BLOB = "https://github.com/fraiseql/fraiseql-guard/blob/main/"


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def run(block: str, **names: Any) -> dict[str, Any]:
    """What a block defines."""
    exec(compile(block, "<block>", "exec", dont_inherit=True), names)
    return names


# --- the shape -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROTECTIONS)
def test_every_guide_has_the_same_shape(name: str) -> None:
    assert re.findall(r"^## (.*)$", text_of(f"{name}.md"), re.MULTILINE) == list(SHAPE)


@pytest.mark.parametrize("name", GUIDES)
def test_every_table_of_a_guide_is_on_its_page(name: str) -> None:
    wanted = {f"<!-- table: {kind} {name} -->" for kind in ("settings-of", "codes-of", "signals-of")}
    assert {marker for marker in wanted if marker not in text_of(f"{name}.md")} == set()


def test_every_setting_is_in_a_guide() -> None:
    named = {option for guide in GUIDES.values() for option in guide.settings.split()}
    assert {row.option for row in VARIABLES} - named == ELSEWHERE


def test_every_refusal_is_in_a_guide() -> None:
    named = {code for guide in GUIDES.values() for code in guide.codes.split()}
    assert {code.name for code in s.CODES} - named == OTHER_CODES


def test_the_picture_of_the_steps_is_what_the_table_says() -> None:
    drawn = (ROOT / STEPS_PICTURE).read_text(encoding="utf-8")
    assert drawn == steps_picture(), "run: python -m tools.docs"
    pages = {name for stage in STAGES for name in stage.guides}
    assert {name for name in pages if not (ROOT / "docs" / f"{name}.md").exists()} == set()
    assert {name for name in pages if f">{name.replace('-', ' ')}<" not in drawn} == set()


def test_every_guarantee_names_tests_that_exist() -> None:
    (table,) = re.findall(r"^\| guarantee .*?\n\n", text_of("security.md"), re.MULTILINE | re.DOTALL)
    for row in table.strip().splitlines()[2:]:
        named = re.findall(re.escape(BLOB) + r"([^)]+)", row)
        assert named, row
        for path in named:
            assert re.search(r"^(?:async )?def test_", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), path


# --- what a guard does with what they show ---------------------------------------------------------------------------


async def test_an_operation_over_a_socket_is_refused_and_its_socket_goes_on() -> None:
    guarded = run(blocks("docs/sockets.md")[0])["guarded"]
    socket = await opened(guarded)
    socket.say('{"type": "connection_init"}')
    assert json.loads((await socket.until(1))["text"])["type"] == "connection_ack"
    for number, query in enumerate(("{a{b{c{d}}}}", "{a{b}}"), start=1):
        socket.say(json.dumps({"type": "subscribe", "id": str(number), "payload": {"query": query}}))
    said = json.loads((await socket.until(2))["text"])
    (shown,) = map(json.loads, blocks("docs/sockets.md", "json"))
    shown["payload"][0]["message"] = said["payload"][0]["message"]
    told = said["payload"][0]["extensions"]
    assert {**said, "payload": [{**said["payload"][0], "extensions": shown["payload"][0]["extensions"]}]} == shown
    assert shown["payload"][0]["extensions"].items() <= told.items()
    assert json.loads((await socket.until(3))["text"])["payload"] == {"data": {"ok": True}}
    await socket.leave()
    await guarded.aclose()


async def test_the_entry_of_an_api_key_is_one(guarded: Any, tmp_path: Path) -> None:
    (entry,) = blocks("docs/authentication.md", "yaml")
    path = tmp_path / "api-keys.yml"
    path.write_text(entry, encoding="utf-8")
    guard = guarded(EchoApp(), api_keys_file=path)
    assert (await graphql(guard, "{me}", headers={"x-api-key": "test"})).status == 200
    assert (await graphql(guard, "{me}", headers={"x-api-key": "tests"})).status == 401


@pytest.mark.parametrize("page", ["docs/limits.md", "docs/timeouts.md"])
def test_rules_are_accepted(page: str, tmp_path: Path) -> None:
    (rules,) = blocks(page, "yaml")
    path = tmp_path / "rules.yml"
    path.write_text(rules, encoding="utf-8")
    done = typed(
        f"fraiseql-guard rules check {path}", FRAISEQL_GUARD_TIERS="partner=2000/minute", FRAISEQL_JWT_SECRET=SECRET
    )
    assert done == []


async def test_the_overrides_file_is_obeyed(guarded: Any, tmp_path: Path) -> None:
    (entries,) = blocks("docs/operator.md", "yaml")
    path = tmp_path / "overrides.yml"
    path.write_text(entries, encoding="utf-8")
    guard = guarded(EchoApp(), overrides_file=path)
    elsewhere, blocked = ("198.51.100.9", 40000), ("203.0.113.9", 40000)
    await graphql(guard, "{me}", client=elsewhere)
    await until(lambda: guard.metric("fraiseql_guard_mode_monitor", protection="rate_limit") == 1)
    replies = [
        await graphql(guard, "query Export{me}", client=elsewhere),
        await graphql(guard, "{me}", client=blocked),
        await graphql(guard, "{me}", client=elsewhere),
    ]
    assert [reply.status for reply in replies] == [200, 200, 200]  # the mode
    for code in ("DOCUMENT_BLOCKED", "BLOCKED"):
        assert guard.metric("fraiseql_guard_would_refuse_total", code=code) == 1, code
    assert replies[-1].header("x-ratelimit-limit") == "50"


def test_a_python_client_waits_as_it_is_told() -> None:
    (block,) = blocks("docs/clients.md")
    with one_refusal() as (url, seen):
        assert run(block)["ask"](url, "{ me { id } }") == {"data": None}
    assert [status for status, _ in seen] == [429, 200]
    assert seen[1][1] - seen[0][1] >= 1


@contextmanager
def one_refusal() -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """A server that refuses the first request for a second and answers the next."""
    seen: list[tuple[int, float]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, body = (200, b'{"data": null}') if seen else (429, b"{}")
            seen.append((status, time.monotonic()))
            self.send_response(status)
            self.send_header("retry-after", "1")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/graphql", seen
        finally:
            server.shutdown()
            thread.join()


# --- what is shown ---------------------------------------------------------------------------------------------------


async def test_a_refusal_has_the_form_that_is_shown(guarded: Any) -> None:
    shown = json.loads(blocks("docs/refusals.md", "text")[0])
    guard = guarded(EchoApp(), max_query_depth=2)
    told = (await graphql(guard, "{me{friends{name}}}")).json
    assert list(told["errors"][0]) == list(shown["errors"][0])
    fields = [error["extensions"] for error in (told["errors"][0], shown["errors"][0])]
    assert list(fields[0]) == list(fields[1])
    assert [each["code"] for each in fields] == ["QUERY_TOO_DEEP"] * 2
    assert (told["errors"][0]["message"], fields[0]["detail"]) == (shown["errors"][0]["message"], fields[1]["detail"])


async def test_a_refusal_as_events_has_the_form_that_is_shown(guarded: Any) -> None:
    shown = blocks("docs/streams.md", "text")[0].strip().splitlines()
    guard = guarded(EchoApp(), max_query_depth=2)
    reply = await graphql(guard, "{me{friends{name}}}", headers={"accept": "text/event-stream"})
    told = reply.body.decode().strip().splitlines()
    assert [line.partition(" ")[0] for line in told] == [line.partition(" ")[0] for line in shown]
    assert [line for line in told if line.startswith("event")] == [line for line in shown if line.startswith("event")]
    (error,) = json.loads(told[1].removeprefix("data: "))["errors"]
    (example,) = json.loads(shown[1].removeprefix("data: "))["errors"]
    assert example["extensions"].keys() <= error["extensions"].keys()


def test_what_tuning_says_of_a_limit_has_the_form_that_is_shown(tmp_path: Path) -> None:
    shown = blocks("docs/tuning.md", "text")[0].splitlines()
    lines = Log()
    measures = {"tier": "free", "kind": "query", "depth": 3, "complexity": 40, "list_size": 20}
    for number in range(1_500):
        each = measures | {"caller": f"caller {number % 30}"}
        lines.write(s.HTTP_REQUEST, status=200, duration_ms=9.5, operation="Home", query_hash="f00", measures=each)
    for number in range(2):
        attack = measures | {"caller": f"attacker {number}", "depth": 60, "code": "QUERY_TOO_DEEP", "enforced": False}
        lines.write(s.HTTP_REQUEST, 25, status=200, duration_ms=1.0, query_hash=f"bad{number}", measures=attack)
    path = tmp_path / "app.log"
    path.write_bytes(lines.text)
    told = CliRunner().invoke(command, ["tune", str(path)], env=dict.fromkeys(ours())).output.splitlines()
    begin = next(number for number, line in enumerate(told) if line.startswith("Depth of operations"))
    # The heading, the axis, its numbers, a row of all; then a row of each tier, and what each value refuses.
    for line, example in zip(told[begin:], shown[:4], strict=False):
        assert form(line) == form(example), f"{line}\n--- the page says:\n{example}"
    said = {form(line) for line in told[begin:]}
    assert {form(line) for line in shown[5:7]} <= said


def form(line: str) -> str:
    """A line without its numbers and its marks."""
    bare = re.sub(r"\[.*\]", "[]", line)
    return re.sub(r"\s+", " ", re.sub(r"[\d.,]+", "0", bare)).strip()


def test_the_packages_for_traces_are_those_of_the_extra() -> None:
    (line,) = blocks("docs/opentelemetry.md", "sh")
    ours_, *others = shlex.split(line)[2:]
    assert ours_ == "fraiseql-guard[otel]"
    assert "otel" in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert all(version(name) for name in others)


# --- what is typed ---------------------------------------------------------------------------------------------------


def typed(block: str, **environment: str) -> list[tuple[str, int, str]]:
    """Type the commands of a block; those that did not end with 0, with what they said."""
    failed = []
    for line in block.strip().splitlines():
        name, *words = shlex.split(line, comments=True)
        assert name == "fraiseql-guard", line
        done = CliRunner().invoke(command, words, env={**dict.fromkeys(ours(), None), **environment})
        if done.exit_code:
            failed.append((line, done.exit_code, done.output))
    return failed


def ours() -> list[str]:
    return [name for name in os.environ if name.startswith("FRAISEQL_")]


SCHEMA = "type Query { me: User } type User { id: ID name: String friends(first: Int): [User!] }"
MAIN = """
from fraiseql_guard import Guard
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def graphql(request):
    return JSONResponse({"data": {}})


app = Guard(Starlette(routes=[Route("/graphql", graphql, methods=["POST"])]))
"""


def test_the_commands_from_monitor_to_enforce(guarded: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "schema.graphql").write_text(SCHEMA)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "home.graphql").write_text("query Home { me { name friends(first: 5) { name } } }")
    # The log of a guard that watched, in the mode that the page sets.
    variables = dict(line.split("=", 1) for line in blocks("docs/rollout.md", "dotenv")[0].splitlines())
    assert set(variables) <= {row.name for row in VARIABLES}
    guard = guarded(EchoApp(), mode=variables[name_of("mode")], max_query_depth=2)
    assert asyncio.run(graphql(guard, "{me{friends{name}}}")).status == 200
    guard.flush()
    shutil.copy(guard.log_path, "app.log")
    with RedisServer() as redis:
        for block in blocks("docs/rollout.md", "sh"):
            assert typed(block, FRAISEQL_REDIS_URL=redis.url) == []


def test_the_commands_about_keys_and_documents(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "manifest.json").write_text('{"a1b2": "query Typename { __typename }"}')
    with RedisServer() as redis:
        for page in ("docs/authentication.md", "docs/query-limits.md"):
            for block in blocks(page, "sh"):
                assert typed(block, FRAISEQL_REDIS_URL=redis.url) == []
    assert "name: partner" in (tmp_path / "api-keys.yml").read_text()


def test_an_operator_blocks_over_http(tmp_path: Path) -> None:
    (block,) = blocks("docs/operator.md", "sh")
    token = "0123456789abcdef0123456789abcdef"
    with Server(STARLETTE, tmp_path, {"FRAISEQL_GUARD_ADMIN_TOKENS": f"alice={token}"}) as server:
        environment = {**os.environ, "APP": server.url, "ADMIN_TOKEN": token}
        done = subprocess.run(["sh", "-c", block], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["changed"] is True, done.stdout


# --- on FraiseQL -----------------------------------------------------------------------------------------------------


@pytest.mark.fraiseql
@needs_fraiseql[1]
def test_the_app_with_a_subscription_serves_it_as_it_is_typed(tmp_path: Path) -> None:
    from examples.fraiseql_blog.database import running_database

    (tmp_path / "main.py").write_text(blocks("docs/subscriptions.md")[0])
    start, listen = (block for block in blocks("docs/subscriptions.md", "sh") if "main:app" in block or "curl" in block)
    port = str(free_port())
    with running_database() as url, (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *shlex.split(start), "--port", port],
            cwd=tmp_path,
            env={**os.environ, "FRAISEQL_DATABASE_URL": url},
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server)
            asked = listen.replace(":8000/", f":{port}/")
            done = subprocess.run(["sh", "-c", asked], capture_output=True, text=True, check=True)
        finally:
            server.terminate()
            server.wait(20)
    numbers = re.findall(r'^data: .*"number": ?(\d)', done.stdout, re.MULTILINE)
    assert numbers == ["3", "2", "1"], done.stdout
    assert done.stdout.rstrip().endswith("event: complete\ndata:")


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until a server answers."""
    end = time.monotonic() + 60
    while True:
        try:
            httpx.get(url, trust_env=False)
            return
        except httpx.TransportError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server did not answer"
            time.sleep(0.05)


def test_the_subscription_that_postgresql_feeds_is_the_example_s() -> None:
    (wanted,) = ast.parse(blocks("docs/subscriptions.md")[1]).body
    source = ast.parse((ROOT / "examples" / "fraiseql_blog" / "bare.py").read_text(encoding="utf-8"))
    (there,) = (node for node in source.body if getattr(node, "name", "") == "new_posts")
    assert isinstance(there, ast.AsyncFunctionDef)
    there.body = there.body[1:]  # without its docstring
    assert ast.dump(wanted) == ast.dump(there)
