"""The runbooks' texts: what they tell to type works on a log that the guard has really written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.operations.runbooks.model import Runbook
from fraiseql_guard.operations.runbooks.render import ALERTS
from fraiseql_guard.telemetry import EventLog
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.contract.test_contract import CONTRACT
from tests.operations.runbooks.pages import PAGES, RUN_HERE, commands, for_drills
from tests.support.asgi import EchoApp, graphql
from tools.components import locate

LOCAL = [command for command in commands() if command.program in RUN_HERE]
DURATIONS = re.compile(r"--for \d+[smh]$")


@pytest.fixture
async def log(guarded, tmp_path: Path) -> Path:
    """A log with every event that the pages ask for: from real refusals where the middlewares alone bring them."""
    guard = guarded(EchoApp(seconds=0.2), jwt_secret=SECRET, query_timeout=0.05, rate_limit_authenticated="9/minute")
    bob = make_token(SECRET, sub="bob")
    for token in ("a.b.c", make_token("x" * 32, sub="eve"), make_token(SECRET, sub="bob", expires_in_seconds=-9)):
        assert (await graphql(guard, "{me{id}}", token=token)).status == 401
    assert (await graphql(guard, "{me{id}}", token=bob)).status == 504
    assert (await graphql(guard, "{a" + "{a" * 30 + "}" * 31, token=bob)).status == 400
    assert 429 in [(await graphql(guard, "{a{b}}", token=bob)).status for _ in range(30)]
    wanted = {"security.rate_limit", "security.auth_failure", "security.token_expired", "graphql.expensive_query"}
    assert wanted <= {line["event"] for line in guard.lines()}
    path = guard.log_path
    more = EventLog(Settings.load({}, log_file=path))
    more.emit(s.SLOW_QUERY, {"query_duration_ms": 6000, "query_type": "select", "table_name": "posts"})
    more.emit(s.HIGH_MEMORY, {"memory_usage_percent": 85.0})
    more.emit(s.ADMIN_LOGIN_FAILED, {"ip_address": "203.0.113.7", "presented": True})
    more.emit(s.SOCKET_CLOSED, {"ip_address": "203.0.113.7", "reason": "protocol", "user_agent": "old/1.0"})
    more.close()
    with path.open("a") as file:
        file.write("Traceback (most recent call last):\n")
    return path


@pytest.mark.parametrize("command", LOCAL, ids=str)
def test_a_command_works_as_it_is_written(command, log, tmp_path):
    folders = [str(locate("jq").parent), str(Path(sys.executable).parent), "/usr/bin", "/bin"]
    done = subprocess.run(
        ["sh", "-ec", command.text],
        cwd=tmp_path,
        env={**os.environ, "PATH": ":".join(folders), name_of("log_file"): str(log)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip(), "it answers nothing"


def test_all_pages_have_commands():
    assert {command.page for command in LOCAL} == {page.stem for page in PAGES}
    assert len(PAGES) == len(Runbook) + 1


@pytest.mark.parametrize("runbook", Runbook)
def test_a_page_names_its_alerts_and_its_steps(runbook):
    text = next(page for page in PAGES if page.stem == runbook.value).read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert named >= {alert.name for alert in ALERTS if alert.runbook is runbook}
    assert {"## Look", "## Verify"} <= set(text.splitlines())
    if runbook is not Runbook.GUARD:
        assert {"## Attack or misconfiguration?", "## The one command", "## For good"} <= set(text.splitlines())


def test_a_curl_command_sends_what_the_contract_says():
    sent = [command.text for command in for_drills() if command.program == "curl"]
    for text in sent:
        method, path = re.search(r'-X (\w+) "\$APP(/[a-z/-]+)"', text).groups()
        endpoint = CONTRACT["endpoints"][f"{method} {path}"]
        assert '-H "Authorization: Bearer $ADMIN_TOKEN"' in text
        if "body" in endpoint:
            body = json.loads(re.search(r"-d '(.*)'", text)[1])
            assert set(body) <= set(endpoint["body"])
    assert len(sent) >= 5


def test_the_operator_s_commands_are_of_the_agreed_form():
    ours = [command.text for command in for_drills() if command.program.startswith("fraiseql-guard")]
    assert {text.split()[1] for text in ours} == {
        "block", "limit", "set", "mode", "lift", "keys", "gc", "clear-caches", "queries", "pool", "sockets"
    }  # fmt: skip
    for text in ours:
        if text.split()[1] in ("block", "limit", "set", "mode"):
            assert DURATIONS.search(text), text
