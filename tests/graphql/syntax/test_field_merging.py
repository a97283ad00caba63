"""Selections that are merged with a memory are merged as without one."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.graphql.syntax.ast import DocumentNode
from fraiseql_guard.graphql.syntax.document import read_document
from fraiseql_guard.graphql.syntax.field_merging import (
    SelectionMerger,
    TooEntangledError,
    VisitBudget,
    anything,
    collect,
)
from fraiseql_guard.graphql.syntax.repetition import most_repeated
from tests.graphql.cost.test_model import documents
from tests.graphql.requests import BLOG, ask, complexity
from tests.graphql.test_attacks import entangled
from tests.support.properties import examples

PLENTY = 10**9


def parsed(text: str) -> DocumentNode:
    document = read_document(text, max_operations=10, max_fragments=1000)
    assert isinstance(document, DocumentNode)
    return document


@examples(150)
@given(documents(), st.randoms(use_true_random=False))
def test_merging_collects_what_execution_collects(text, rng):
    document = parsed(text)
    merging = SelectionMerger(document)
    pairs = list(combinations(merging.selections, 2))
    for selections in [*((each,) for each in merging.selections), *rng.sample(pairs, min(8, len(pairs)))]:
        merged = merging.merged(selections, frozenset(selections), VisitBudget(PLENTY))
        collected = collect(selections, document.fragments, None, anything, VisitBudget(PLENTY))
        assert {key: set(fields) for key, fields in merged.fields.items()} == {
            key: set(fields) for key, fields in collected.items()
        }
        assert all(len(fields) == len(collected[key]) for key, fields in merged.fields.items())
        below = {key: {field.selection for field, _ in fields if field.selection} for key, fields in collected.items()}
        assert {key: set(each) for key, each in merged.children.items()} == {k: v for k, v in below.items() if v}


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{users{... on Tag{...F}}} fragment F on User{posts(limit:100){id}}", 10),
        ("{users{...G}} fragment G on Tag{...F} fragment F on User{posts(limit:100){id}}", 10),
        ("{users{... on Named{...F}}} fragment F on User{posts(limit:100){id}}", 10 * (1 + 100)),
    ],
)
def test_a_fragment_inside_of_what_a_type_takes_out_costs_nothing(text, cost):
    assert complexity(text, schema=BLOG) == cost


def shared(places: int, fields: int) -> str:
    """One large fragment, each time merged with something else."""
    parts = " ".join(f"a{number}:me{{posts{{...F}} posts{{b{number}}}}}" for number in range(places))
    return f"{{{parts}}} fragment F on Post{{{' '.join(f'f{number}' for number in range(fields))}}}"


def test_a_fragment_may_be_combined_with_something_else_in_many_places():
    assert ask(shared(20, 100)).denial is None


def test_combining_is_bounded_by_the_size_of_the_document():
    document = parsed(entangled(8, 4))
    with pytest.raises(TooEntangledError):
        most_repeated(document, SelectionMerger(document))
