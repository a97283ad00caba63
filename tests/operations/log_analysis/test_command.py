"""``fraiseql-guard logs``."""

import gzip
import json

import pytest
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from fraiseql_guard.core import signals as s
from tests.operations.log_analysis.lines import Log

run = CliRunner()


@pytest.fixture
def log(tmp_path):
    lines = Log().write(s.RATE_LIMIT, 30, ip_address="203.0.113.9", policy="default")
    lines.write(s.AUTH_FAILURE, 30, ip_address="203.0.113.7", failure_reason="token_expired")
    path = tmp_path / "app.log"
    path.write_bytes(lines.text + b"Traceback (most recent call last):\n\n{}\n")
    return path


def invoke(*arguments, **options):
    return run.invoke(app, ["logs", *map(str, arguments)], **options)


def test_it_says_who_and_what_it_is(log):
    done = invoke(log)
    assert done.exit_code == 0, done.output
    assert "62 lines, 2 of them no lines of the guard; 60 match" in done.output
    assert "== Rate limiting triggered: ATTACK" in done.output
    assert "100% come from 1 address: 203.0.113.9" in done.output
    assert "== Authentication failures: MISCONFIGURATION" in done.output


def test_one_is_one_event(tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(Log().write(s.RATE_LIMIT, 1, ip_address="203.0.113.9").text)
    said = invoke(path).output
    assert "   too few events to tell: 1\n   1 event from " in said
    assert ", 0 sanctions\n" in said


def test_for_a_program(log):
    found = json.loads(invoke(log, "--json").output)
    assert found["unreadable"] == 2
    rate = found["runbooks"]["rate-limiting-triggered"]
    assert (rate["verdict"], rate["addresses"]) == ("attack", {"203.0.113.9": 30})
    assert sum(rate["timeline"].values()) == 30


def test_standard_input_and_compressed_files_together(log, tmp_path):
    packed = tmp_path / "app.log.1.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    found = json.loads(invoke("-", packed, log, "--json", input=log.read_bytes()).output)
    assert found["matching"] == 180


def test_only_one_event_and_only_some_time(log):
    assert json.loads(invoke(log, "--json", "--event", "security.auth_failure").output)["matching"] == 30
    found = json.loads(
        invoke(log, "--json", "--since", "2027-01-15T08:00:11Z", "--until", "2027-01-15T08:00:21Z").output
    )
    assert found["matching"] == 10
    assert json.loads(invoke(log, "--json", "--since", "2027-01-15T09:00:11+01:00").output)["matching"] == 50


def test_nothing_found_is_1_and_what_cannot_be_done_is_2(log, tmp_path):
    assert invoke(log, "--event", "security.dos_detected").exit_code == 1
    half = tmp_path / "half.gz"
    half.write_bytes(gzip.compress(log.read_bytes())[:100])
    for arguments in ((tmp_path / "none",), (log, "--since", "yesterday"), (half,)):
        done = invoke(*arguments)
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == 1
        assert str(arguments[-1]) in done.stderr
