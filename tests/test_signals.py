"""The vocabulary: consistent in itself, and equal to the contract of the runbooks where that is at hand."""

import re
from pathlib import Path

import pytest
import yaml

from fraiseql_guard.settings import VARIABLES
from fraiseql_guard.signals import CODES, EVENTS, METRICS, FailureReason, Kind, PolicyName, Protection, Source

FILE = Path(__file__).parents[1].parent / "shared" / "runbook-signals.yml"
CONTRACT = yaml.safe_load(FILE.read_text()) if FILE.exists() else {}
with_contract = pytest.mark.skipif(not CONTRACT, reason="the contract of the runbooks is not here")

METRIC = {metric.name: metric for metric in METRICS}
EVENT = {event.name: event for event in EVENTS}
VARIABLE = {variable.name for variable in VARIABLES}


# --- the contract ----------------------------------------------------------------------------------------------------


@with_contract
@pytest.mark.parametrize("name", CONTRACT.get("metrics", ()))
def test_every_metric_of_the_contract(name):
    expected = CONTRACT["metrics"][name]
    metric = METRIC[name]
    assert metric.kind == expected["type"]
    if metric.source is not Source.NODE:
        assert list(metric.labels) == expected["labels"]


@with_contract
def test_all_other_metrics_are_marked_as_ours():
    assert all(name in CONTRACT["metrics"] or name.startswith("fraiseql_guard_") for name in METRIC)


@with_contract
@pytest.mark.parametrize("name", CONTRACT.get("events", ()))
def test_every_event_of_the_contract(name):
    expected = CONTRACT["events"][name]
    assert EVENT[name].level == expected["level"]
    assert list(EVENT[name].fields) == expected["context"]


@with_contract
def test_all_other_events_are_marked_as_ours():
    assert all(name in CONTRACT["events"] or name.startswith(("guard.", "admin.")) for name in EVENT)


@with_contract
def test_the_failure_reasons():
    assert [reason.value for reason in FailureReason] == CONTRACT["failure_reasons"]


@with_contract
def test_the_error_codes_that_the_contract_names():
    named = {code for metric in CONTRACT["metrics"].values() for code in metric.get("values", {}).get("error_code", [])}
    assert named <= {code.name for code in CODES}


@with_contract
def test_every_variable_of_the_contract():
    assert set(CONTRACT["environment"]) <= VARIABLE


@with_contract
def test_every_escalation_that_the_guard_decides():
    policies = {policy.value for policy in PolicyName} - {PolicyName.OPERATOR.value}
    assert set(CONTRACT["escalations"]) == policies
    assert all(escalation["event"] in EVENT for escalation in CONTRACT["escalations"].values())


# --- in itself -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [METRICS, EVENTS, CODES], ids=["metrics", "events", "codes"])
def test_names_are_unique(table):
    assert table
    assert len({entry.name for entry in table}) == len(table)


@pytest.mark.parametrize("metric", METRICS, ids=METRIC)
def test_a_metric_is_well_formed(metric):
    assert re.fullmatch(r"[a-z][a-zA-Z0-9_]*", metric.name)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) and label != "le" for label in metric.labels)
    assert len(set(metric.labels)) == len(metric.labels)
    assert metric.help
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert len(set(metric.closed)) == len(metric.closed)
    assert all(len(values) == len(metric.labels) for values in metric.closed)


@pytest.mark.parametrize("event", EVENTS, ids=EVENT)
def test_an_event_is_well_formed(event):
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", event.name)
    assert event.level in {"INFO", "WARNING", "ERROR", "CRITICAL"}
    assert event.message
    assert len(set(event.fields)) == len(event.fields)


@pytest.mark.parametrize("code", CODES, ids=[code.name for code in CODES])
def test_a_code_is_well_formed(code):
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", code.name)
    assert code.status in {400, 401, 403, 405, 408, 413, 415, 429, 503, 504}  # SPEC section 11
    known = {"PersistedQueryNotFound", "PersistedQueryNotSupported"}  # by these clients know what to do
    assert code.message.endswith(".") or code.message in known
    assert isinstance(code.protection, Protection)


def test_every_refusal_has_a_series_from_the_start():
    for name in ("fraiseql_guard_refusals_total", "fraiseql_guard_would_refuse_total"):
        assert {code for _, code in METRIC[name].closed} == {code.name for code in CODES}
        assert {protection for protection, _ in METRIC[name].closed} <= {protection.value for protection in Protection}


def test_every_failure_reason_has_a_series_from_the_start():
    assert METRIC["fraiseql_guard_auth_failures_total"].closed == tuple((reason.value,) for reason in FailureReason)
