"""What an operator sees: workers, keys, who is refused most, why, and what was done; for people, pipes and programs."""

import os
import pty
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.cli.connect import actor
from fraiseql_guard.cli.fleet import verdict
from fraiseql_guard.cli.render import printable
from fraiseql_guard.cli.top import rate, sparkline, total
from fraiseql_guard.core.settings import CHANGEABLE, name_of
from fraiseql_guard.operations.operator.interface import Action, Offender, Refusal, Status, Worker
from fraiseql_guard.operations.operator.json_values import from_json
from tests.cli.fleet import WORKERS, Operator, eventually


def worker(pid, **options):
    given = {
        "id": f"w{pid}", "host": "web-1", "pid": pid, "version": "1", "started_at": 0.0, "seen_at": 0.0,
        "fingerprint": "f", "modes": {}, "breaker_open": False, "token_keys": {}, **options,
    }  # fmt: skip
    return Worker(**given)


def keyed(*fingerprints):
    return [worker(pid, key_fingerprints=each) for pid, each in enumerate(fingerprints)]


A, B = {"current": "aa"}, {"current": "aa", "new": "bb"}


@pytest.mark.parametrize(
    ("workers", "slot", "agreed", "says"),
    [
        (keyed(A, A, A), None, True, "All 3 workers have the same keys."),
        (keyed(B, B, A), None, False, "1 of 3 workers have other keys than the rest: web-1/2."),
        (keyed(B, B, A), "new", False, "1 of 3 workers have no key as new: web-1/2."),
        (keyed(B, B), "new", True, "All 2 workers have the same key as new."),
        (keyed(B, {"new": "cc"}, B), "new", False, "1 of 3 workers have another key as new than the rest: web-1/1."),
        (keyed(B, A), "current", True, "All 2 workers have the same key as current."),
        ([], None, False, "No worker reports: nothing is known of their keys."),
    ],
)
def test_have_all_pods_the_new_secret(workers, slot, agreed, says):
    assert verdict(workers, slot) == (agreed, says)


def test_series_of_workers_that_end_at_different_moments_are_added_step_by_step():
    early = worker(1, series={"requests": [1, 2, 3]}, series_ends_at=100.0)
    late = worker(2, series={"requests": [10, 20, 30]}, series_ends_at=105.2)
    assert total([early, late], "requests") == [1, 12, 23, 30]
    assert rate([early, late], "requests") == 23 / 5
    assert total([], "requests") == []
    assert rate([worker(1)], "requests") is None, "what is not known is no zero"


@given(st.lists(st.floats(0, 1e9)))
def test_bars_are_as_many_as_values_and_none_is_hidden(values):
    bars = sparkline(values)
    assert len(bars) == len(values)
    assert all((bar == " ") == (value == 0) for bar, value in zip(bars, values, strict=True))


@given(st.text())
def test_names_from_outside_cannot_break_out_of_their_line(text):
    shown = printable(text)
    assert shown.isprintable()
    assert "\t" not in shown
    assert "\n" not in shown


pytestmark = pytest.mark.redis


def test_status_lists_every_worker(fleet, operator):
    eventually(lambda: len(operator("status", "--json").json["workers"]) == WORKERS, "every worker should report")
    found = from_json(Status, operator.done("status", "--json").json)
    assert {each.pid for each in found.workers} == {server.pid for server in fleet.workers}
    assert not any("differ in their configuration" in note for note in found.notes)  # each has a log file of its own
    lines = operator.done("status").out.splitlines()
    assert lines[0].startswith(f"{WORKERS} workers, ")
    assert {line.split("\t")[0].rpartition("/")[2] for line in lines[1 : 1 + WORKERS]} == {
        str(server.pid) for server in fleet.workers
    }


def test_keys_tells_which_worker_has_verified_how_much_with_which(fleet, operator):
    fleet.felt(200, user="keyholder")

    def known():
        ran = operator("keys")
        rows = [row for row in ran.rows if row[1] == "current"]
        return (ran.code == 0 and len(rows) == WORKERS and all(int(row[3]) > 0 for row in rows)) or ran

    eventually(known, "every worker should have verified with its current key")
    assert operator("keys", "--has", "current").code == 0
    answer = operator("keys", "--has", "new", "--json")
    assert (answer.code, answer.json["agreed"]) == (1, False)
    assert "no key as new" in answer.json["verdict"]


