"""The measured cost is what a naive model says that expands every fragment wherever it is spread."""

from __future__ import annotations

from graphql import parse
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.graphql.cost import is_plural
from tests.graphql.requests import WIDE, ask, complexity
from tests.support.properties import examples

ARGUMENTS = {
    "posts": "(limit:3)",
    "page": "(first:4)",
    "friends": "(last:2)",
    "users": "",
    "me": "",
    "items": "",
    "edges": "",
}
SIZES = {"posts": 3, "page": 4, "friends": 2}
HOLDERS = {"items", "edges"}


@st.composite
def documents(draw):
    """Operations over a few fragments, of which each may spread those after it."""
    count = draw(st.integers(0, 4))

    def selection(fragment: int, depth: int) -> str:
        parts = []
        for _ in range(draw(st.integers(1, 3))):
            kind = draw(st.sampled_from(["leaf", "field", "field", "inline", "spread", "alias"]))
            if kind == "spread" and fragment + 1 < count:
                parts.append(f"...F{draw(st.integers(fragment + 1, count - 1))}")
            elif kind == "inline" and depth < 4:
                parts.append("... on T" + selection(fragment, depth + 1))
            elif kind in ("field", "alias") and depth < 4:
                name = draw(st.sampled_from(sorted(ARGUMENTS)))
                alias = f"{name}2:" if kind == "alias" else ""
                parts.append(alias + name + ARGUMENTS[name] + selection(fragment, depth + 1))
            else:
                parts.append(draw(st.sampled_from(["id", "name", "me"])))
        return "{" + " ".join(parts) + "}"

    operations = [f"query Q{number}" + selection(-1, 0) for number in range(draw(st.integers(1, 2)))]
    return " ".join(operations + [f"fragment F{number} on T" + selection(number, 1) for number in range(count)])


class Naive:
    """The specification's formula, word by word, on the parser's tree."""

    def __init__(self, text: str) -> None:
        document = parse(text)
        self.fragments = {item.name.value: item for item in document.definitions if item.kind == "fragment_definition"}
        self.operations = [item for item in document.definitions if item.kind == "operation_definition"]

    def fields(self, selection_set):
        for item in selection_set.selections:
            if item.kind == "field":
                yield item
            elif item.kind == "inline_fragment":
                yield from self.fields(item.selection_set)
            else:
                yield from self.fields(self.fragments[item.name.value].selection_set)

    def merged(self, nodes):
        groups = {}
        for node in nodes:
            for child in self.fields(node.selection_set) if node.selection_set else ():
                groups.setdefault((child.alias or child.name).value, []).append(child)
        return list(groups.values())

    def cost(self, nodes, *, root=False, in_page=False):
        name, children = nodes[0].name.value, self.merged(nodes)
        weight = 1 if children or root else 0
        sliced = name in SIZES and bool(nodes[0].arguments)
        size = 10 if is_plural(name) and children else 1
        if sliced:
            size = SIZES[name]
        elif in_page:
            size = 1
        holding = [group for group in children if group[0].name.value in HOLDERS] if sliced else []
        others = [group for group in children if group not in holding]
        inside = sum(self.cost(group, in_page=True) for group in holding)
        rest = sum(self.cost(group) for group in others)
        return size * (weight + inside) + rest if holding else size * (weight + rest)

    def complexity(self):
        return max(
            sum(self.cost([field], root=True) for field in self.fields(operation.selection_set))
            for operation in self.operations
        )

    def depth(self, selection_set):
        return max(1 + (self.depth(f.selection_set) if f.selection_set else 0) for f in self.fields(selection_set))

    def aliases(self, selection_set):
        return sum(
            bool(f.alias) + (self.aliases(f.selection_set) if f.selection_set else 0)
            for f in self.fields(selection_set)
        )


@examples(300)
@given(documents())
def test_the_cost_is_that_of_the_expanded_document(text):
    naive = Naive(text)
    assert complexity(text, name="Q0") == naive.complexity()
    reading = ask(text, name="Q0", **WIDE)
    assert reading.denial is None
    assert reading.measured.depth == max(naive.depth(item.selection_set) for item in naive.operations)
    most = max(naive.aliases(item.selection_set) for item in (*naive.operations, *naive.fragments.values()))
    if most:
        denial = ask(text, name="Q0", **{**WIDE, "max_aliases": most - 1}).denial
        assert (denial.code.name, denial.actual) == ("TOO_MANY_ALIASES", most)


@given(documents(), st.sampled_from(["extra{id}", "users{id}", "other:page(first:9){items{id}}"]))
def test_another_field_never_makes_a_document_cheaper(text, field):
    assert complexity(text.replace("{", "{" + field + " ", 1), name="Q0") >= complexity(text, name="Q0")


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_longer_list_never_costs_less(first, second):
    query = "query($n:Int){users(limit:$n){posts(limit:$n){id}}}"
    small, large = sorted((first, second))
    assert complexity(query, {"n": small}) <= complexity(query, {"n": large})
