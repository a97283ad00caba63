"""The scan sees the tokens that graphql-core's lexer sees, and its work is bounded."""

from __future__ import annotations

import re

import pytest
from graphql import GraphQLError, Source, parse
from graphql.language import Lexer, TokenKind
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.graphql.syntax.lexer import kind_of, tokens_of
from fraiseql_guard.graphql.syntax.prescan import count
from tests.graphql.requests import ask, body, post, reader, refusal

KINDS = {
    TokenKind.NAME: "name", TokenKind.INT: "number", TokenKind.FLOAT: "number", TokenKind.STRING: "string",
    TokenKind.BLOCK_STRING: "block string", TokenKind.AT: "at", TokenKind.BRACE_L: "open", TokenKind.BRACE_R: "close",
    TokenKind.PAREN_L: "open", TokenKind.PAREN_R: "close", TokenKind.BRACKET_L: "open", TokenKind.BRACKET_R: "close",
}  # fmt: skip

PIECES = [
    "{", "}", "(", ")", "[", "]", "...", "..", ".", "!", "$", "&", ":", "=", "@", "|", "?", "a", "_b1", "query", "on",
    "0", "-1", "12", "01", "1.5", "1e9", "1.", "1a", "-", '"s"', '""', '"a\\"b"', '"\\u00e9"', '"\\u{1F600}"', '"',
    '"""',
    '"""b"""', '"""a "" \\""" b"""', '""""""', "\\", "#c\n", "#", "\n", "\r\n", "\r", "\t", ",", "\ufeff", " ", "é",
    "\x00", "\u2028", '"\x00"', "😀",
]  # fmt: skip


def lexed(text: str) -> list[str] | None:
    """Kinds of graphql-core's tokens, or None if it does not accept the text."""
    lexer, kinds = Lexer(Source(text)), []  # IndexError: 3.2.7 reads beyond the end of unfinished escapes
    try:
        while lexer.advance().kind is not TokenKind.EOF:
            kinds.append(KINDS.get(lexer.token.kind, "punctuator"))
    except (GraphQLError, IndexError):
        return None
    return kinds


@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.text(max_size=40)))
def test_the_scan_agrees_with_the_lexer_on_all_that_it_accepts(text):
    theirs = lexed(text)
    if theirs is not None:
        assert [kind_of(token) for token in tokens_of(text)[:-1]] == theirs


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_whatever_the_parser_accepts_the_scan_accepts(text):
    try:
        parse(text)
    except (GraphQLError, IndexError):
        return
    scan = count(text, 10**6)
    if scan.fault is not None:  # graphql-core 3.3 parses an empty selection, which the specification does not know
        assert re.search(r"\{([\s,\ufeff]|#[^\r\n]*)*\}", text)
        return
    assert scan.tokens == len(lexed(text))


ESCAPES = [
    "\\u",
    "\\u{",
    "}",
    "\\",
    "u",
    "{",
    "1",
    "d83d",
    "\\ud83d",
    "\\ude00",
    "0041",
    "F",
    "n",
    "\\n",
    '\\"',
    '"',
    " ",
    "é",
]


@given(st.lists(st.sampled_from(ESCAPES), max_size=8).map("".join), st.sampled_from(['")}', '"', "", '"){b}}', "#"]))
def test_every_escape_in_a_string_is_answered_and_read_as_the_lexer_reads_it(inside, end):
    text = '{a(x:"' + inside + end
    assert ask(text).denial is None or refusal(ask(text)) in ("GRAPHQL_PARSE_FAILED", "GRAPHQL_INVALID")
    if (theirs := lexed(text)) is not None:
        assert [kind_of(token) for token in tokens_of(text)[:-1]] == theirs


@pytest.mark.parametrize(
    "inside", ["\\u", "\\ud83d\\u", "\\u1", "\\u{", "\\u{1", "\\u{}", "\\x", "\\ud83d", "\\u{110000}"]
)
def test_unfinished_escapes_are_syntax_errors(inside):
    assert refusal(ask('{a(x:"' + inside + '")}')) == "GRAPHQL_PARSE_FAILED"