def test_top_shows_who_is_refused_most_and_with_what(fleet, operator):
    address = "203.0.113.200"
    for _ in range(5):
        fleet.statuses("{ a", address=address)

    def seen():
        found = [from_json(Offender, each) for each in operator("top", "--json").json["offenders"]]
        return any(each.target.ip_address == address and each.refusals >= 20 for each in found) or found

    eventually(seen, f"{address} should be seen")
    row = next(row for row in operator.done("top", "--once", "-n", "100").rows if row[0] == address)
    assert "GRAPHQL_PARSE_FAILED" in row[3]


def test_why_tells_what_was_refused_and_what_helps(fleet, operator):
    refusal = fleet.answers("{ users(limit: 5000) { name } }", address="203.0.113.201")[0]
    (request_id,) = [refusal.json()["errors"][0]["extensions"]["requestId"]]
    assert request_id == refusal.headers["x-request-id"]
    eventually(lambda: operator("why", request_id).code == 0, "the refusal should be found")
    found = from_json(Refusal, operator.done("why", request_id, "--json").json)
    assert (found.code, found.ip_address, found.actual) == ("QUERY_TOO_COMPLEX", "203.0.113.201", 5000)
    told = operator.done("why", request_id).out
    assert "400 QUERY_TOO_COMPLEX (query_limits)" in told
    assert "5000 of 1000" in told
    assert name_of("max_query_complexity") in told
    assert request_id in operator.done("why", "--last", "100").out


def test_actions_name_who_did_what(fleet, on_redis, by_http):
    on_redis.done("block", "203.0.113.202", "--reason", "an audit")
    by_http.done("unblock", "203.0.113.202")
    newest = [from_json(Action, each) for each in on_redis.done("actions", "--json", "--last", "2").json]
    assert [each.actor for each in newest] == ["oncall", _me()]
    assert newest[1].fields["reason"] == "an audit"
    assert "203.0.113.202" in by_http.done("actions").rows[0][3]


def _me():
    return pwd.getpwuid(os.getuid()).pw_name


def test_behind_sudo_the_person_is_named_and_only_root_by_that_variable(monkeypatch):
    monkeypatch.setenv("SUDO_USER", "ada")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert actor() == "ada"
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert actor() == "uid 54321"


def test_config_of_the_fleet_shows_no_secret(operator):
    rows = {row[0]: row for row in operator.done("config", "--fleet").rows}
    assert rows[name_of("redis_url")][1] in ("****", "-")
    assert "an-hmac-secret" not in operator.done("config", "--fleet", "--json").out


def test_modes_that_are_overridden_stand_in_the_fleets_configuration(operator):
    operator.done("mode", "monitor", "--protection", "timeout", "--for", "1m")
    rows = {row[0]: row[1:3] for row in operator.done("config", "--fleet").rows}
    operator.done("mode", "clear", "--protection", "timeout")
    assert rows[name_of("mode_timeout")] == ["monitor", "override"]
    assert rows[name_of("mode")][1] != "override"


def test_the_live_table_ends_with_an_interrupt(on_redis):
    """On a terminal, as a person sees it."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FRAISEQL_")}
    command = [str(Path(sys.executable).with_name("fraiseql-guard")), "top", "--every", "0.5"]
    environment = {**clean, **on_redis.environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while seen.count(b"refusals/s") < 2:
                seen += os.read(ours, 65_536)
            process.send_signal(signal.SIGINT)
            while True:
                seen += os.read(ours, 65_536)
        except OSError:  # the other end is closed
            pass
        finally:
            try:
                process.wait(20)
            finally:
                process.kill()
                os.close(ours)
        assert process.returncode == 0, seen[-2000:]
    assert b"Traceback" not in seen


def complete(*words):
    """What bash offers for the last word."""
    ran = Operator({"_FRAISEQL_GUARD_COMPLETE": "complete_bash"}).in_a_terminal(
        COMP_WORDS=" ".join(("fraiseql-guard", *words)), COMP_CWORD=str(len(words))
    )
    return ran.out.split()


def test_the_shell_completes_commands_variables_and_protections():
    assert set(complete("un")) == {"unblock", "unlock"}
    assert name_of("max_query_depth") in complete("set", "FRAISEQL_MAX")
    assert name_of("jwt_secret") not in complete("set", "FRAISEQL_")
    assert "rate_limit" in complete("mode", "monitor", "--protection", "")
    assert set(complete("mode", "")) >= {"enforce", "monitor", "clear"}


def test_what_can_be_completed_can_be_changed():
    offered = set(complete("set", "FRAISEQL_"))
    assert offered == {name_of(option) for option in CHANGEABLE}


def test_the_help_tells_the_exit_codes():
    told = " ".join(Operator({}).done("--help").out.split())
    assert "3 if it is dangerous and wants --force" in told
