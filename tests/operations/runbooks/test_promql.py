"""Every expression that is shipped or documented means something, and the checker catches what does not."""

import pytest

from fraiseql_guard.core.signals import METRICS
from tools.expressions import every_expression, page_expressions, panel_expressions, rule_expressions
from tools.promql import PENDING, Vocabulary, main, problems_of, selected

OURS = Vocabulary.ours()


@pytest.mark.parametrize(("where", "expression"), [pytest.param(*each, id=each[0]) for each in every_expression()])
def test_every_expression_is_sound(where, expression):
    assert problems_of(expression, OURS) == [], expression


def test_there_are_expressions_everywhere():
    assert len(list(rule_expressions())) > 40
    assert len(list(panel_expressions())) > 25
    assert len(list(page_expressions())) >= 10


def test_metrics_are_pending_only_until_the_vocabulary_has_them():
    """One that is added to the vocabulary is taken out of tools/promql.py."""
    assert {each.name for each in PENDING}.isdisjoint(each.name for each in METRICS)


WRONG = {
    "a ratio of unequal labels": (
        "rate(fraiseql_rate_limit_exceeded_total[5m]) / rate(fraiseql_http_requests_total[5m])",
        "differ in endpoint, ip_address, status",
    ),
    "a ratio summed on one side": (
        "sum(rate(fraiseql_auth_success_total[5m])) / rate(fraiseql_auth_success_total[5m])",
        "differ in instance, job",
    ),
    "resident over the node's memory": (
        "process_resident_memory_bytes / on (instance) node_memory_MemTotal_bytes",
        "scraped from different targets",
    ),
    "a label that was invented": ('fraiseql_errors_total{type="timeout"}', "has no label type"),
    "a sum by a label that is not there": (
        "sum by (ip) (rate(fraiseql_rate_limit_exceeded_total[5m]))",
        "by a label that is not there: ip",
    ),
    "a sum by a label that was summed away": (
        "sum by (user_id) (sum by (job) (rate(fraiseql_rate_limit_exceeded_total[5m])))",
        "by a label that is not there: user_id",
    ),
    "a quantile without le": (
        "histogram_quantile(0.95, sum by (job) (rate(fraiseql_response_time_seconds_bucket[5m])))",
        "without le",
    ),
    "a quantile of a counter": (
        "histogram_quantile(0.95, rate(fraiseql_graphql_query_complexity_total[5m]))",
        "without le",
    ),
    "a quantile since the start": (
        "histogram_quantile(0.95, fraiseql_response_time_seconds_bucket)",
        "take their rate()",
    ),
    "a rate of a gauge": ("rate(process_resident_memory_bytes[10m])", "rate() of what is no counter"),
    "a rate of a rate": ("rate(fraiseql:requests:rate[5m])", "rate() of what is no counter"),
    "an increase of a gauge": ("increase(fraiseql_guard_in_flight[10m])", "increase() of what is no counter"),
    "a difference of a counter": ("delta(fraiseql_graphql_queries_total[5m])", "delta() of a counter"),
    "a counter that is over its threshold for ever": (
        "fraiseql_graphql_query_complexity_total > 1000",
        "once true, it stays true",
    ),
    "a histogram without a suffix": ("count(fraiseql_graphql_query_depth > 5)", "is a histogram"),
    "columns of SQL": ("heap_blks_hit / heap_blks_read", "heap_blks_hit is no metric"),
    "several on the side of one": (
        "fraiseql_graphql_queries_total * on (job) group_left () fraiseql_guard_mode_monitor",
        "several series on the right",
    ),
    "a match on a label of one side": (
        "fraiseql_guard_in_flight and on (user_id) fraiseql_errors_total",
        "on a label that a side does not have: user_id",
    ),
    "no PromQL at all": ("sum(rate(fraiseql_errors_total[5m])", "no PromQL"),
    "a rate without a window": ("rate(fraiseql_errors_total)", "no PromQL"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name):
    expression, problem = WRONG[name]
    assert any(problem in each for each in problems_of(expression, OURS)), problems_of(expression, OURS)


RIGHT = [
    "fraiseql_graphql_queries_total - fraiseql_graphql_queries_success - fraiseql_graphql_queries_errors",
    "topk(10, sum by (user_id) (rate(fraiseql_rate_limit_exceeded_total[5m])))",
    "sum(rate(fraiseql_rate_limit_exceeded_total[5m])) / sum(rate(fraiseql_http_requests_total[5m]))",
    "histogram_quantile(0.95, sum by (le) (rate(fraiseql_response_time_seconds_bucket[5m])))",
    "max_over_time(fraiseql:rate_limited:rate[1h:1m])",
    "fraiseql_guard_refusals_total * on (job) group_left () sum by (job) (fraiseql_guard_in_flight)",
    "rate(fraiseql_errors_total[5m])"
    " / ignoring (error_code, user_id) group_left () rate(fraiseql_graphql_queries_total[5m])",
    "fraiseql_guard_faults_total unless fraiseql_guard_faults_total offset 5m",
    "-deriv(process_resident_memory_bytes[10m])",
    "absent(fraiseql_graphql_queries_total)",
    "scalar(sum(fraiseql_guard_in_flight)) > bool 3",
]


@pytest.mark.parametrize("expression", RIGHT)
def test_what_is_right_passes(expression):
    assert problems_of(expression, OURS) == []


def test_what_an_expression_rests_on():
    assert {"fraiseql_guard_rate_limit_exceeded_total", "fraiseql_guard_requests_total"} <= selected(
        "fraiseql:rate_limited:ratio > 0.1"
    )
    assert "fraiseql_graphql_query_complexity_total" in selected("rate(fraiseql_graphql_query_complexity_total[5m])")
    assert "fraiseql_graphql_query_complexity" in selected("fraiseql_graphql_query_complexity_sum")


def test_the_command_names_place_and_problem(capsys):
    assert main(["rate(process_resident_memory_bytes[10m])"]) == 1
    assert "rate() of what is no counter" in capsys.readouterr().err
    assert main([RIGHT[0]]) == 0
