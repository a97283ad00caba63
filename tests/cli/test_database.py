"""An operator lists what the app has at work in PostgreSQL, stops one statement, and sees how full the pools are."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from fraiseql_guard.core.fraiseql_variables import DATABASE_FILE_VARIABLE, DATABASE_VARIABLE
from fraiseql_guard.core.settings import name_of, warnings
from fraiseql_guard.operations.operator.routes import BESIDE
from fraiseql_guard.testing import make_token
from tests.cli.fleet import SECRET, Operator
from tests.support.processes import FRAISEQL, Server, needs_fraiseql
from tests.support.redis_server import RedisServer

pytestmark = [*needs_fraiseql, pytest.mark.redis]

SLOW = "{ slowPosts(limit: 30) { title } }"


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Iterator[tuple[Server, Operator]]:
    """The FraiseQL example on a Redis, and an operator at the machine that it runs on."""
    with RedisServer() as redis:
        shared = {name_of("redis_url"): redis.url, name_of("jwt_secret"): SECRET}
        with Server(FRAISEQL, tmp_path_factory.mktemp("app"), shared) as server:
            yield server, Operator({**shared, DATABASE_VARIABLE: server.database_url or ""})


def listed(operator: Operator, *words: str) -> list[dict]:
    """The statements that PostgreSQL works on, as soon as there is one: a transaction begins with others before it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [each for each in operator.done("queries", "--json", *words).json if each["state"] == "active"]
        if found:
            return found
        time.sleep(0.1)
    return []


def test_a_slow_statement_is_found_and_stopped(app) -> None:
    server, operator = app
    answers = []
    token = make_token(SECRET, sub="ada")
    asking = threading.Thread(target=lambda: answers.append(server.post(SLOW, token=token)))
    asking.start()
    (statement,) = listed(operator)
    assert (statement["state"], statement["what"]) == ("active", "select v_slow_post")
    assert "v_slow_post" in statement["query"]
    assert listed(operator, "--at-least", "0.5")[0]["seconds"] >= 0.5
    (row,) = operator.done("queries").rows
    assert row[0] == str(statement["pid"])
    pid = str(statement["pid"])
    assert operator.done("kill", pid).out == f"{pid}: its statement was told to stop.\n"
    asking.join(60)
    assert answers[0].json()["errors"]
    ran = operator("queries")
    assert (ran.code, ran.out, ran.err) == (0, "", "The app has nothing at work.\n")
    assert server.post("{ users(limit: 1) { name } }", token=token).json()["data"]["users"]


def test_a_connection_that_is_not_the_app_s_is_left_alone(app) -> None:
    _, operator = app
    ran = operator("kill", "1", "--json")
    assert (ran.code, ran.json) == (1, {"pid": 1, "stopped": False})
    assert operator("kill", "1").out == "1 is none of the app's connections: nothing was stopped.\n"


@pytest.mark.parametrize("ring", [True, False])
def test_a_stopped_statement_leaves_a_line_with_who_stopped_it(app, tmp_path, ring) -> None:
    _, operator = app
    path = tmp_path / "operator.log"
    without = {name_of("log_file"): str(path), **({} if ring else {name_of("redis_url"): ""})}
    killing = Operator({**operator.environment, **without})
    assert killing("kill", "1", "--as", "alice").code == 1
    (line,) = map(json.loads, path.read_text().splitlines())
    facts = {"actor": "alice", "pid": 1, "stopped": False}
    assert (line["event"], line["context"]) == (BESIDE["kill"].name, facts)
    if ring:
        assert operator.done("actions", "--json", "--last", "1").json[0]["event"] == "admin.kill"


def test_every_worker_tells_how_full_its_pool_is(app) -> None:
    server, operator = app
    deadline = time.monotonic() + 60
    while not (known := operator.done("pool", "--json").json) and time.monotonic() < deadline:
        time.sleep(0.2)
    ((name, state),) = known.items()
    assert name.endswith(f"/{server.pid}")
    assert set(state) == {"active", "idle", "total", "waiting"}
    assert state["total"] >= state["active"] + state["idle"]
    assert operator.done("pool").rows[0][0] == name


@pytest.mark.parametrize("command", [("queries",), ("kill", "1")])
def test_without_a_database_one_line_says_what_to_set(command) -> None:
    ran = Operator({})(*command)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"which database? Set {DATABASE_VARIABLE} as the app has it: postgresql://user@host/name, "
        f"or {DATABASE_FILE_VARIABLE} to a file that holds it\n"
    )


def test_the_database_may_stand_in_a_file(app, tmp_path) -> None:
    """As a container has it, whose secrets are files."""
    _, operator = app
    path = tmp_path / "fraiseql_database_url"
    path.write_text(f"{operator.environment[DATABASE_VARIABLE]}\n")
    from_file = Operator({DATABASE_FILE_VARIABLE: str(path)})
    assert from_file("queries").err == "The app has nothing at work.\n"
    assert warnings(from_file.environment) == []
    path.write_text("postgresql://app:hunter2@127.0.0.1:1/blog")
    assert from_file("queries").err.startswith(f"the database in {DATABASE_FILE_VARIABLE} does not answer: ")
    path.write_text("\n")
    said = f"{DATABASE_FILE_VARIABLE}={str(path)!r} is empty: it has to hold the URL of the app's database\n"
    assert from_file("kill", "1").err == said
    path.unlink()
    said = f"{DATABASE_FILE_VARIABLE}={str(path)!r} cannot be read: No such file or directory\n"
    assert from_file("queries").err == said


def test_a_database_that_does_not_answer_is_told_without_its_password() -> None:
    ran = Operator({DATABASE_VARIABLE: "postgresql://app:hunter2@127.0.0.1:1/blog"})("queries")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"the database in {DATABASE_VARIABLE} does not answer: ")
    assert "hunter2" not in ran.err
    assert ran.err.count("\n") == 1
