"""The exposition as OpenMetrics: what a strict parser makes of it, beside the text format."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.signals import MetricKind, Source
from fraiseql_guard.telemetry import Metrics
from tests.telemetry.metrics.test_metrics import record_everything

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
UNTYPED = {s.QUERY_COMPLEXITY_SUM.name, s.QUERIES_SUCCESS.name, s.QUERIES_ERRORS.name}
"""Counters whose names OpenMetrics has no room for."""


def parsed(metrics: Metrics):
    text = metrics.render(as_openmetrics=True).decode()
    assert text.endswith("# EOF\n")
    return list(text_string_to_metric_families(text))


def test_a_strict_parser_reads_every_metric_of_the_vocabulary():
    metrics = Metrics()
    record_everything(metrics)
    families = {family.name: family for family in parsed(metrics)}
    for metric in s.METRICS:
        if metric.source is Source.NODE:
            continue
        counter = metric.kind is MetricKind.COUNTER and metric.name not in UNTYPED
        family = families[metric.name.removesuffix("_total") if counter else metric.name]
        assert family.type == ("unknown" if metric.name in UNTYPED else metric.kind.value), metric.name


def test_names_and_values_are_those_of_the_text_format():
    metrics = Metrics()
    record_everything(metrics)
    metrics.inc(s.HTTP_REQUESTS, 'back\\slash "quoted"', "200", "zwei\nZeilen é 漢字")
    plain = {}
    for line in metrics.render().decode().splitlines():
        if not line.startswith(("#", "process_", "python_")):
            name, _, value = line.rpartition(" ")
            plain[name] = float(value)
    open_ = {}
    for line in metrics.render(as_openmetrics=True).decode().splitlines():
        if not line.startswith(("#", "process_", "python_")):
            name, _, value = line.rpartition(" ")
            open_[name] = float(value)
    assert open_ == plain


def test_an_exemplar_stands_at_the_bucket_of_its_value():
    metrics = Metrics()
    metrics.observe(s.RESPONSE_TIME, 0.3, trace=TRACE)
    metrics.observe(s.RESPONSE_TIME, 0.3)
    metrics.observe(s.RESPONSE_TIME, 99, trace="b" * 32)
    metrics.observe(s.QUERY_DURATION, 0.05, "ada", trace="c" * 32)  # on a bound: it belongs below
    found = {
        (sample.name, sample.labels.get("user_id"), float(sample.labels["le"])): sample.exemplar
        for family in parsed(metrics)
        for sample in family.samples
        if sample.exemplar is not None
    }
    traces = {key: (exemplar.labels, exemplar.value) for key, exemplar in found.items()}
    assert traces == {
        (s.RESPONSE_TIME.name + "_bucket", None, 0.5): ({"trace_id": TRACE}, 0.3),
        (s.RESPONSE_TIME.name + "_bucket", None, math.inf): ({"trace_id": "b" * 32}, 99),
        (s.QUERY_DURATION.name + "_bucket", "ada", 0.05): ({"trace_id": "c" * 32}, 0.05),
    }
    assert TRACE not in metrics.render().decode()  # the text format has no place for them


def test_what_else_an_injected_registry_holds_is_there_too():
    registry = CollectorRegistry()
    Counter("app_jobs", "Jobs.", registry=registry).inc()
    Gauge("app_gauge", "A gauge.", registry=registry).set(2)
    Histogram("app_seconds", "Seconds.", registry=registry).observe(1)
    Summary("app_summary", "A summary.", registry=registry).observe(1)
    Info("app_build", "A build.", registry=registry).info({"version": "1"})
    metrics = Metrics(registry)
    record_everything(metrics)
    names = {family.name for family in parsed(metrics)}
    assert {"app_jobs", "app_gauge", "app_seconds", "app_summary", "app_build"} <= names


@pytest.mark.parametrize("clashing", ["fraiseql_http_requests", "fraiseql_graphql_query_complexity_exceeded"])
def test_a_name_of_the_app_s_that_is_ours_in_openmetrics_breaks_nothing(clashing):
    registry = CollectorRegistry()
    Gauge(clashing, "The app's own.", registry=registry).set(1)
    metrics = Metrics(registry)
    metrics.inc(s.HTTP_REQUESTS, "/graphql", "200", "anonymous")
    parsed(metrics)
    assert clashing in {family.name for family in plain_families(metrics.render().decode())}