def test_nesting_is_counted_by_what_nests():
    scan = count('query($a: [[Int]] = [{b: [1]}]) @d { a(x: {y: {z: "{{{"}}) { b # {{{\n } }', 1000)
    assert (scan.selection_nesting, scan.literal_nesting, scan.directives) == (2, 4, 1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{" + "a" * 50_000 + "}", "QUERY_TOO_LONG"),
        ("{a(x:[" + "1 " * 2000 + "])}", "QUERY_TOO_MANY_TOKENS"),
        ("{a" * 60 + "}" * 60, "QUERY_TOO_DEEP"),
        ("{a(x:" + "[" * 21 + "]" * 21 + ")}", "LITERAL_TOO_DEEP"),
        ("{a(x:" + "{a:" * 21 + "1" + "}" * 21 + ")}", "LITERAL_TOO_DEEP"),
        ("{a" + " @d" * 51 + "}", "TOO_MANY_DIRECTIVES"),
    ],
)
def test_lexical_limits(text, code):
    assert refusal(ask(text)) == code


def test_literals_may_be_as_deep_as_the_limit_says():
    assert ask("{a(x:" + "[" * 20 + "]" * 20 + ")}").denial is None


def test_it_is_an_offence_from_twice_the_limit_on():
    assert ask("{a(x:[" + "1 " * 2500 + "])}").denial.offence is None
    assert ask("{a(x:[" + "1 " * 4000 + "])}").denial.offence == "dos"
    assert ask("{a(x:" + "[" * 40 + "]" * 40 + ")}").denial.offence == "dos"
    assert ask("{a" * 300 + "}" * 300).denial.offence == "dos"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column 1"),
        ("{a\n  b%\n}", "line 2, column 4"),
        ("{a(x: 01)}", "line 1, column 7"),
        ("{a", "line 1, column 3"),
        ("{a)}", "line 1, column 3"),
        ("{secretName secretNam(}", ""),
        ('{a(x:"open)}', ""),
        ('{a(x:"""open)}', ""),
        ("{a(x:..)}", ""),
        ("{}", ""),
    ],
)
def test_syntax_errors_say_where_and_never_what(text, place):
    denial = ask(text).denial
    assert denial.code.name in ("GRAPHQL_PARSE_FAILED", "GRAPHQL_INVALID")
    assert place in denial.detail
    assert "secret" not in denial.detail
    assert denial.offence is None
    assert denial.tokens == (10 if denial.code.name == "GRAPHQL_PARSE_FAILED" else 1)


BRACKETS = [
    "{",
    "{a",
    "(",
    "[",
    "{a(x:[",
    "{a(x:{y:",
    "{...on X",
    "query($a:[",
    '{a(x:"""',
    "{a @d(x:[",
    "[{",
    "fragment F on X{a",
]


@pytest.mark.parametrize("bracket", BRACKETS)
@pytest.mark.parametrize("levels", [300, 1000, 5000, 24_000])
@pytest.mark.parametrize("roomy", [False, True])
def test_no_nesting_of_any_bracket_recurses(bracket, levels, roomy):
    limits = {"max_query_depth": 10**6, "max_literal_depth": 10**6} if roomy else {}
    to = reader(max_tokens=10**6, max_query_chars=10**7, **limits)
    closing = "".join({"{": "}", "[": "]", "(": ")"}.get(char, "") for char in reversed(bracket))
    for text in (bracket * levels, bracket * levels + closing * levels):
        reading = post(to, body(text))
        assert reading.denial is not None
        assert reading.denial.code.status == 400


def test_the_deepest_document_that_is_parsed_at_all_is_measured():
    to = reader(max_query_depth=1000, max_literal_depth=1000, max_query_complexity=10**6)
    text = "{a" * 100 + "(x:" + "[" * 40 + "]" * 40 + ")" + "}" * 100
    assert post(to, body(text)).measured.depth == 100
