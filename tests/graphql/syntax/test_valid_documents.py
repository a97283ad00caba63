"""What a schema makes valid is never refused as invalid; whether it is valid, graphql-core says."""

from __future__ import annotations

from random import Random

import pytest
from graphql import GraphQLError, GraphQLSchema, build_schema, parse, print_schema, validate
from hypothesis import given
from hypothesis import strategies as st

from tests.graphql.random_documents import Writer
from tests.graphql.random_schemas import random_schema
from tests.graphql.requests import WIDE, ask, body, complexity, post, reader, refusal

DOCUMENTS = 125
"""Of each schema. Hypothesis' profile says how many schemas: of its usual 100, more than 10,000 documents are valid."""
INVALID = {"GRAPHQL_INVALID", "GRAPHQL_PARSE_FAILED", "BAD_REQUEST", "OPERATION_NOT_FOUND"}
SEEDS = st.integers(0, 2**32)
"""Python's own generator is ten times as fast as draws, and what is found can be read without shrinking."""


def errors_of(schema: GraphQLSchema, text: str) -> list[str]:
    try:
        document = parse(text)
    except GraphQLError as error:
        return [error.message]  # an older graphql-core does not know the descriptions of operations
    return [error.message for error in validate(schema, document)]


def documents(seed: int, number: int):
    """Random documents with the codes of their refusals: with their schema, and without."""
    rng = Random(seed)
    schema = random_schema(rng)
    to = reader(schema, **WIDE), reader(**WIDE)
    for _ in range(number):
        text = Writer(schema, rng).document()
        yield schema, text, [refusal(post(each, body(text, operationName="Q0"))) for each in to]


@given(SEEDS)
def test_a_valid_document_is_never_refused_as_invalid(seed):
    for schema, text, found in documents(seed, DOCUMENTS):
        if not INVALID.isdisjoint(found):  # then it has to be: to validate takes longer than all the rest
            assert errors_of(schema, text), (found, text, print_schema(schema))


@given(SEEDS)
def test_with_a_schema_exactly_what_graphql_core_calls_a_conflict_is_one(seed):
    for schema, text, found in documents(seed, 5):
        errors = errors_of(schema, text)
        conflicting = any("differing arguments" in each or "are different fields" in each for each in errors)
        if conflicting or not errors:
            assert (found[0] == "GRAPHQL_INVALID") == conflicting, (errors, text, print_schema(schema))


def test_most_random_documents_are_valid():
    valid = [not errors_of(schema, text) for seed in range(20) for schema, text, _ in documents(seed, 10)]
    assert sum(valid) >= 0.8 * len(valid)


PICTURES = build_schema("""
interface Node { id: ID picture: Picture name(x: Int): String }
interface Named { name(x: Int): String }
type Query { node: Node me: User hit: Hit named: Named }
type User implements Node & Named { id: ID picture: Picture name(x: Int): String friend(where: Where): User }
type Page implements Node & Named { id: ID picture: Picture name(x: Int): String number: ID }
type Robot implements Named { name(x: Int): String likes(z: Int): Int }
union Hit = User | Page
type Picture { url(width: Int): String items(first: Int): [Picture] }
input Where { a: Int b: Where }
directive @tag(name: String) repeatable on FIELD
""")
VALID = {
    "below types that exclude each other": (
        "{node{... on User{picture{url(width:1)}} ... on Page{picture{url(width:2)}}}}"
    ),
    "the same through fragments": (
        "{hit{...U ...P}} fragment U on User{picture{...W}} fragment W on Picture{url(width:1)} "
        "fragment P on Page{picture{url(width:2)}}"
    ),
    "different fields": "{node{... on User{x:id} ... on Page{x:number}}}",
    "a condition two levels further inside": "{me{name(x:1) ... on Node{... on Page{name(x:2)}}}}",
    "an argument below a type that never is": "{node{... on Named{... on Robot{likes(z:1)}}}}",
    "keys in another order": ("{me{friend(where:{a:1,b:{a:2,b:null}}){id} friend(where:{b:{b:null,a:2},a:1}){name}}}"),
    "a directive that may be repeated": '{me{id @tag(name:"a") @tag(name:"a")}}',
}
CONTRADICTED = {
    "one type": "{node{... on User{picture{url(width:1)}} ... on User{picture{url(width:2)}}}}",
    "an interface and one of its types": "{node{picture{url(width:1)} ... on Page{picture{url(width:2)}}}}",
    "two interfaces": "{node{... on Node{name(x:1)} ... on Named{name(x:2)}}}",
    "below one field of two types": (
        "{node{... on User{picture{url(width:1) items{url}}} picture{items{url(width:1) url}}}}"
    ),
    "lists in another order": "{me{a:friend(where:{a:1}){id} a:friend(where:{a:2}){id}}}",
}


@pytest.mark.parametrize("schema", [PICTURES, None], ids=["with", "without"])
@pytest.mark.parametrize("case", VALID)
def test_these_are_valid(case, schema):
    assert errors_of(PICTURES, VALID[case]) == []
    assert ask(VALID[case], schema=schema).denial is None


@pytest.mark.parametrize("case", CONTRADICTED)
def test_these_contradict_themselves(case):
    assert errors_of(PICTURES, CONTRADICTED[case])
    assert refusal(ask(CONTRADICTED[case], schema=PICTURES)) == "GRAPHQL_INVALID"


def test_without_a_schema_only_what_some_schema_makes_valid_passes():
    for case in ("one type", "an interface and one of its types", "lists in another order"):
        assert refusal(ask(CONTRADICTED[case])) == "GRAPHQL_INVALID"
    assert ask(CONTRADICTED["two interfaces"]).denial is None  # they could be two objects


def test_what_differs_below_types_costs_no_less():
    one, other = "picture{items(first:1){items(first:9){url}}}", "picture{items(first:100){url}}"
    text = f"{{node{{... on User{{{one}}} ... on Page{{{other}}}}}}}"
    assert complexity(text, schema=PICTURES) == complexity(f"{{node{{... on Page{{{other}}}}}}}", schema=PICTURES)
    assert complexity(text) >= complexity(f"{{node{{... on Page{{{other}}}}}}}")
    assert complexity(text) >= complexity(f"{{node{{... on User{{{one}}}}}}}")


def test_without_a_schema_selections_below_different_conditions_may_be_of_different_types():
    """On a C the second color is never asked for: the first selection is of a C, the second of what has a D."""
    text = "{one {color} ... on J {one {two ... on D {color(x: 1)}}}}"
    assert refusal(post(reader(**WIDE), body(text))) is None
    for contradiction in (
        "{one {color} ... on J {one {two color(x: 1)}}}",
        "{one {... on D {color}} ... on J {one {... on D {color(x: 1)}}}}",
        "{... on J {one {color ... on D {color(x: 1)}}}}",
        "{one {color} one {... on D {color(x: 1)}}}",
    ):
        assert refusal(post(reader(**WIDE), body(contradiction))) == "GRAPHQL_INVALID", contradiction
