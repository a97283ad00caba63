"""``fraiseql-guard alerts`` and ``fraiseql-guard dashboard``: files that Prometheus and Grafana read."""

import json

import yaml
from typer.testing import CliRunner

from fraiseql_guard.cli import app

run = CliRunner()


def test_alerts_are_written_with_the_operator_s_own_addresses(tmp_path):
    folder = tmp_path / "rules" / "fraiseql"
    done = run.invoke(app, ["alerts", "--out", str(folder), "--runbook-url", "https://wiki.example/rb"])
    assert done.exit_code == 0, done.output
    assert sorted(done.output.split()) == sorted(map(str, folder.iterdir()))
    rules = yaml.safe_load((folder / "rate-limiting-triggered.yml").read_text())["groups"][0]["rules"]
    assert rules[0]["annotations"]["runbook_url"] == "https://wiki.example/rb/rate-limiting-triggered.md"


def test_a_drill_s_alerts_are_quicker(tmp_path):
    assert run.invoke(app, ["alerts", "--out", str(tmp_path), "--scale", "0.05"]).exit_code == 0
    rules = yaml.safe_load((tmp_path / "rate-limiting-triggered.yml").read_text())["groups"][0]["rules"]
    assert (rules[0]["for"], rules[0]["expr"]) == ("15s", "fraiseql:rate_limited:rate > 5")


def test_the_dashboard_is_written(tmp_path):
    file = tmp_path / "grafana" / "ops.json"
    assert run.invoke(app, ["dashboard", "--out", str(file)]).exit_code == 0
    assert json.loads(file.read_text())["title"] == "FraiseQL operations"


def test_what_cannot_be_done_is_said_in_one_line(tmp_path):
    file = tmp_path / "a-file"
    file.write_text("x")
    for arguments in (["alerts", "--out", str(file)], ["dashboard", "--out", str(file / "x.json")]):
        done = run.invoke(app, arguments)
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == 1
    done = run.invoke(app, ["alerts", "--out", str(tmp_path / "x"), "--scale", "0"])
    assert (done.exit_code, "--scale=0" in done.stderr) == (2, True)
