"""Long documents are lexed in parts, and nothing shows it."""

from __future__ import annotations

import re

import pytest
from graphql import GraphQLError, Source
from graphql.language import Lexer, TokenKind
from graphql.language.block_string import dedent_block_string_lines
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.graphql.syntax.lexer import (
    END,
    FAULT,
    block_string_value,
    chunks,
    count_tokens,
    offset_of,
    tokens_of,
)
from tests.support.properties import examples

TOKENS = ["a", "{", "}", "...", '"s"', '"""b"""', "-1.5", "@", '"\\""', '""', "on"]
BETWEEN = [" ", "\n", ", ", "#c\n", "\ufeff\r\n", " #,\r"]
LENGTHS = [0, 1, 2, 255, 256, 257, 511, 512, 513, 700]


@st.composite
def texts(draw):
    """A text, its tokens, and where each begins."""
    tokens = draw(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=5)) * 200
    tokens = tokens[: draw(st.sampled_from(LENGTHS))]
    between = draw(st.lists(st.sampled_from(BETWEEN), min_size=1, max_size=4))
    text, offsets = draw(st.sampled_from(["", *BETWEEN])), []
    for number, token in enumerate(tokens):
        offsets.append(len(text))
        text += token + between[number % len(between)]
    return text, tokens, offsets


@examples(60)
@given(texts(), st.sampled_from(["", "?", '"open', '"""open', "..", "01"]))
def test_the_parts_of_a_long_text_are_its_tokens(given, fault):
    text, tokens, offsets = given
    found = tokens_of(text + fault)
    assert found == [*tokens, FAULT if fault else END]
    assert [part[:-1] for part in chunks(text + fault)][-1] == []
    for number in {0, len(tokens) // 2, len(tokens) - 1} & set(range(len(tokens))):
        assert offset_of(text + fault, number) == offsets[number]
    assert offset_of(text + fault, len(tokens)) == offset_of(text + fault, len(tokens) + 1000) == len(text)
    for most in (0, 1, len(tokens), len(tokens) + 1, 300, 10_000):
        assert count_tokens(text + fault, most) == min(most, len(tokens))


@examples(30)
@given(texts())
def test_long_texts_are_lexed_as_by_graphql_core(given):
    text, _, offsets = given
    lexer, begins = Lexer(Source(text)), []
    try:
        while lexer.advance().kind is not TokenKind.EOF:
            begins.append(lexer.token.start)
    except GraphQLError:
        pytest.fail("graphql-core refuses the text")
    assert begins == offsets


@given(st.text(' \t\n\rab"', max_size=30))
def test_block_strings_lose_the_indentation_that_they_lose_in_graphql_core(text: str) -> None:
    lines = re.split("\r\n|\n|\r", text)
    assert block_string_value(f'"""{text}"""') == "\n".join(dedent_block_string_lines(lines))
