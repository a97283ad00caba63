"""``fraiseql-guard paths``: on an app that can be imported, and on one that is served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.process import PROJECT
from tests.support.processes import STARLETTE, Server

APP = """
from ariadne.asgi import GraphQL
from graphql import build_schema
from hypercorn.middleware import DispatcherMiddleware
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from fraiseql_guard import Guard, RateLimitMiddleware

page = lambda _: PlainTextResponse("x")
app = Starlette(routes=[Route("/graphql", page), Route("/health", page), Route("/private/x", page),
                        Mount("/api", routes=[Route("/gql", page)])])
wrapped = Guard(app, graphql_paths="/graphql,/api")
declared = Starlette(routes=app.routes)
declared.add_middleware(Guard, graphql_paths="/api", auth_paths="/private")
by_method = Starlette(routes=[Route("/api/gql", page, methods=[method]) for method in ("GET", "POST")])
endpoint = Guard(GraphQL(build_schema("type Query { name: String }")))
mounted = Starlette(routes=[Mount("/api", Guard(endpoint.app, graphql_paths="/api,/graphql"))])
in_a_route = Starlette(routes=[Route("/query", Guard(endpoint.app)), Route("/graphql", Guard(endpoint.app))])
monitored = Guard(endpoint.app, mode="monitor")
in_a_mount = Starlette(routes=[Mount("/api", Guard(Starlette(routes=[Route("/graphql", page), Route("/gql", page)])))])
rates_alone = Guard(Starlette(routes=[Mount("/api", RateLimitMiddleware(endpoint.app))]))
in_hypercorn = Guard(DispatcherMiddleware({"/graphql": endpoint.app.app}))
open_endpoint = Starlette(routes=[Mount("/", endpoint.app)])
bare = lambda scope, receive, send: None

def make():
    return wrapped
"""


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    (folder / "paths_app.py").write_text(APP)
    environment = {"PYTHONPATH": str(PROJECT), "PATH": ""}
    command = [sys.executable, "-m", "fraiseql_guard", "paths", *arguments]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return ran.returncode, ran.stdout, ran.stderr


def test_an_app_that_is_not_guarded_everywhere_is_named(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "paths_app:app")
    assert code == 1
    assert [line.split(maxsplit=1) for line in out.splitlines()] == [
        ["/graphql", "GraphQL  guarded (/graphql)"],
        ["/health", "exempt"],
        ["/private/x", "-"],
        ["/api/gql", "GraphQL  NOT GUARDED"],
        ["Set", "FRAISEQL_GUARD_GRAPHQL_PATHS to cover /api/gql"],
    ]


def test_around_an_endpoint_the_paths_are_those_of_the_guard(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "paths_app:endpoint")
    assert (code, out.splitlines()) == (0, ["/graphql  GraphQL  guarded (/graphql)"])
    code, out, _ = run(tmp_path, "paths_app:mounted")
    assert code == 0
    assert out.splitlines() == ["/api          GraphQL  guarded (/api)", "/api/graphql  GraphQL  guarded (/api)"]
    code, out, _ = run(tmp_path, "paths_app:open_endpoint")
    assert code == 1
    assert out.splitlines()[0] == "/  GraphQL  NOT GUARDED"


@pytest.mark.parametrize(
    ("app", "lines"),
    [
        ("in_a_route", ["/query    GraphQL  NOT GUARDED", "/graphql  GraphQL  guarded (/graphql)"]),
        ("monitored", ["/  GraphQL  NOT GUARDED"]),
        ("in_a_mount", ["/api/graphql  GraphQL  guarded (/graphql)", "/api/gql      GraphQL  NOT GUARDED"]),
        ("rates_alone", ["/api  GraphQL  NOT GUARDED"]),
    ],
)
def test_a_guard_is_judged_by_where_it_stands_and_what_it_does(tmp_path: Path, app: str, lines: list[str]) -> None:
    code, out, _ = run(tmp_path, f"paths_app:{app}")
    assert (code, out.splitlines()[:-1]) == (1, lines)


def test_a_mount_that_takes_all_paths_that_begin_alike_has_its_own_remedy(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "paths_app:in_hypercorn")
    assert (code, out.splitlines()) == (
        1,
        [
            "/graphql   GraphQL  guarded (/graphql)",
            "/graphql*  GraphQL  NOT GUARDED",
            "Make a route of the mount that takes /graphql*: no setting covers all paths that begin so",
        ],
    )


def test_several_routes_on_one_path_are_one_line(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "paths_app:by_method")
    assert code == 1
    assert out.splitlines() == [
        "/api/gql  GraphQL  NOT GUARDED",
        "Set FRAISEQL_GUARD_GRAPHQL_PATHS to cover /api/gql",
    ]


def test_the_settings_of_the_guard_in_the_app_count(tmp_path: Path) -> None:
    assert run(tmp_path, "paths_app:wrapped")[0] == 0
    assert run(tmp_path, "paths_app:make", "--factory")[0] == 0
    code, out, _ = run(tmp_path, "paths_app:declared", "--json")
    assert code == 1
    found = {each["path"]: each for each in json.loads(out)["paths"]}
    assert (found["/graphql"]["graphql"], found["/graphql"]["guarded"]) == (True, False)
    assert (found["/api/gql"]["guarded"], found["/private/x"]["protection"]) == (True, "token")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("paths_app", "neither MODULE:APP nor a URL"),
        ("no_such_module:app", "no_such_module cannot be imported"),
        ("paths_app:no_such_app", "paths_app has no no_such_app"),
        ("paths_app:bare", "shows no path"),
        ("http://127.0.0.1:1", "cannot be asked"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_one_line(tmp_path: Path, target: str, says: str) -> None:
    code, out, err = run(tmp_path, target)
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("bare", "code"), [(False, 0), (True, 1)])
def test_a_served_app_is_asked(tmp_path: Path, bare: bool, code: int) -> None:
    with Server(STARLETTE, tmp_path, bare=bare) as server:
        ended, out, _ = run(tmp_path, server.url, "--json")
    found: dict[str, Any] = {each["path"]: each for each in json.loads(out)["paths"]}
    assert ended == code
    assert found["/graphql"]["guarded"] is not bare
