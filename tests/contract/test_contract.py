"""What FraiseQL's five operational runbooks name, the guard has: the contract, name by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fraiseql_guard.core.settings import VARIABLES
from fraiseql_guard.core.signals import CODES, EVENTS, METRICS, FailureReason, PolicyName, Source
from fraiseql_guard.operations.http.routes import ROUTES
from fraiseql_guard.operations.runbooks.alerts import RUNBOOK_ALERTS
from fraiseql_guard.operations.runbooks.model import Runbook

CONTRACT = yaml.safe_load((Path(__file__).parent / "runbook-signals.yml").read_text(encoding="utf-8"))
METRIC = {metric.name: metric for metric in METRICS}
EVENT = {event.name: event for event in EVENTS}
ALERT = {alert.name: alert for alert in RUNBOOK_ALERTS}
GROUPS = {
    "rate_limiting": Runbook.RATE_LIMITING,
    "authentication": Runbook.AUTHENTICATION,
    "graphql_dos": Runbook.QUERY_DOS,
    "database_performance": Runbook.DATABASE,
    "memory_usage": Runbook.MEMORY,
}


def test_every_runbook():
    assert set(CONTRACT["runbooks"]) == {runbook.value for runbook in Runbook} - {Runbook.GUARD.value}


@pytest.mark.parametrize("name", CONTRACT["metrics"])
def test_every_metric(name):
    expected = CONTRACT["metrics"][name]
    metric = METRIC[name]
    assert metric.kind == expected["type"]
    if metric.source is not Source.NODE:
        assert list(metric.labels) == expected["labels"]


def test_all_other_metrics_are_marked_as_ours():
    assert all(name in CONTRACT["metrics"] or name.startswith("fraiseql_guard_") for name in METRIC)


@pytest.mark.parametrize("name", CONTRACT["events"])
def test_every_event(name):
    expected = CONTRACT["events"][name]
    assert EVENT[name].level == expected["level"]
    assert list(EVENT[name].fields) == expected["context"]


def test_all_other_events_are_marked_as_ours():
    assert all(name in CONTRACT["events"] or name.startswith(("guard.", "admin.")) for name in EVENT)


def test_the_failure_reasons():
    assert [reason.value for reason in FailureReason] == CONTRACT["failure_reasons"]


def test_the_error_codes():
    named = {code for metric in CONTRACT["metrics"].values() for code in metric.get("values", {}).get("error_code", [])}
    assert named <= {code.name for code in CODES}


def test_every_variable():
    assert set(CONTRACT["environment"]) <= {variable.name for variable in VARIABLES}


def test_every_escalation():
    policies = {policy.value for policy in PolicyName} - {PolicyName.OPERATOR.value}
    assert set(CONTRACT["escalations"]) == policies
    assert all(escalation["event"] in EVENT for escalation in CONTRACT["escalations"].values())


@pytest.mark.parametrize("group", CONTRACT["alerts"])
def test_every_alert_with_its_runbook(group):
    ours = set(ALERT) - set(CONTRACT["alert_thresholds"])
    named = [name for name, alert in ALERT.items() if alert.runbook is GROUPS[group] and name not in ours]
    assert named == CONTRACT["alerts"][group]


@pytest.mark.parametrize("name", CONTRACT["alert_thresholds"])
def test_how_long_an_alert_waits_and_how_severe_it_is(name):
    expected = CONTRACT["alert_thresholds"][name]
    assert (ALERT[name].hold, ALERT[name].severity) == (expected["for"], expected["severity"])


@pytest.mark.parametrize("endpoint", [name for name in CONTRACT["endpoints"] if "/admin/" in name])
def test_every_endpoint_of_the_operators(endpoint):
    method, path = endpoint.split()
    (route,) = (route for route in ROUTES if (route.method, f"/admin{route.path}") == (method, path))
    assert set(CONTRACT["endpoints"][endpoint].get("body", ())) <= {field.name for field in route.body}
