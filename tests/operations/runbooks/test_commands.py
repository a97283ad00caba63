"""``fraiseql-guard alerts`` and ``fraiseql-guard dashboard``: files that Prometheus and Grafana read."""

import json
import re
import subprocess

import pytest
import yaml
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from tools.components import locate

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


def test_the_dashboard_for_the_http_api(tmp_path):
    file = tmp_path / "request.json"
    assert run.invoke(app, ["dashboard", "--out", str(file), "--api", "--folder-uid", "ops"]).exit_code == 0
    sent = json.loads(file.read_text())
    assert (sorted(sent), sent["folderUid"], sent["overwrite"]) == (
        ["dashboard", "folderUid", "overwrite"],
        "ops",
        True,
    )
    assert (sent["dashboard"]["id"], sent["dashboard"]["uid"]) == (None, "fraiseql-ops")


def rules_of(file) -> list[dict]:
    found = yaml.safe_load(file.read_text())
    groups = found["spec"]["groups"] if "spec" in found else found["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_everything_is_summed_by_the_labels_that_an_operator_chooses(tmp_path):
    arguments = ["alerts", "--out", str(tmp_path), "--by", "namespace,service", "--label", "team=x", "--label", "env=p"]
    assert run.invoke(app, arguments).exit_code == 0
    rules = [rule for file in tmp_path.iterdir() for rule in rules_of(file)]
    for rule in rules:
        grouped = re.findall(r"(?:by|on) \(([^)]*)\)", rule["expr"])
        assert all(labels.startswith("namespace, service") for labels in grouped), rule["expr"]
        assert "job" not in rule["expr"]
        if "alert" in rule:
            assert (rule["labels"]["team"], rule["labels"]["env"]) == ("x", "p")
            assert "$labels.job" not in str(rule["annotations"])
    texts = str([rule.get("annotations") for rule in rules])
    assert "{{ $labels.namespace }}/{{ $labels.service }}" in texts


def test_what_is_chosen_is_sound(tmp_path):
    for by in ("job,namespace", "namespace", "cluster,job"):
        folder = tmp_path / by
        assert run.invoke(app, ["alerts", "--out", str(folder), "--by", by, "--label", "team=x"]).exit_code == 0
        done = subprocess.run(
            [locate("promtool"), "check", "rules", *folder.iterdir()], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_an_alert_tells_namespaces_apart(tmp_path):
    """Two apps of one job: one is overloaded, the other is not."""
    assert (
        run.invoke(app, ["alerts", "--out", str(tmp_path), "--by", "job,namespace", "--label", "team=x"]).exit_code == 0
    )
    series = {}
    for namespace, refused, answered in (("shop", "0+9x60", "0+1x60"), ("blog", "0+0x60", "0+10x60")):
        target = f'job="api",instance="a:1",namespace="{namespace}"'
        code = 'protection="rate_limit",code="OVERLOADED"'
        series[f"fraiseql_guard_refusals_total{{{target},{code}}}"] = refused
        series[f'fraiseql_guard_requests_total{{{target},kind="guarded",outcome="refused"}}'] = refused
        series[f'fraiseql_guard_requests_total{{{target},kind="guarded",outcome="answered"}}'] = answered
    labels = {"job": "api", "namespace": "shop", "code": "OVERLOADED", "team": "x"}
    expected = {
        "exp_labels": {**labels, "severity": "critical", "runbook": "the-guard-itself"},
        "exp_annotations": {
            "summary": "90% of all requests are answered 503 OVERLOADED",
            "description": "The guard of api/shop answers more than 5 % of all requests with 503, for reasons that "
            "callers cannot change; OVERLOADED is one of them.",
            "runbook_url": "docs/runbooks/the-guard-itself.md",
        },
    }
    case = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "8m", "alertname": "GuardUnavailable", "exp_alerts": [expected]}],
    }
    rules = [str(path) for path in tmp_path.iterdir()]
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump({"rule_files": rules, "evaluation_interval": "15s", "tests": [case]}))
    done = subprocess.run([locate("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_prometheus_rule(tmp_path):
    plain, kubernetes = tmp_path / "plain", tmp_path / "kubernetes"
    arguments = ["--format", "prometheus-operator", "--metadata-label", "release=prometheus"]
    assert run.invoke(app, ["alerts", "--out", str(plain)]).exit_code == 0
    done = run.invoke(app, ["alerts", "--out", str(kubernetes), *arguments])
    assert (done.exit_code, done.output) == (0, f"{kubernetes}/prometheus-rule.yaml\n")
    found = yaml.safe_load((kubernetes / "prometheus-rule.yaml").read_text())
    assert (found["apiVersion"], found["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert found["metadata"] == {"name": "fraiseql-guard", "labels": {"release": "prometheus"}}
    names = [group["name"] for group in found["spec"]["groups"]]
    assert len(set(names)) == len(names) == 7
    by_name = {rule.get("alert") or rule["record"]: rule for file in plain.iterdir() for rule in rules_of(file)}
    assert {
        rule.get("alert") or rule["record"]: rule for rule in rules_of(kubernetes / "prometheus-rule.yaml")
    } == by_name


@pytest.mark.parametrize(
    "arguments",
    [
        ["--by", ""],
        ["--by", "job,"],
        ["--by", "job,job"],
        ["--by", "job,instance"],
        ["--by", "user_id"],
        ["--by", "1st"],
        ["--by", "__name__"],
        ["--label", "team"],
        ["--label", "team="],
        ["--label", "severity=info"],
        ["--label", "runbook=x"],
        ["--label", "a-b=x"],
        ["--metadata-label", "release=x"],
        ["--format", "prometheus-operator", "--metadata-label", "release"],
    ],
    ids=" ".join,
)
def test_labels_that_mean_nothing_are_refused(arguments, tmp_path):
    done = run.invoke(app, ["alerts", "--out", str(tmp_path / "x"), *arguments])
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert arguments[-2] in done.stderr
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_done_is_said_in_one_line(tmp_path):
    file = tmp_path / "a-file"
    file.write_text("x")
    for arguments in (["alerts", "--out", str(file)], ["dashboard", "--out", str(file / "x.json")]):
        done = run.invoke(app, arguments)
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == 1
    done = run.invoke(app, ["alerts", "--out", str(tmp_path / "x"), "--scale", "0"])
    assert (done.exit_code, "--scale=0" in done.stderr) == (2, True)
    done = run.invoke(app, ["dashboard", "--out", str(tmp_path / "x.json"), "--folder-uid", "ops"])
    assert (done.exit_code, "--api" in done.stderr) == (2, True)
