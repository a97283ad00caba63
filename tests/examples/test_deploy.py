"""The examples of deployment: read by the programs that they are for, else held against what those programs accept."""

from __future__ import annotations

import re
import runpy
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from fraiseql_guard.core.fraiseql_variables import FRAISEQL_VARIABLES
from fraiseql_guard.core.rule_checks import problems_of
from fraiseql_guard.core.settings import VARIABLES, Settings
from fraiseql_guard.core.signals import EVENTS
from fraiseql_guard.operations.explain import explain
from fraiseql_guard.operations.explained_rule import RequestHead
from fraiseql_guard.operations.fleet.rules_file import with_rules
from fraiseql_guard.operations.runbooks.model import Runbook, Severity
from fraiseql_guard.operations.runbooks.render import ALERTS, RECORDING_FILE, rule_files
from tests.support.asgi import EchoApp, graphql
from tests.support.pages import blocks
from tools.components import locate
from tools.expressions import ROOT

FOLDER = ROOT / "examples" / "deploy"
NAMES = {alert.name for alert in ALERTS}
READ_HERE = {
    "README.md", "alertmanager.yml", "gunicorn.conf.py", "loki-rules.yaml", "prometheus.yml", "config.alloy",
    "rules.yml", "servicemonitor.yaml",
}  # fmt: skip
READ_BESIDE = {
    ".dockerignore", ".gitignore", "Dockerfile", "app", "compose", "compose.yaml", "helm", "kubernetes",
    "secrets.sh", "systemd",
}  # fmt: skip
"""By test_deploy_files.py and test_deploy_running.py."""
MADE = {"__pycache__", "secrets"}


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def checked(program: str, *arguments: str | Path) -> str:
    done = subprocess.run([locate(program), *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_is_read_by_a_test_and_named():
    assert {path.name for path in FOLDER.iterdir() if path.name not in MADE} == READ_HERE | READ_BESIDE
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"({name})" in text for name in (READ_HERE | READ_BESIDE) - {"README.md"})


def test_prometheus_takes_its_configuration(tmp_path):
    text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8").replace("/etc/prometheus", str(tmp_path))
    (tmp_path / "fraiseql").mkdir()
    (tmp_path / "fraiseql-metrics-token").write_text("token")
    for name, rules in rule_files().items():
        (tmp_path / "fraiseql" / name).write_text(rules, encoding="utf-8")
    file = tmp_path / "prometheus.yml"
    file.write_text(text, encoding="utf-8")
    assert "7 rule files found" in checked("promtool", "check", "config", file)


def test_alertmanager_takes_its_configuration():
    assert "inhibit rules" in checked("amtool", "check-config", FOLDER / "alertmanager.yml")


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [("severity=critical", "on-call"), ("severity=warning", "morning"), ("severity=info", "written-down")],
)
def test_alertmanager_leads_each_severity_to_its_own(labels, receiver):
    file = f"--config.file={FOLDER / 'alertmanager.yml'}"
    assert checked("amtool", "config", "routes", "test", file, labels, "alertname=X").strip() == receiver
    assert labels.split("=")[1] in {each.value for each in Severity}


def test_alerts_that_keep_others_back_exist_and_share_the_labels_that_must_be_equal():
    """An inhibition by a label that one side lacks holds between any two: such a rule would silence too much."""
    for rule in read("alertmanager.yml")["inhibit_rules"]:
        sides = [named(rule[side]) for side in ("source_matchers", "target_matchers")]
        assert all(side <= NAMES for side in sides), rule
        if "instance" in rule["equal"]:
            assert all("instance" in labels_of(name) for side in sides for name in side)
        assert "job" in rule["equal"]


def named(matchers: list[str]) -> set[str]:
    found = [re.fullmatch(r'alertname=~?"([\w|]+)"', matcher) for matcher in matchers]
    return {name for each in found if each for name in each[1].split("|")}


def labels_of(name: str) -> set[str]:
    """Labels that the alert has, as its text and its metrics tell."""
    alert = next(each for each in ALERTS if each.name == name)
    return set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.description))


def test_the_service_monitor_has_the_operator_s_shape():
    found = read("servicemonitor.yaml")
    assert (found["apiVersion"], found["kind"]) == ("monitoring.coreos.com/v1", "ServiceMonitor")
    assert set(found) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(found["spec"]) <= {"selector", "namespaceSelector", "endpoints", "jobLabel", "targetLabels"}
    assert set(found["spec"]["selector"]) <= {"matchLabels", "matchExpressions"}
    (endpoint,) = found["spec"]["endpoints"]
    assert set(endpoint) <= {"port", "path", "scheme", "interval", "scrapeTimeout", "authorization", "tlsConfig"}
    assert set(endpoint["authorization"]) == {"type", "credentials"}
    assert set(endpoint["authorization"]["credentials"]) == {"name", "key"}
    assert int(endpoint["scrapeTimeout"][:-1]) < int(endpoint["interval"][:-1])


