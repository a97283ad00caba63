"""What is measured is what a naive model says that expands every fragment wherever it is spread."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.graphql.naive import Naive
from tests.graphql.requests import WIDE, ask, complexity
from tests.support.properties import examples

FIELDS = ["posts", "page", "friends", "users", "me", "items", "edges", "nodes", "node", "pageInfo"]
ARGUMENTS = [
    *[""] * 6, "(limit:3)", "(first:4)", "(take:-2)", "(last:0)", "(first:null)", "(first:2,last:5)",
    "(page:{limit:12})", "(page:{deep:{size:2}})", "(where:{limit:500})", "(orderBy:{first:70},page:{first:3})",
    "(limit:2,page:{limit:7})", '(page:{first:"2Pac",count:2.5})', "(ids:[" + "1," * 120 + "])",
]  # fmt: skip


@st.composite
def documents(draw, kinds=("query", "query", "mutation")):
    """Operations over a few fragments, of which each may spread those after it. What a field asks for goes by its
    response key, so that equal keys ask for the same."""
    count = draw(st.integers(0, 4))
    asked: dict[str, str] = {}

    def field(name: str, alias: str) -> str:
        asks = asked.setdefault(alias or name, draw(st.sampled_from(ARGUMENTS)))
        return (f"{alias}:" if alias else "") + name + asks

    def selection(fragment: int, depth: int, types: tuple[str, ...]) -> str:
        parts = []
        for _ in range(draw(st.integers(1, 3))):
            kind = draw(st.sampled_from(["leaf", "field", "field", "inline", "spread", "alias"]))
            if kind == "spread" and fragment + 1 < count:
                parts.append(f"...F{draw(st.integers(fragment + 1, count - 1))}")
            elif kind == "inline" and depth < 4:
                parts.append(f"... on {draw(st.sampled_from(types))}" + selection(fragment, depth + 1, types))
            elif kind in ("field", "alias") and depth < 4:
                name = draw(st.sampled_from(FIELDS))
                if name == "pageInfo":
                    parts.append("pageInfo{id name}")
                    continue
                alias = f"{name}{draw(st.integers(2, 3))}" if kind == "alias" else ""
                parts.append(field(name, alias) + selection(fragment, depth + 1, types))
            else:
                parts.append(draw(st.sampled_from(["id", "name", "x:id", "y:id", "z:name"])))
        return "{" + " ".join(parts) + "}"

    operations = [
        f"{draw(st.sampled_from(kinds))} Q{number}" + selection(-1, 0, ("T", "U"))
        for number in range(draw(st.integers(1, 2)))
    ]
    return " ".join(operations + [f"fragment F{number} on T" + selection(number, 1, ("T",)) for number in range(count)])


@examples(300)
@given(documents())
def test_the_cost_is_that_of_the_expanded_document(text):
    naive = Naive(text)
    assert complexity(text, name="Q0") == naive.complexity()
    reading = ask(text, name="Q0", **WIDE)
    assert reading.denial is None
    assert reading.measured.depth == max(naive.depth(item.selection_set) for item in naive.operations)


@examples(200)
@given(documents())
def test_aliases_are_those_that_ask_one_object_again(text):
    most = Naive(text).most_aliases()
    assert ask(text, name="Q0", **{**WIDE, "max_aliases": most}).denial is None
    if most:
        denial = ask(text, name="Q0", **{**WIDE, "max_aliases": most - 1}).denial
        assert (denial.code.name, denial.actual) == ("TOO_MANY_ALIASES", most)


@given(documents(), st.sampled_from(["extra{id}", "more:users{id}", "other:page(first:9){items{id}}"]))
def test_another_field_never_makes_a_document_cheaper(text, field):
    assert complexity(text.replace("{", "{" + field + " ", 1), name="Q0") >= complexity(text, name="Q0")


GUESSED = st.recursive(
    st.sampled_from([0, 1, 7, 40, 5000, -3, 2.5, 1e9, None, True, "12", "2Pac", "MANY", [], [3]]),
    lambda inside: st.dictionaries(st.sampled_from(["limit", "first", "size", "offset", "x", "where"]), inside),
    max_leaves=6,
).filter(lambda value: isinstance(value, dict))
"""Input objects."""
QUERIES = [
    "query($p:P){%s%s{id}}", "query($p:P){%s%s{items{id} pageInfo{x}}}", "query($p:P){%s%s{items{id} author{id}}}",
]  # fmt: skip


@examples(200)
@given(GUESSED, st.sampled_from(QUERIES), st.sampled_from(["users", "feed"]), st.sampled_from(["limit:4,", ""]))
def test_what_an_input_object_holds_never_makes_a_document_cheaper_and_is_no_offence(value, query, field, size):
    with_it = ask(query % (field, f"({size}page:$p)"), {"p": value}, max_query_complexity=30)
    without = ask(query % (field, f"({size}other:$p)".replace("other:$p", "x:1")), max_query_complexity=30)
    assert with_it.measured.complexity >= without.measured.complexity
    assert with_it.measured.list_size == without.measured.list_size
    if with_it.denial is not None and without.denial is None:
        assert with_it.denial.code.name in ("QUERY_TOO_COMPLEX", "OFFSET_TOO_LARGE")
    if without.denial is None or without.denial.offence is None:
        assert with_it.denial is None or with_it.denial.offence is None


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_longer_list_never_costs_less(first, second):
    query = "query($n:Int){users(limit:$n){posts(limit:$n){id}}}"
    small, large = sorted((first, second))
    assert complexity(query, {"n": small}) <= complexity(query, {"n": large})
