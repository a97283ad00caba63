"""The vocabulary is consistent in itself. What the runbooks ask of it: tests/contract."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from fraiseql_guard.core import signals
from fraiseql_guard.core.signals import CODES, EVENTS, METRICS, FailureReason, MetricKind, Protection

METRIC = {metric.name: metric for metric in METRICS}
EVENT = {event.name: event for event in EVENTS}


@pytest.mark.parametrize("table", [METRICS, EVENTS, CODES], ids=["metrics", "events", "codes"])
def test_names_are_unique(table):
    assert table
    assert len({entry.name for entry in table}) == len(table)


def test_a_name_stands_in_one_file_and_is_read_from_the_package():
    """The package imports all names of its files: of two with one name, one would be lost."""
    files = Path(signals.__file__).parent.glob("*.py")
    names = Counter(
        target.id
        for file in files
        for statement in ast.parse(file.read_text(encoding="utf-8")).body
        for target in targets(statement)
        if not target.id.startswith("_")
    )
    assert {name for name, count in names.items() if count > 1} == set()
    assert all(hasattr(signals, name) for name in names)


def targets(statement: ast.stmt) -> list[ast.Name]:
    """The names that a statement of a module assigns."""
    found = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [each for each in found if isinstance(each, ast.Name)]


@pytest.mark.parametrize("metric", METRICS, ids=METRIC)
def test_a_metric_is_well_formed(metric):
    assert re.fullmatch(r"[a-z][a-zA-Z0-9_]*", metric.name)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) and label != "le" for label in metric.labels)
    assert len(set(metric.labels)) == len(metric.labels)
    assert metric.help
    assert bool(metric.buckets) == (metric.kind is MetricKind.HISTOGRAM)
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
    assert code.status in {400, 401, 403, 405, 408, 413, 415, 429, 503, 504}
    known = {"PersistedQueryNotFound", "PersistedQueryNotSupported"}  # by these clients know what to do
    assert code.message.endswith(".") or code.message in known
    assert isinstance(code.protection, Protection)


def test_every_refusal_has_a_series_from_the_start():
    for name in ("fraiseql_guard_refusals_total", "fraiseql_guard_would_refuse_total"):
        assert {code for _, code in METRIC[name].closed} == {code.name for code in CODES}
        assert {protection for protection, _ in METRIC[name].closed} <= {protection.value for protection in Protection}


def test_every_failure_reason_has_a_series_from_the_start():
    assert METRIC["fraiseql_guard_auth_failures_total"].closed == tuple((reason.value,) for reason in FailureReason)
