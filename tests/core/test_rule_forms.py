"""The text of rules: whatever it is, it is read or refused in words, and what is read can be written and read again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.parsing import rate
from fraiseql_guard.core.rule_forms import MOST_RULES, RulesError, read_rules, rules_of
from fraiseql_guard.core.rules import Rules

NAMES = st.lists(st.from_regex(r"[_A-Za-z][_0-9A-Za-z]{0,5}", fullmatch=True), min_size=1, max_size=3)
MATCH = st.fixed_dictionaries(
    {"path": st.one_of(st.sampled_from(["/", "/graphql", "/api/*", "/*"]), st.just(["/a", "/b/*"]))},
    optional={
        "methods": st.lists(st.sampled_from(["GET", "POST", "delete"]), min_size=1),
        "operations": NAMES,
        "root_fields": NAMES,
        "only_root_fields": NAMES,
        "tiers": st.lists(st.from_regex(r"[-._0-9A-Za-z]{1,8}", fullmatch=True), min_size=1, max_size=3),
    },
)
RULE = st.fixed_dictionaries(
    {"match": MATCH},
    optional={
        "rate": st.sampled_from(["5/minute", "1/second+9/day"]),
        "cost": st.integers(0, 50),
        "max_depth": st.integers(1, 99),
        "max_complexity": st.integers(1, 10**9),
        "max_list_size": st.integers(1, 10**9),
        "timeout": st.floats(0.01, 86_400),
        "mode": st.sampled_from(["monitor", "enforce"]),
        "count": st.sampled_from(["failures", "all"]),
    },
)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["name", "match", "rate", "cost", "max_depth", "timeout", "mode", "path", "methods", "tiers", "only_root_fields"]
)


def said_of(read: Callable[[], Rules]) -> str | None:
    """What is said of rules that cannot be used; None if they can."""
    try:
        read()
    except RulesError as error:
        return str(error)
    return None


@given(st.lists(RULE, max_size=5))
def test_what_is_read_is_written_and_read_again(bodies) -> None:
    text = yaml.safe_dump({"rules": [{"name": f"r{number}", **body} for number, body in enumerate(bodies)]})
    found = read_rules(text)
    assert len(found.entries) == len(bodies)
    assert read_rules(str(found)) == rules_of(str(found)) == found
    for rule, body in zip(found.entries, bodies, strict=True):
        assert rule.rate == (rate(body["rate"]) if "rate" in body else None)


@given(st.text(max_size=60))
def test_any_text_is_rules_or_is_refused_in_words(text) -> None:
    assert said_of(lambda: read_rules(text)) != ""


@given(st.lists(st.dictionaries(KEYS, ANYTHING | st.dictionaries(KEYS, ANYTHING, max_size=3), max_size=6), max_size=3))
def test_any_value_is_a_rule_or_is_refused_in_words(items) -> None:
    said = said_of(lambda: rules_of(items))
    assert said is None or 0 < len(said) < 20_000


def test_more_rules_than_are_kept_are_refused() -> None:
    rules = [{"name": f"r{number}", "match": {"path": "/x"}} for number in range(MOST_RULES + 1)]
    with pytest.raises(RulesError, match=f"more than {MOST_RULES}"):
        rules_of(rules)


def test_text_that_grows_when_it_is_read_stays_small_in_messages() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(8)
    )
    said = said_of(lambda: read_rules(f"{bomb}rules: *i"))
    assert said is not None
    assert len(said) < 5_000
