"""One process: what an operator finds at the metrics path."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Info, ProcessCollector, Summary, generate_latest

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.signals import MetricKind, Source
from fraiseql_guard.telemetry import Metrics
from fraiseql_guard.telemetry.metrics.exposition import CONTENT_TYPE
from tests.telemetry.metrics.scrape import Scrape, promtool_complaints


def record_everything(metrics: Metrics) -> None:
    for metric in s.METRICS:
        if metric.source in (Source.GUARD, Source.HOST):
            labels = metric.closed[0] if metric.closed else ("x",) * len(metric.labels)
            if metric.kind is MetricKind.COUNTER:
                metrics.inc(metric, *labels, amount=2)
            elif metric.kind is MetricKind.GAUGE:
                metrics.set(metric, 3, *labels)
            else:
                metrics.observe(metric, 7, *labels)


def test_every_metric_of_the_contract_is_exported_under_exactly_its_name_and_type():
    metrics = Metrics()
    record_everything(metrics)
    scrape = Scrape(metrics.render())
    for metric in s.METRICS:
        if metric.source is Source.NODE:
            assert metric.name not in scrape.text
            continue
        assert scrape.types[metric.name] == metric.kind.value, metric.name
        suffix = "_count" if metric.kind is MetricKind.HISTOGRAM else ""
        assert any(sample.name == metric.name + suffix for sample in scrape.samples), metric.name
    assert "_created" not in scrape.text
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


def test_the_names_that_prometheus_client_cannot_hold_together_are_there_together():
    metrics = Metrics()
    metrics.observe(s.QUERY_COMPLEXITY, 120)
    metrics.inc(s.QUERY_COMPLEXITY_SUM, "u1", amount=120)
    metrics.inc(s.QUERIES)
    metrics.inc(s.QUERIES_SUCCESS)
    metrics.set(s.DB_CONNECTIONS_TOTAL, 10)
    scrape = Scrape(metrics.render())
    assert scrape.value(s.QUERY_COMPLEXITY, suffix="_sum") == 120
    assert scrape.value(s.QUERY_COMPLEXITY, suffix="_count") == 1
    assert scrape.value(s.QUERY_COMPLEXITY_SUM, "u1") == 120
    assert scrape.value(s.QUERIES_SUCCESS) == 1
    assert scrape.value(s.QUERIES_ERRORS) == 0
    assert scrape.types[s.DB_CONNECTIONS_TOTAL.name] == "gauge"


def test_histogram_buckets_are_cumulative_and_keep_the_contract_s_bounds():
    metrics = Metrics()
    for seconds in (0.005, 0.3, 99):
        metrics.observe(s.RESPONSE_TIME, seconds)
    name = s.RESPONSE_TIME.name + "_bucket"
    buckets = {x.labels["le"]: x.value for x in Scrape(metrics.render()).samples if x.name == name}
    assert [float(le) for le in buckets] == [*s.RESPONSE_TIME.buckets, float("inf")]
    assert (buckets["0.005"], buckets["0.25"], buckets["0.5"], buckets["60.0"], buckets["+Inf"]) == (1, 1, 2, 2, 3)


def test_promtool_reads_it_and_complains_only_about_names_that_the_contract_fixes():
    metrics = Metrics()
    record_everything(metrics)
    metrics.inc(s.HTTP_REQUESTS, 'back\\slash "quoted"', "200", "zwei\nZeilen é 漢字")
    fixed = {s.QUERIES_SUCCESS.name, s.QUERIES_ERRORS.name, s.DB_CONNECTIONS_TOTAL.name, s.QUERY_COMPLEXITY_SUM.name}
    assert {line.split()[0] for line in promtool_complaints(metrics.render()) if line} <= fixed


def test_help_and_type_come_once_and_families_do_not_mix():
    metrics = Metrics()
    record_everything(metrics)
    text = metrics.render().decode()
    names = re.findall(r"^# (HELP|TYPE) (\S+)", text, re.MULTILINE)
    assert len(names) == len(set(names))
    current = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            current = line.split()[2]
        elif not line.startswith("#"):
            sample = re.split(r"[{ ]", line)[0]
            assert sample in {current, current + "_bucket", current + "_sum", current + "_count"}


def test_closed_series_and_counters_without_labels_exist_from_the_start_so_that_alerts_see_the_first_event():
    scrape = Scrape(Metrics().render())
    for metric in s.METRICS:
        if metric.closed:
            assert scrape.of(metric) == dict.fromkeys(metric.closed, 0.0)
    assert scrape.value(s.LABEL_OVERFLOW, s.AUTH_FAILURES.name) == 0
    assert scrape.value(s.LOG_LINES_SUPPRESSED, s.HTTP_REQUEST.name) == 0
    assert scrape.value(s.QUERIES) == 0
    assert scrape.value(s.RESPONSE_TIME, suffix="_count") == 0


def test_what_was_never_set_is_not_exported_because_zero_would_be_wrong():
    scrape = Scrape(Metrics().render())
    for metric in s.METRICS:
        if metric.kind is MetricKind.GAUGE and metric.source is not Source.PROCESS:
            assert metric.name not in scrape.types
        if metric.source is Source.HOST:
            assert metric.name not in scrape.types


def test_process_platform_and_gc_metrics_are_there():
    scrape = Scrape(Metrics().render())
    assert (scrape.value(s.PROCESS_RESIDENT_MEMORY) or 0) > 1_000_000
    assert set(scrape.of(s.GC_COLLECTIONS)) == {("0",), ("1",), ("2",)}
    assert any(family.name == "python_info" for family in scrape.families)


def test_label_values_come_back_as_they_went_in_but_for_controls_and_surrogates():
    metrics = Metrics()
    metrics.inc(s.FAULTS, 'a"b\\c é')
    metrics.inc(s.FAULTS, "zwei\nZeilen \ud800 \x1b[31m")
    metrics.inc(s.FAULTS, "x" * 500)
    parts = {part for (part,) in Scrape(metrics.render()).of(s.FAULTS)}
    assert parts - set(s.FAULT_PARTS) == {'a"b\\c é', "zwei\ufffdZeilen \ufffd \ufffd[31m", "x" * 128}


def test_a_wrong_kind_or_number_of_labels_is_the_caller_s_error():
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.inc(s.RESPONSE_TIME)
    with pytest.raises(KeyError):
        metrics.set(s.PROCESS_RESIDENT_MEMORY, 1)
    with pytest.raises(ValueError, match=s.HTTP_REQUESTS.name):
        metrics.inc(s.HTTP_REQUESTS, "/graphql")


class TestInjectedRegistry:
    def test_the_app_s_own_exposition_shows_our_metrics_and_ours_shows_the_app_s(self):
        registry = CollectorRegistry()
        Counter("orders", "Orders.", ["country"], registry=registry).labels("ch").inc(3)
        Info("build", "Build.", registry=registry).info({"version": "1"})
        Summary("wait", "Wait.", registry=registry).observe(2)
        metrics = Metrics(registry)
        metrics.inc(s.QUERIES, amount=5)
        for body in (metrics.render(), generate_latest(registry)):
            scrape = Scrape(body)
            values = {(x.name, *x.labels.values()): x.value for x in scrape.samples}
            assert values["orders_total", "ch"] == 3
            assert values["build_info", "1"] == 1
            assert values["wait_sum",] == 2
            assert scrape.value(s.QUERIES) == 5
        promtool_complaints(metrics.render())

    def test_process_collectors_that_are_already_there_are_not_registered_twice(self):
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Scrape(Metrics(registry).render())
        assert generate_latest(registry).decode().count(f"# TYPE {s.PROCESS_RESIDENT_MEMORY.name} ") == 1

    @pytest.mark.parametrize("auto_describe", [True, False])
    def test_a_clash_names_the_metric_and_says_what_to_do(self, auto_describe):
        registry = CollectorRegistry(auto_describe=auto_describe)
        Counter(s.HTTP_REQUESTS.name.removesuffix("_total"), "The app's own.", registry=registry)
        with pytest.raises(ValueError, match=rf"{s.HTTP_REQUESTS.name}.*registry of its own"):
            Metrics(registry)

    def test_two_guards_on_one_registry_are_told_to_share(self):
        registry = CollectorRegistry()
        Metrics(registry)
        with pytest.raises(ValueError, match="share one Metrics"):
            Metrics(registry)

    def test_close_leaves_the_registry_as_it_was(self):
        registry = CollectorRegistry(auto_describe=True)
        gauge = Gauge("mine", "The app's.", registry=registry)
        gauge.set(1)
        before = generate_latest(registry)
        metrics = Metrics(registry)
        metrics.close()
        metrics.close()
        assert generate_latest(registry) == before
        Metrics(registry).close()

    def test_a_collector_of_the_app_that_fails_does_not_hide_ours(self):
        class Broken:
            def collect(self):
                raise RuntimeError("database is down")

            def describe(self):
                return []

        registry = CollectorRegistry()
        metrics = Metrics(registry)
        registry.register(Broken())
        metrics.inc(s.QUERIES)
        metrics.render()
        scrape = Scrape(metrics.render())
        assert scrape.value(s.QUERIES) == 1
        assert scrape.value(s.FAULTS, "registry") == 1
