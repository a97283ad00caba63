"""What is refused before the parser would have been refused after it as well, and is refused for what it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql import analyzer
from fraiseql_guard.graphql.analyzed_document import AnalyzedDocument, analyze_document
from fraiseql_guard.graphql.cost.cost_rules import CostRules
from fraiseql_guard.graphql.reader import Reader
from fraiseql_guard.graphql.syntax.lexer import tokens_of
from fraiseql_guard.graphql.syntax.prescan import count
from fraiseql_guard.graphql.syntax.prescanner import Prescanner
from tests.graphql.requests import ask, body, post, refusal
from tests.support.properties import examples

TIGHT = {
    "max_query_depth": 3, "max_aliases": 2, "max_root_fields": 2, "max_duplicate_keys": 2, "max_operations": 2,
    "max_fragments": 2, "introspection": "allow",
}  # fmt: skip
SHAPES = {"QUERY_TOO_DEEP", "TOO_MANY_ALIASES", "TOO_MANY_ROOT_FIELDS", "TOO_MANY_DUPLICATE_KEYS",
          "TOO_MANY_OPERATIONS", "TOO_MANY_FRAGMENTS", "GRAPHQL_INVALID", "GRAPHQL_PARSE_FAILED"}  # fmt: skip
PIECES = [
    "{", "{", "{", "}", "}", "}", "a", "b", "a", "id", "x:", "y:", "on", "...", "...F", "... on T", "... on Query {",
    "query", "query Q", "mutation M", "fragment F on Query", "fragment G on T", "subscription", "type T", "(x:1)",
    "(limit: {a: [b]})", "@skip(if:true)", "@include(if:false)", "@skip(if:$s)", "@on", "($s:Boolean=true)", '"text"',
    "__schema", "__typename", "__type", "{a b}", "{a}", "{a a}", "#c\n", ",",
]  # fmt: skip


class _Unchecked:
    """A scanner without the early checks: it only keeps the parser from recursing."""

    def __init__(self, settings: Settings) -> None:
        self.max_nesting = Prescanner(settings).max_nesting

    def read(self, text: str) -> list[str]:
        return tokens_of(text)


def full(options: dict[str, object]) -> Reader:
    with pytest.MonkeyPatch().context() as patched:
        patched.setattr(analyzer, "Prescanner", _Unchecked)
        return Reader(Settings.load({}, **options))


@st.composite
def documents(draw):
    """Well-formed documents that are likely to be over one of the tight limits."""

    def removing() -> str:
        return draw(st.sampled_from(["", "", "", " @skip(if:true)", " @include(if:$s)", " @on"]))

    def selection(depth: int) -> str:
        parts = []
        for _ in range(draw(st.integers(1, 4))):
            kind = draw(st.sampled_from(["leaf", "leaf", "field", "inline", "spread", "schema"]))
            alias = draw(st.sampled_from(["", "", "", "x:", "y:", "z:", "on:"]))
            name = draw(st.sampled_from(["a", "b", "on", "query", "__typename"]))
            if kind == "field" and depth < 5:
                parts.append(alias + "me" + removing() + selection(depth + 1))
            elif kind == "inline" and depth < 5:
                parts.append("..." + draw(st.sampled_from(["", " on T", " on U"])) + removing() + selection(depth + 1))
            elif kind == "spread":
                parts.append("...F" + removing())
            elif kind == "schema":
                parts.append(alias + "__schema" + removing() + "{types{x:name y:name}}")
            else:
                parts.append(alias + name + removing())
        return "{" + " ".join(parts) + "}"

    operations = [f"query Q{n}($s:Boolean){selection(0)}" for n in range(draw(st.integers(1, 3)))]
    return " ".join(
        [*operations, "fragment F on T" + draw(st.sampled_from(["{a}", "{x:a y:b}", "{a @skip(if:true)}"]))]
    )


@examples(400)
@given(
    st.one_of(documents(), st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join)),
    st.sampled_from([{}, {"s": True}, {"s": False}]),
)
def test_whatever_is_refused_early_would_be_refused_late(text, variables):
    # As early as can be: no document is small enough to be measured in full.
    early = Prescanner(Settings.load({}, **TIGHT), small_tokens=0).check(text)
    if early is not None and early.code.name in SHAPES:
        late = post(full(TIGHT), body(text, variables, operationName="Q0"))
        assert late.denial is not None, (early, text)


@examples(200)
@given(documents())
def test_the_counts_are_lower_bounds(text):
    counters = count(text, 10**6).counters
    made = Settings.load({}, introspection="allow", max_query_complexity=2**53, max_aliases=0, max_duplicate_keys=1)
    prepared = analyze_document(text, made, CostRules(made, None))
    if not isinstance(prepared, AnalyzedDocument):
        return
    view = prepared.variant({})
    if hasattr(view, "depth"):
        assert counters.root_fields <= view.most_root_fields
        assert counters.repetitions <= max(1, prepared.repetition.times)
        if "__schema" not in text:
            assert counters.depth <= view.depth
            assert counters.aliases <= prepared.repetition.aliases


def alias(number: int) -> str:
    return " ".join(f"a{index}:b" for index in range(number))


@pytest.mark.parametrize(
    ("text", "code", "limit", "actual", "path"),
    [
        ("{" + alias(650) + "}", "TOO_MANY_ALIASES", 30, 40, None),
        ("{m{" + alias(650) + "}}", "TOO_MANY_ALIASES", 30, 60, None),
        ("{m{" + alias(31) + " c" * 2 + " d" * 40 + "(x:[" + "1 " * 400 + "])}}", "TOO_MANY_ALIASES", 30, 31, None),
        ("{m{... on T{" + alias(30) + "}} n{" + alias(31) + "}}", "TOO_MANY_ALIASES", 30, 61, None),
        ("{" + "a " * 1990 + "}", "TOO_MANY_ROOT_FIELDS", 20, 40, None),
        ("{" + "...F " * 900 + "} fragment F on Query{a}", "TOO_MANY_ROOT_FIELDS", 20, 40, None),
        ("{" + "...{a} " * 400 + "}", "TOO_MANY_ROOT_FIELDS", 20, 40, None),
        ("{m{n{" + "a " * 1900 + "}}}", "TOO_MANY_DUPLICATE_KEYS", 50, 100, "m.n.a"),
        ("{m{" + "n{a} " * 400 + "}}", "TOO_MANY_DUPLICATE_KEYS", 50, 100, "m.n"),
        ("{m{" + "...{a} " * 400 + "}}", "TOO_MANY_DUPLICATE_KEYS", 50, 100, "m.a"),
        (" ".join(f"query A{i}{{a}}" for i in range(300)), "TOO_MANY_OPERATIONS", 10, 11, None),
        ("{a}" + "".join(f"fragment F{i} on T{{a}}" for i in range(200)), "TOO_MANY_FRAGMENTS", 50, 51, None),
        ("{a" * 30 + "}" * 30, "QUERY_TOO_DEEP", 10, 29, None),
        ("fragment F on T{" + alias(100) + "} {a}", "TOO_MANY_ALIASES", 30, 60, None),
        ("{__schema{types{" + alias(500) + "}}}", "TOO_MANY_ALIASES", 30, 60, None),
    ],
)
def test_large_documents_are_refused_before_the_parser(monkeypatch, text, code, limit, actual, path):
    monkeypatch.setattr("fraiseql_guard.graphql.analyzer.analyze_document", None)
    denial = ask(text).denial
    assert (denial.code.name, denial.limit, denial.actual, denial.path) == (code, limit, actual, path)
    assert denial.offence == (None if "__schema" in text or actual in (limit + 1, 51) else "dos")


@pytest.mark.parametrize(
    "text",
    [
        "{" + "a @skip(if:true) " * 30 + "}",  # taken out
        "{... @include(if:false){" + "a " * 45 + "} b}",
        "{m{" + alias(20) + "} s:__schema{types{" + alias(20) + "}}}",  # each has its own limit
        "query A{" + alias(18) + "} query B{" + alias(18) + "}",  # each operation has its own
        "{m(a:[{x:1,y:2},{x:1,y:2}],b:{a:1}){id}}",  # a colon in a value is no alias
        "query Q(" + ",".join(f"$v{i}:Int" for i in range(60)) + "){a}",
        "{on:on m{on ...on on{on} ...F}} fragment F on on{on}",
        "query query{query:mutation} fragment fragment on subscription{type}",
        "{a{__typename}} #" + "{a:b}" * 100,
        '{a(x:"' + "{b:c}" * 100 + '")}',
    ],
)
def test_what_only_looks_like_too_much_passes(text):
    name = "A" if text.startswith("query A") else None
    assert ask(text, name=name, introspection="allow", max_fragments=50).denial is None


@pytest.mark.parametrize("text", ["type T{" + "a:Int " * 100 + "}", "extend schema{query:Q}", "{a} scalar Date"])
def test_definitions_that_cannot_be_executed_are_no_offence(text):
    denial = ask(text).denial
    assert (denial.code.name, denial.offence) == ("GRAPHQL_INVALID", None)


@pytest.mark.parametrize("text", ["hello{" + "a " * 900 + "}", "{a} world", "select * from users"])
def test_what_is_no_definition_is_a_syntax_error_at_its_place(text):
    denial = ask(text).denial
    assert denial.code.name == "GRAPHQL_PARSE_FAILED"
    assert f"column {5 if text.startswith('{') else 1}." in denial.detail


@pytest.mark.parametrize("text", ["{__typename{a}}", "{a{x:__typename(y:1)}}"])
def test_typename_is_a_leaf(text):
    assert refusal(ask(text)) == "GRAPHQL_INVALID"
