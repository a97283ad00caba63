"""Two texts have one normal form if and only if graphql-core reads the same definitions in them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from graphql import GraphQLError, parse, print_ast
from graphql.utilities import ast_to_dict
from hypothesis import example, given
from hypothesis import strategies as st

from fraiseql_guard.graphql.documents.normal_form import normal_form, token_bound
from fraiseql_guard.graphql.syntax.lexer import tokens_of
from tests.graphql.random_documents import Writer
from tests.graphql.random_schemas import random_schema

SCHEMA = random_schema(Random(1))
DAMAGE = [
    "",
    "",
    " ",
    "\n",
    ",",
    "#",
    "# x\n",
    '"',
    '"""',
    "\\n",
    "\\",
    "x",
    "{",
    "}",
    "(",
    ")",
    "1",
    "\ufeff",
    "\u00a0",
    "\r",
]
SEEDS = st.integers(0, 2**32)


def meaning(text: str) -> list[str] | None:
    """The definitions, in any order and without how their strings are written; None of what is no document."""
    try:
        definitions = parse(text, no_location=True).definitions
    except (GraphQLError, IndexError):
        return None
    return sorted(repr(_plain(ast_to_dict(each))) for each in definitions)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key != "block"}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def same(one: str, other: str) -> None:
    meanings = meaning(one), meaning(other)
    if None not in meanings:
        assert (normal_form(one) == normal_form(other)) == (meanings[0] == meanings[1]), (one, other)


@given(SEEDS, SEEDS)
def test_damage_is_seen_if_it_changes_the_meaning(seed, damage):
    text, rng = Writer(SCHEMA, Random(seed)).document(), Random(damage)
    for _ in range(10):
        place = rng.randrange(len(text))
        same(text, text[:place] + rng.choice(DAMAGE) + text[place + rng.choice([0, 0, 1, 2]) :])


@given(SEEDS, SEEDS)
def test_another_way_to_write_it_is_the_same(seed, other):
    text, rng = Writer(SCHEMA, Random(seed)).document(), Random(other)
    again = "".join(token + rng.choice([" ", ",", "\r\n", "#,}\n", " \ufeff"]) for token in tokens_of(text)[:-1])
    form = normal_form(text)
    assert form is not None
    assert normal_form(again) == form
    assert token_bound(form) >= len(tokens_of(text)) - 1
    assert normal_form(again, max_tokens=token_bound(form)) == form
    assert normal_form(text, max_tokens=len(tokens_of(text)) - 300) is None
    if (definitions := meaning(text)) is not None:
        printed = [print_ast(each) for each in parse(text).definitions]
        rng.shuffle(printed)
        assert normal_form("\n".join(printed)) == form
        assert meaning(again) == definitions


@example('{a(x:"\\u0041")}', '{a(x:"""A""")}')
@example('{a(x:"b\\nc")}', '{a(x:"""\n  b\n  c\n""")}')
@example('{a(x:"b  c")}', '{a(x:"b c")}')
@example('{a(x:"""b,c""")}', '{a(x:"""b c""")}')
@example("{a(x:1.0)}", "{a(x:1.00)}")
@example("query{a}", "{a}")
@example("query query{a}", "query{a}")
@example("{...on on T{a}}", "{...on T{a}}")
@example("{a:b}", "{a b}")
@example("{a(x:[1 2])}", "{a(x:[12])}")
@example("{a} fragment F on T{b}", "fragment F on T{b} {a}")
@example("{a} {a}", "{a}")
@given(st.text(alphabet='{}a1 ",#\n\\', max_size=12), st.text(alphabet='{}a1 ",#\n\\', max_size=12))
def test_two_texts_are_the_same_if_they_mean_the_same(one, other):
    same(one, other)


@pytest.mark.parametrize(
    "text", ["", "#", "{a", "{a}}", "{a(x:]}", "a", "{a} b", '{a(x:"', '{a(x:"\\uD800")}', "{a}\x00"]
)
def test_what_is_no_document_has_none(text):
    assert normal_form(text) is None
