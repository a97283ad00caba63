"""A suite made of the examples of docs/testing.md is green with every warning an error, and leaves nothing open."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tools.docs import ROOT

APP = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def graphql(request):
    return JSONResponse({"data": {"people": []}})


app = Starlette(routes=[Route("/graphql", graphql, methods=["GET", "POST"])])
"""
STRICTLY = (
    *("-W", "error", "-W", "ignore:Using `httpx` with `starlette.testclient`"),
    *("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest"),
)
PLUGIN = ("-p", "fraiseql_guard.testing.plugin")
INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
pythonpath = .
filterwarnings =
    error
    ignore:Using `httpx` with `starlette.testclient`
"""
LOOPS = """
import asyncio
import gc

import httpx
import pytest
from fraiseql_guard import Guard
from starlette.testclient import TestClient
from myapp import app


async def hear(notice):
    await asyncio.sleep(0)


def made(**options):
    return Guard(app, environment="test", on_refusal=hear, max_query_depth=1, dos_offences=1000, **options)


async def ask(guard):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=guard), base_url="http://test") as client:
        queries = ("{ a }", "{ a { b } }", "{ a }")
        return [(await client.post("/graphql", json={"query": query})).status_code for query in queries]


@pytest.fixture(autouse=True)
def _nothing_is_left():
    yield
    gc.collect()


ONE = made()


@pytest.mark.parametrize("number", range(3))
def test_one_guard_in_several_loops(number):
    assert asyncio.run(ask(ONE)) == [200, 400, 200]


@pytest.mark.parametrize("number", range(3))
def test_a_guard_for_each_loop(number):
    assert asyncio.run(ask(made())) == [200, 400, 200]


@pytest.mark.parametrize("number", range(2))
async def test_loops_of_pytest_asyncio(number):
    assert await ask(ONE) == [200, 400, 200]


@pytest.mark.parametrize("number", range(2))
def test_a_client_without_a_lifespan(number):
    client = TestClient(ONE)
    assert [client.post("/graphql", json={"query": "{ a }"}).status_code for _ in range(3)] == [200] * 3


def test_a_client_with_a_lifespan():
    with TestClient(made()) as client:
        assert client.post("/graphql", json={"query": "{ a { b } }"}).status_code == 400


async def test_a_guard_that_was_closed_goes_on():
    guard = made()
    assert await ask(guard) == [200, 400, 200]
    await guard.aclose()
    assert await ask(guard) == [200, 400, 200]
"""


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def run(folder: Path, variables: Mapping[str, str], *arguments: str) -> str:
    """What pytest says about the suite in a folder; fails if that is not all green."""
    (folder / "myapp.py").write_text(APP, encoding="utf-8")
    (folder / "pytest.ini").write_text(INI, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FRAISEQL_", "PYTEST_"))}
    environment = {**kept, "PYTHONPATH": str(ROOT), "FRAISEQL_GUARD_LOG_FILE": str(folder / "log"), **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", *STRICTLY, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-5_000:]
    return done.stdout


def examples() -> dict[str, str]:
    """The examples of the page by the names of their files."""
    text = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return {block.partition("\n")[0].removeprefix("# "): block for block in blocks}


@pytest.mark.redis
def test_the_examples_of_the_page_are_a_green_suite(tmp_path: Path, redis_server: RedisServer) -> None:
    found = examples()
    assert len(found) == 6
    (tmp_path / "tests").mkdir()
    for name, block in found.items():
        (tmp_path / name).write_text(block, encoding="utf-8")
    said = run(tmp_path, {"TEST_REDIS_URL": redis_server.url}, *PLUGIN)
    assert re.search(r"\b9 passed\b", said)
    assert "skipped" not in said


@pytest.mark.parametrize("store", ["memory", pytest.param("redis", marks=pytest.mark.redis), "a redis that is gone"])
def test_a_suite_without_a_lifespan_leaves_nothing_open(
    tmp_path: Path, request: pytest.FixtureRequest, store: str
) -> None:
    urls = {"a redis that is gone": "redis://127.0.0.1:1/0"}
    if store == "redis":
        urls[store] = request.getfixturevalue("redis_server").url
    variables = {"FRAISEQL_REDIS_URL": urls[store]} if store in urls else {}
    (tmp_path / "test_loops.py").write_text(LOOPS, encoding="utf-8")
    assert "12 passed" in run(tmp_path, {**variables, "FRAISEQL_GUARD_STORE_TIMEOUT_MS": "5000"})


def test_the_helpers_need_no_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; import fraiseql_guard.testing as t; print(t.ManualClock(7.0)())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "7.0\n"
