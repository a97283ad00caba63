"""Caches change no decision: whatever came before, a request is decided by its own rule."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql import Reader
from tests.graphql.requests import body

RULES = [
    {"name": "named", "match": {"operations": ["Flat"]}, "max_depth": 1},
    {"name": "tags", "match": {"only_root_fields": ["tags"], "tiers": ["pro"]}, "max_depth": 9, "max_complexity": 5000},
    {"name": "pro", "match": {"tiers": ["pro"]}, "max_complexity": 12},
    {"name": "get", "match": {"methods": ["GET"], "root_fields": ["me"]}, "max_list_size": 5},
    {"name": "path", "match": {"path": "/other"}, "max_depth": 2},
]
SETTINGS = Settings.load({}, rules=RULES, max_query_depth=3, graphql_paths="/graphql,/other", batching=True)
DOCUMENTS = (
    "{me{id}}",
    "{tags{name}}",
    "{tags{a{b{c{d}}}}}",
    "query Flat{me{id}}",
    "query Other{me{id}} query Flat{tags{a{b}}}",
    "{me{posts(limit:9){id}}}",
    "query V($n:Int){me{posts(limit:$n){id}}}",
    "{tags{a{b{c}}} ...F} fragment F on Query{me{id}}",
)
REQUEST = st.tuples(
    st.lists(st.tuples(st.sampled_from(DOCUMENTS), st.integers(1, 12)), min_size=1, max_size=3),
    st.sampled_from(["POST", "GET"]),
    st.sampled_from([None, "pro", "free"]),
    st.sampled_from(["/graphql", "/other"]),
)


def name_of(document: str) -> str | None:
    return "Other" if "Other" in document else None


def decide(reader: Reader, table: RuleTable, sent: Any) -> Any:
    operations, method, tier, path = sent
    rules = table.at([path], [path], path).of(method, tier, operation=True)
    bodies = [body(text, {"n": number}, operationName=name_of(text)) for text, number in operations]
    content = bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"
    found = reader.read("POST", "application/json", b"", content, authenticated=tier is not None, candidates=rules)
    shares = [(None if each.rule is None else each.rule.name, each.tokens) for each in found.shares]
    return found.measured, found.denial, None if found.rule is None else found.rule.name, shares


@given(st.lists(REQUEST, min_size=2, max_size=12))
def test_decisions_with_caches_are_those_without(requests) -> None:
    table = RuleTable(SETTINGS)
    caching = Reader(SETTINGS, rules=table)
    for sent in requests * 3:
        fresh = Reader(SETTINGS, rules=table, remembered_documents=0, remembered_requests=0)
        assert decide(caching, table, sent) == decide(fresh, table, sent)
