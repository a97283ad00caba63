"""The table of the index, run on a live stack (FraiseQL, PostgreSQL, Redis, Prometheus), so that it says what is so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.testing import make_token
from tests.operations.runbooks.index_table import Row, rows
from tests.support.processes import FRAISEQL, Server, needs_fraiseql
from tests.support.redis_server import RedisServer
from tests.support.sink import Sink
from tests.support.waiting import PATIENCE_SECONDS
from tools.components import locate
from tools.prometheus import PrometheusServer
from tools.promql import Vocabulary, problems_of

pytestmark = [*needs_fraiseql, pytest.mark.redis]

SECRET = "an-hmac-secret-of-at-least-thirty-two-bytes"
ANSWERS = "answers, but wrongly"
"""How the reason begins for which a line is not to be typed although it answers."""
LOG, RULES, RELOAD, GRAFANA, PID = (
    "/var/log/fraiseql/app.log",
    "/etc/prometheus/alerts",
    "http://prometheus:9090",
    "http://grafana:3000",
    "$(pidof prometheus)",
)
ROWS = rows()


@dataclass
class Stack:
    """Everything that the lines act on, and the operator's shell."""

    server: Server
    prometheus: PrometheusServer
    folder: Path
    grafana: Sink
    environment: dict[str, str]
    replaced: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.replaced = {
            LOG: str(self.server.log_file),
            RULES: str(self.folder / "rules"),
            RELOAD: self.prometheus.url,
            GRAFANA: self.grafana.url,
            PID: str(self.prometheus.pid),
        }

    def type(self, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Type a command of the table, with the addresses and paths of this stack in the place of its own."""
        for theirs, ours in self.replaced.items():
            command = command.replace(theirs, ours)
        return subprocess.run(
            ["bash", "-ec", f"set -o pipefail; {command}"],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def series(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers."""
        return self.prometheus.query(query)

    def waits_for(self, query: str) -> list[dict[str, Any]]:
        """The same, once there is anything: rates want a second scrape."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := self.series(query)) and time.monotonic() < deadline:
            time.sleep(0.5)
        return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("index")
    with RedisServer() as redis:
        environment = {
            name_of("redis_url"): redis.url,
            name_of("jwt_secret"): SECRET,
            name_of("rate_limit_authenticated"): "10/minute",
            name_of("query_timeout"): "2",
            name_of("slow_query_seconds"): "0.5",
        }
        (folder / "rules").mkdir()
        grafana = Sink()
        with Server(FRAISEQL, folder, environment) as server:
            targets = {"blog": [server.url.removeprefix("http://")]}
            with PrometheusServer(
                folder / "prometheus", targets, rule_files=[folder / "rules" / "*.yml"]
            ) as prometheus:
                path = f"{locate('jq').parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
                clean = {name: value for name, value in os.environ.items() if not name.startswith("FRAISEQL_")}
                shell = {**clean, **environment, "PATH": path, "GRAFANA_TOKEN": "a-token-of-grafana-s"}
                found = Stack(server, prometheus, folder, grafana, shell)
                happen(found)
                yield found
        grafana.close()


def happen(stack: Stack) -> None:
    """An ordinary minute with an incident of every kind, before and after Prometheus has looked."""
    token = make_token(SECRET, sub="ada")
    for _ in range(2):
        stack.server.post("{ users(limit: 1) { name } }", token=token)
        stack.server.post("{ report(seconds: 1) { users } }", token=token)  # slow
        stack.server.post("{ report(seconds: 20) { users } }", token=token)  # stopped
        stack.server.post("{ users(limit: 1) { name } }", token=make_token("x" * 40, sub="eve"))  # forged
        deep = "{ posts(limit: 1) { author " + "{invitedBy" * 25 + "{name}" + "}" * 25 + " } }"
        stack.server.post(deep, token=make_token(SECRET, sub="mallory"))
        for _ in range(40):
            stack.server.post("{ users(limit: 1) { name } }", token=make_token(SECRET, sub="busy"))
        assert stack.waits_for("sum(fraiseql_rate_limit_exceeded_total) > 0")
    with stack.server.log_file.open("a") as log:
        log.write("Traceback (most recent call last):\n")  # of the app's own
    typed = stack.type("fraiseql-guard block 192.0.2.99 --for 1h", stack.folder)
    assert typed.returncode == 0, typed


# --- queries ----------------------------------------------------------------------------------------------------------

QUERIES = [row for row in ROWS if row.kind == "query"]


@pytest.mark.parametrize("row", [row for row in QUERIES if row.verdict == "works"], ids=str)
def test_a_query_that_works_answers(row: Row, stack: Stack) -> None:
    assert stack.waits_for(row.says)


@pytest.mark.parametrize("row", [row for row in QUERIES if row.verdict == "instead"], ids=str)
def test_what_is_to_be_asked_instead_answers(row: Row, stack: Stack) -> None:
    assert stack.waits_for(row.types)


@pytest.mark.parametrize("row", [row for row in QUERIES if row.verdict == "instead"], ids=str)
def test_a_query_is_replaced_only_where_it_does_not_do(row: Row, stack: Stack) -> None:
    """It has no series while what replaces it has, or it answers, and the reason says what is wrong with that."""
    assert stack.waits_for(row.types)
    if row.why.startswith(ANSWERS):
        assert stack.waits_for(row.says)
    else:
        assert stack.series(row.says) == []
        assert problems_of(row.says, Vocabulary.ours())


def test_errors_total_really_has_no_4xx(stack: Stack) -> None:
    assert stack.waits_for('sum(fraiseql_http_requests_total{status="429"})')
    codes = {series["metric"]["error_code"] for series in stack.waits_for("fraiseql_errors_total")}
    assert codes.isdisjoint({"RATE_LIMITED", "UNAUTHENTICATED", "QUERY_TOO_DEEP"})


# --- commands ---------------------------------------------------------------------------------------------------------

COMMANDS = [row for row in ROWS if row.kind == "command"]


def test_a_command_that_works_answers(stack: Stack, tmp_path: Path) -> None:
    """Of git's: in a repository, as it is meant."""
    (row,) = [row for row in COMMANDS if row.verdict == "works"]
    begin = "git init -q && git -c user.name=a -c user.email=a@b.example commit -q --allow-empty -m 'A change'"
    assert stack.type(begin, tmp_path).returncode == 0
    done = stack.type(row.says, tmp_path)
    assert (done.returncode, "A change" in done.stdout) == (0, True), done


@pytest.mark.parametrize("row", [row for row in COMMANDS if row.says.startswith("jq")], ids=str)
def test_what_is_to_be_typed_instead_reads_a_log_with_other_lines(row: Row, stack: Stack, tmp_path: Path) -> None:
    theirs, ours = stack.type(row.says, tmp_path), stack.type(row.types, tmp_path)
    assert (theirs.returncode != 0, "parse error" in theirs.stderr) == (True, True), theirs
    assert (ours.returncode, ours.stderr) == (0, ""), ours
    assert ours.stdout.strip()
    if "-c '" in row.types:
        wanted = "ERROR" if '"ERROR"' in row.says else "WARNING"
        assert {json.loads(line)["level"] for line in ours.stdout.splitlines()} == {wanted}


def test_the_alerts_are_written_and_loaded(stack: Stack, tmp_path: Path) -> None:
    """One line after the other, as an operator types them: then Prometheus knows them."""
    (copies,) = [row for row in COMMANDS if row.says.startswith("cp ")]
    (reloads,) = [row for row in COMMANDS if row.says.endswith("/-/reload")]
    assert stack.type(copies.says, tmp_path).returncode != 0
    assert stack.type(copies.types, tmp_path).returncode == 0
    assert "not enabled" in stack.type(reloads.says, tmp_path).stdout
    assert loaded(stack) == set()
    assert stack.type(reloads.types, tmp_path).returncode == 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not loaded(stack) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "HighRateLimitViolations" in loaded(stack)


def loaded(stack: Stack) -> set[str]:
    groups = httpx.get(f"{stack.prometheus.url}/api/v1/rules", timeout=30, trust_env=False).json()["data"]["groups"]
    return {rule["name"] for group in groups for rule in group["rules"]}


def test_the_dashboard_is_sent_as_grafana_s_api_wants_it(stack: Stack, tmp_path: Path) -> None:
    (row,) = [row for row in COMMANDS if "grafana" in row.says]
    theirs = tmp_path / "docs" / "production" / "runbooks" / "grafana" / "fraiseql-ops.json"
    assert stack.type(f"fraiseql-guard dashboard --out {theirs}", tmp_path).returncode == 0
    assert stack.type(row.says, tmp_path).returncode == 0
    assert "dashboard" not in json.loads(stack.grafana.received.pop()[2])
    done = stack.type(row.types, tmp_path)
    assert done.returncode == 0, done
    ((path, headers, body),) = stack.grafana.received
    sent = json.loads(body)
    assert path == "/api/dashboards/db"
    assert headers["Authorization"] == "Bearer a-token-of-grafana-s"
    assert (sent["overwrite"], sent["dashboard"]["uid"]) == (True, "fraiseql-ops")


def test_what_is_outside_has_our_own_beside_it(stack: Stack, tmp_path: Path) -> None:
    (row,) = [row for row in COMMANDS if row.verdict == "outside"]
    done = stack.type(row.types, tmp_path)
    assert (done.returncode, "192.0.2.99" in done.stdout) == (0, True), done


def test_the_log_is_set_up_by_a_variable(stack: Stack, tmp_path: Path) -> None:
    (row,) = [row for row in ROWS if row.kind == "python"]
    tried = subprocess.run([sys.executable, "-c", row.says], capture_output=True, text=True, check=False, timeout=60)
    assert "ModuleNotFoundError" in tried.stderr
    done = stack.type(f"{row.types} && fraiseql-guard config", tmp_path)
    assert done.returncode == 0, done
    assert str(stack.server.log_file) in done.stdout
    assert {line["event"] for line in (json.loads(each) for each in whole_lines(stack))} >= {"http.request"}


def whole_lines(stack: Stack) -> list[str]:
    return [line for line in stack.server.log_file.read_text().splitlines() if line.startswith("{")]


def test_every_row_is_run_here() -> None:
    run = {"jq", "git", "cp", "curl", "kubectl"}
    assert {row.says.split()[0] for row in COMMANDS} == run
    assert {row.kind for row in ROWS} == {"query", "command", "python", "address"}
