"""The alerts, run by promtool: each fires on what it is for, says so, and is silent otherwise."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from fraiseql_guard.operations.runbooks.model import Runbook
from fraiseql_guard.operations.runbooks.render import (
    ALERTS,
    RECORDING_FILE,
    Choices,
    duration,
    rule_files,
    scaled,
    write_rule_files,
)
from tests.contract.test_contract import CONTRACT as SHARED
from tests.operations.runbooks.cases import CONTRACT, Case
from tests.operations.runbooks.own_cases import FURTHER, OWN
from tools.components import locate
from tools.expressions import ROOT, RUNBOOKS

ALERT = {alert.name: alert for alert in ALERTS}
CASES = [*CONTRACT.items(), *OWN.items(), *FURTHER]


@pytest.fixture(scope="module")
def rules(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    write_rule_files(folder, Choices(runbook_url="https://wiki.example/runbooks/"))
    return folder


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run([locate("promtool"), *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def firing(name: str, case: Case) -> dict[str, object]:
    alert = ALERT[name]
    expected = {
        "exp_labels": {"severity": alert.severity.value, "runbook": alert.runbook.value, **case.labels},
        "exp_annotations": {
            "summary": case.summary,
            "description": case.description,
            "runbook_url": f"https://wiki.example/runbooks/{alert.runbook.value}.md",
        },
    }
    return {"eval_time": case.at, "alertname": name, "exp_alerts": [expected]}


def scenario(series, test) -> dict[str, object]:
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    return {"interval": "15s", "input_series": inputs, "alert_rule_test": [test]}


@pytest.mark.parametrize(("name", "case"), [pytest.param(*each, id=each[0]) for each in CASES])
def test_an_alert_fires_and_says_what_is_the_matter_and_is_silent_otherwise(name, case, rules, tmp_path):
    silent = {"eval_time": case.at, "alertname": name, "exp_alerts": []}
    document = {
        "rule_files": [str(path) for path in sorted(rules.glob("*.yml"))],
        "evaluation_interval": "15s",
        "tests": [scenario(case.fires, firing(name, case)), *(scenario(each, silent) for each in case.silent)],
    }
    file = tmp_path / f"{name}.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    promtool("test", "rules", file)


def test_every_alert_has_a_case():
    assert set(CONTRACT) | set(OWN) == set(ALERT)


def test_promtool_finds_the_shipped_files_sound():
    promtool("check", "rules", *sorted((RUNBOOKS / "alerts").glob("*.yml")))


def test_the_shipped_files_are_what_the_tables_say():
    shipped = {path.name: path.read_text(encoding="utf-8") for path in (RUNBOOKS / "alerts").glob("*.yml")}
    assert shipped == rule_files(), "run: fraiseql-guard alerts --out fraiseql_guard/operations/runbooks/alerts"


def test_every_alert_of_the_contract_has_its_threshold_its_time_and_its_severity():
    assert set(SHARED["alert_thresholds"]) == set(CONTRACT) - {"CredentialStuffing"}  # which is ours
    for name, given in SHARED["alert_thresholds"].items():
        alert = ALERT[name]
        assert (alert.hold, alert.severity.value) == (given["for"], given["severity"]), name
        threshold = re.search(r"more than (\d+)|[<>] ([\d.]+)( %)?", given["rule"])
        number = float(threshold[1] or threshold[2]) / (100 if threshold[3] else 1)
        assert re.search(rf"[<>] {number:g}\b", alert.expression), f"{name}: {alert.expression}"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda each: each.name)
def test_an_alert_is_of_one_subject_or_of_none(alert):
    """An alert about a caller names one that can be blocked: never all the others, never everybody without a name."""
    rules = {
        rule["record"]: rule["expr"] for rule in yaml.safe_load(rule_files()[RECORDING_FILE])["groups"][0]["rules"]
    }
    expression = alert.expression
    for name, recorded in rules.items():
        expression = expression.replace(name, recorded)
    if "by (job, user_id)" in expression:
        assert 'user_id!~"anonymous|__other__"' in expression
    if "by (job, ip_address)" in expression:
        assert 'ip_address!~"unknown|__other__"' in expression


@pytest.mark.parametrize("alert", ALERTS, ids=lambda each: each.name)
def test_what_happens_once_is_held_for_less_than_its_window(alert):
    """What comes at once has grown its counter for as long as the window, and no longer."""
    rules = {
        rule["record"]: rule["expr"] for rule in yaml.safe_load(rule_files()[RECORDING_FILE])["groups"][0]["rules"]
    }
    expression = alert.expression
    for name, recorded in rules.items():
        expression = expression.replace(name, recorded)
    if re.search(r"increase\([^[]*\[5m\]\)+ > 0|increase\([^[]*\[5m\]\)+$", expression):
        assert alert.hold in ("0s", "1m", "2m")


def test_every_runbook_has_a_text_and_an_alert():
    for runbook in Runbook:
        assert (ROOT / "docs/runbooks" / f"{runbook.value}.md").exists()
        assert any(alert.runbook is runbook for alert in ALERTS)


def test_scaling_shortens_windows_and_holds_and_leaves_thresholds_alone():
    plain, short = rule_files(), rule_files(Choices(scale=0.05))
    assert "[5m]" not in "".join(short.values())
    assert "[15s]" in short[RECORDING_FILE]
    for name in plain:
        for one, two in zip(_rules(plain[name]), _rules(short[name]), strict=True):
            assert scaled(one["expr"], 0.05) == two["expr"]
            assert re.findall(r"[<>] [\d.]+", one["expr"]) == re.findall(r"[<>] [\d.]+", two["expr"])
    lockout = next(
        rule for rule in _rules(short["authentication-failures.yml"]) if rule["alert"] == "MassAccountLockout"
    )
    assert lockout["for"] == "3s"
    assert "within 15s" in lockout["annotations"]["summary"]


@pytest.mark.parametrize("scale", [0.05, 0.01, 2])
def test_scaled_rules_are_sound(scale, tmp_path):
    promtool("check", "rules", *write_rule_files(tmp_path, Choices(scale=scale)))


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_that_means_nothing_is_refused(scale):
    with pytest.raises(ValueError, match="--scale"):
        Choices(scale=scale)


@pytest.mark.parametrize(
    ("text", "scale", "expected"),
    [("5m", 1, "5m"), ("5m", 0.05, "15s"), ("1m", 0.01, "600ms"), ("0s", 0.5, "0s"), ("1h", 2, "7200s")],
)
def test_durations(text, scale, expected):
    assert duration(text, scale) == expected
    with pytest.raises(ValueError, match="5 minutes"):
        duration("5 minutes")


def _rules(text: str) -> list[dict]:
    return yaml.safe_load(text)["groups"][0]["rules"]
