"""A request that several rules may be meant for profits from none of them."""

from __future__ import annotations

import pytest

from fraiseql_guard.core.rule_candidates import RuleInForce, joined
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Settings

ALL = RuleInForce(name="strict", count="all")
FAILURES = RuleInForce(name="lenient", count="failures")
SILENT = RuleInForce(name="silent")


@pytest.mark.parametrize(
    ("rules", "counts"),
    [
        ({ALL, None}, "all"),
        ({ALL, FAILURES}, "all"),
        ({ALL, SILENT}, "all"),
        ({FAILURES, RuleInForce(name="other", count="failures")}, "failures"),
        ({FAILURES, None}, None),
        ({FAILURES, SILENT}, None),
    ],
)
def test_a_batch_counts_whatever_becomes_of_it_if_one_of_its_operations_does(
    rules: set[RuleInForce | None], counts: str | None
) -> None:
    assert joined(frozenset(rules)).count == counts


@pytest.mark.parametrize(("count", "expected"), [("all", "all"), ("failures", None)])
def test_what_could_not_be_measured_counts_whatever_becomes_of_it_if_a_rule_says_so(
    count: str, expected: str | None
) -> None:
    rules = [{"name": "logins", "match": {"only_root_fields": ["login"]}, "count": count, "rate": "5/minute"}]
    table = RuleTable(Settings.load({}, rules=rules))
    found = table.at(["/graphql"], ["/graphql"], "/graphql").of("POST", None, True).of(None)
    assert found is not None
    assert found.count == expected