async def test_alloy_reads_what_a_log_line_has(guarded):
    text = (FOLDER / "config.alloy").read_text()
    components = set(re.findall(r'^([a-z._]+) "(\w+)" \{$', text, re.MULTILINE))
    used = set(re.findall(r"\b((?:local|loki)\.[a-z_.]+?)\.(\w+)\.(?:targets|receiver)\b", text))
    assert used <= components
    assert {name for name, _ in components - used} == {"loki.source.file"}  # where it begins
    read, labels = (
        set(re.findall(r'"(\w+)" +=', re.search(rf"{block} \{{(.*?)\n  \}}", text, re.DOTALL)[1]))
        for block in ("stage.json", "stage.labels")
    )
    assert labels == {"level", "event"}  # never a user, an address or an id
    assert read == labels | set(re.findall(r'source = "(\w+)"', text))
    guard = guarded(EchoApp())
    await graphql(guard, "{ __schema { description } }")
    lines = guard.lines()
    assert lines
    assert all(read <= line.keys() for line in lines)
    assert [text.count(each) for each in "{[("] == [text.count(each) for each in "}])"]


def test_the_rules_for_loki_are_of_events_that_there_are():
    groups = read("loki-rules.yaml")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    for rule in rules:
        assert set(rule) == {"alert", "expr", "labels", "annotations"}
        (events,) = re.findall(r'event=~"([^"]+)"', rule["expr"])
        assert set(events.split("|")) <= {event.name for event in EVENTS}
        assert rule["labels"]["runbook"] in {each.value for each in Runbook}
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_gunicorn_s_configuration_is_python_of_settings_that_it_knows(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    found = runpy.run_path(str(FOLDER / "gunicorn.conf.py"))
    settings = {name for name in found if name.islower() and not name.startswith("_")}
    settings -= {"os", "multiprocess", "metrics"}
    assert settings == {
        "bind", "workers", "worker_class", "timeout", "graceful_timeout", "max_requests", "max_requests_jitter",
        "forwarded_allow_ips", "control_socket_disable", "on_starting", "child_exit",
    }  # fmt: skip
    (tmp_path / "metrics").mkdir()
    for name in ("counter_1.db", "worker_1.alive", "folded.tmp", "folding.lock", "a-file-of-somewhere-else"):
        (tmp_path / "metrics" / name).write_text("of another start")
    # The folder itself stays: it may be where a volume is mounted.
    before = (tmp_path / "metrics").stat().st_ino
    found["on_starting"](None)
    assert (tmp_path / "metrics").stat().st_ino == before
    assert [path.name for path in (tmp_path / "metrics").iterdir()] == ["a-file-of-somewhere-else"]


def test_gunicorn_starts_without_a_folder_for_metrics(monkeypatch):
    """One worker needs none; with several the guard itself says that it is missing."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    found = runpy.run_path(str(FOLDER / "gunicorn.conf.py"))
    found["on_starting"](None)
    found["child_exit"](None, SimpleNamespace(pid=1))


def test_gunicorn_s_workers_are_bounded_as_uvicorn_is_by_the_line_of_the_page(monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    found = runpy.run_path(str(FOLDER / "gunicorn.conf.py"))
    options = found["Worker"].CONFIG_KWARGS
    (line,) = (block for block in blocks("docs/servers.md", "sh") if block.startswith("uvicorn "))
    assert Settings.load({}).query_timeout < options["timeout_graceful_shutdown"] < found["graceful_timeout"]
    for option in ("lifespan", "ws-max-size", "ws-max-queue"):
        assert f" --{option} {options[option.replace('-', '_')]} " in f"{line.strip()} "


def test_variables_that_are_named_exist():
    named_here = {
        name
        for path in FOLDER.iterdir()
        if path.is_file()
        for name in re.findall(r"FRAISEQL_\w+", path.read_text(encoding="utf-8"))
    }
    known = {variable.name for variable in VARIABLES} | FRAISEQL_VARIABLES
    assert {name.removesuffix("_FILE") if name not in known else name for name in named_here} <= known
    assert RECORDING_FILE in rule_files()


def test_the_rules_are_read_and_hold_for_what_they_say():
    settings = with_rules(Settings.load({"FRAISEQL_GUARD_RULES_FILE": str(FOLDER / "rules.yml")}))
    assert problems_of(settings.rules, settings) == []
    head = RequestHead("/graphql", "POST", None)
    for query, name in (
        ("{exports{id}}", "exports"),
        ("mutation{login{token}}", "logins"),
        ("query Exports{exports{id} a:login{token}}", "logins"),
        ("{exports{id} me{id}}", None),
    ):
        rule = explain(query, settings, head=head).rule
        assert (None if rule is None else rule["name"]) == name
