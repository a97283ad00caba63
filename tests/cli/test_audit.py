"""Whatever changes something leaves its line, with who did it, by whichever way it is done."""

import json
import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.operator.routes import BESIDE, CHANGES
from fraiseql_guard.stores.documents import digest_of
from tests.cli.fleet import Operator, eventually

pytestmark = pytest.mark.redis

ADDRESS = "203.0.113.220"
DOCUMENT = "query Audited { users(limit: 1) { name } }"
COMMANDS = {
    "block": [["block", ADDRESS], ["block", "--user", "ada"]],
    "lift": [["unblock", ADDRESS], ["lift", "--user", "ada"]],
    "lift_all": [["lift", "--all"]],
    "unlock": [["unlock", "ada"]],
    "set_limit": [["limit", "set", "9/minute", ADDRESS]],
    "clear_limit": [["limit", "clear", ADDRESS]],
    "allow": [["allow", "add", ADDRESS, "--for", "1m"]],
    "disallow": [["allow", "remove", ADDRESS]],
    "switch": [
        ["mode", "monitor", "--protection", "timeout"],
        ["set", "max_query_depth", "9"],
        ["block", "--operation", "Audited"],
        ["block", "--document", "ab" * 32],
    ],
    "unswitch": [
        ["mode", "clear", "--protection", "timeout"],
        ["set", "--clear", "max_query_depth"],
        ["unblock", "--operation", "Audited"],
        ["unblock", "--document", "ab" * 32],
    ],
    "collect_garbage": [["gc"]],
    "clear_caches": [["clear-caches"]],
    "close_sockets": [
        ["sockets", "close", "0123456789abcdef"],
        ["sockets", "close", "--user", "ada"],
        ["sockets", "close", "--address", ADDRESS, "--code", "4400"],
        ["sockets", "close", "--all"],
    ],
    "drain_sockets": [["sockets", "drain"]],
    "trust": [["documents", "add", "{file}"]],
    "distrust": [["documents", "remove", "{file}"]],
}
"""By change: the commands that make it. What one begins, a later one takes back."""
IN_ORDER = [(change, words) for change, many in COMMANDS.items() for words in many]


def admin_lines(text: str) -> list[dict]:
    """The lines of an audit."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"].startswith("admin.")]


def written(path: str | Path) -> list[dict]:
    return admin_lines(Path(path).read_text()) if Path(path).exists() else []


def me() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def document(tmp_path):
    file = tmp_path / "audited.graphql"
    file.write_text(DOCUMENT)
    return str(file)


def test_every_change_has_its_commands():
    assert set(COMMANDS) == set(CHANGES)


def test_every_change_on_redis_leaves_its_line_in_the_log_file(on_redis, document):
    path = on_redis.environment[name_of("log_file")]
    for change, words in IN_ORDER:
        before = len(written(path))
        ran = on_redis(*(word.format(file=document) for word in words), "--as", "alice")
        assert (ran.code, ran.err) == (0, ""), (words, ran)
        (line,) = written(path)[before:]
        assert (line["event"], line["context"]["actor"]) == (CHANGES[change].name, "alice"), words
        newest = on_redis.done("actions", "--json", "--last", "1").json[0]
        assert (newest["event"], newest["actor"]) == (line["event"], "alice")


def test_every_change_through_a_worker_leaves_its_line_there(fleet, by_http, document):
    log = fleet.workers[0]
    for change, words in IN_ORDER:
        before = len(admin_lines(log.log_file.read_text()))
        by_http.done(*(word.format(file=document) for word in words))

        def left(before=before):
            return admin_lines(log.log_file.read_text())[before:]

        eventually(lambda left=left: len(left()) == 1 or left(), f"{words} should leave a line")
        (line,) = left()
        assert (line["event"], line["context"]["actor"]) == (CHANGES[change].name, "oncall"), words


def test_without_a_log_file_the_line_is_on_standard_error(on_redis):
    elsewhere = Operator({**on_redis.environment, name_of("log_file"): ""})
    ran = elsewhere("gc")
    (line,) = admin_lines(ran.err)
    assert (line["event"], line["context"]["actor"]) == ("admin.gc", me())
    assert "admin.gc" not in ran.out
    in_a_process = elsewhere.in_a_terminal("gc")
    assert len(admin_lines(in_a_process.err)) == 1


def test_a_log_file_that_takes_no_line_costs_none(on_redis, tmp_path):
    nowhere = str(tmp_path / "no" / "such" / "folder.log")
    ran = Operator({**on_redis.environment, name_of("log_file"): nowhere})("gc")
    assert ran.code == 0
    assert nowhere in ran.err.splitlines()[0]
    assert [line["event"] for line in admin_lines(ran.err)] == ["admin.gc"]


def test_who_acts_is_said_by_the_command_or_the_environment_or_the_system(on_redis):
    path = on_redis.environment[name_of("log_file")]
    named = replace(on_redis, environment={**on_redis.environment, name_of("actor"): "deploy bot"})
    named.done("gc")
    named.done("gc", "--as", "alice")
    on_redis.done("gc")
    assert [line["context"]["actor"] for line in written(path)] == ["deploy bot", "alice", me()]


@pytest.mark.parametrize("name", ["", "a\x1b[2J", "a\nb", "x" * 256, "\u202eecila"])
def test_a_name_that_a_line_cannot_show_is_refused_before_anything_is_done(on_redis, name):
    ran = on_redis("gc", "--as", name)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
    assert written(on_redis.environment[name_of("log_file")]) == []


def test_through_a_worker_the_tokens_name_acts_and_no_other(by_http):
    ran = by_http("gc", "--as", "alice")
    assert (ran.code, ran.out) == (2, "")
    assert "--as goes without --url" in ran.err


def test_a_manifest_that_is_changed_leaves_its_lines(tmp_path, document):
    path = str(tmp_path / "operator.log")
    operator = Operator({name_of("log_file"): path})
    manifest = str(tmp_path / "manifest.json")
    operator.done("documents", "add", document, "--manifest", manifest, "--as", "alice")
    operator.done("documents", "remove", document, "--manifest", manifest, "--as", "alice")
    added, removed = written(path)
    assert (added["event"], added["context"]["manifest"]) == (BESIDE["manifest add"].name, manifest)
    assert (added["context"]["documents"], added["context"]["added"]) == ([digest_of(DOCUMENT)], 1)
    assert (removed["event"], removed["context"]["document"]) == (BESIDE["manifest remove"].name, digest_of(DOCUMENT))
    assert {line["context"]["actor"] for line in (added, removed)} == {"alice"}
