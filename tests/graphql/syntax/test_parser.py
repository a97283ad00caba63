"""The parser reads what graphql-core reads, and reads it alike."""

from __future__ import annotations

import re
from typing import Any

import pytest
from graphql import GraphQLError, version_info
from graphql import parse as parse_by_core
from graphql.language import ast
from hypothesis import example, given
from hypothesis import strategies as st

from fraiseql_guard.graphql.syntax.ast import InlineFragmentNode, SelectionNode, SpreadNode
from fraiseql_guard.graphql.syntax.lexer import tokens_of
from fraiseql_guard.graphql.syntax.parser import Parsed, UnexpectedError, parse
from fraiseql_guard.graphql.syntax.prescan import count
from fraiseql_guard.graphql.syntax.values import Absent, Digits, VariableNode, Word
from tests.support.properties import examples

EMPTY_SELECTION = re.compile(r"\{(?:[\s,\ufeff]|#[^\r\n]*)*\}")
DESCRIBED = version_info < (3, 3)  # where descriptions of operations are not known yet


def ours(text: str) -> Any:
    """The definitions as plain data, or None if the text is refused."""
    scan = count(text, 10**6)
    if scan.fault is not None or scan.counters.foreign:
        return None
    try:
        return _plain(parse(text))
    except UnexpectedError:
        return None


def theirs(text: str) -> Any:
    """The same of graphql-core."""
    try:
        document = parse_by_core(text, no_location=True)
    except (GraphQLError, IndexError, RecursionError):
        return None
    executable = (ast.OperationDefinitionNode, ast.FragmentDefinitionNode)
    if not all(isinstance(item, executable) for item in document.definitions):
        return None
    return [_definition(item) for item in document.definitions]


def _plain(parsed: Parsed) -> list[Any]:
    operations = [
        (operation.kind, operation.name, declared, _selection(operation.selection))
        for (operation, _), declared in zip(parsed.operations, parsed.declared, strict=True)
    ]
    fragments = [(item.name, item.on, _selection(item.selection)) for item, _ in parsed.fragments]
    return sorted([*map(repr, operations), *map(repr, fragments)])


def _selection(selection: SelectionNode | None) -> Any:
    if selection is None:
        return None
    return (
        [(one.key, one.name, one.aliased, _asks(one.arguments), _selection(one.selection)) for one in selection.fields],
        [one.name for one in selection.spreads if isinstance(one, SpreadNode)],
        [(one.on, _selection(one.selection)) for one in selection.inlines if isinstance(one, InlineFragmentNode)],
    )


def _asks(arguments: Any) -> str:
    return repr(sorted(arguments.items())) if arguments else ""


def _definition(node: ast.DefinitionNode) -> Any:
    if isinstance(node, ast.FragmentDefinitionNode):
        return repr((node.name.value, node.type_condition.name.value, _set(node.selection_set)))
    declared = {
        item.variable.name.value: Absent.ABSENT if item.default_value is None else _value(item.default_value)
        for item in node.variable_definitions or ()
    }
    return repr((node.operation.value, node.name and node.name.value, declared, _set(node.selection_set)))


def _set(node: ast.SelectionSetNode | None) -> Any:
    if node is None:
        return None
    fields, spreads, inlines = [], [], []
    for item in node.selections:
        if isinstance(item, ast.FieldNode):
            arguments = {each.name.value: _value(each.value) for each in item.arguments or ()}
            asks = _asks(arguments)
            key = (item.alias or item.name).value
            fields.append((key, item.name.value, item.alias is not None, asks, _set(item.selection_set)))
        elif isinstance(item, ast.FragmentSpreadNode):
            spreads.append(item.name.value)
        else:
            on = item.type_condition.name.value if item.type_condition else None
            inlines.append((on, _set(item.selection_set)))
    return fields, spreads, inlines


def _value(node: ast.ValueNode) -> Any:
    match node:
        case ast.VariableNode():
            return VariableNode(node.name.value)
        case ast.IntValueNode():
            return int(node.value) if len(node.value) <= 18 else Digits(node.value)
        case ast.FloatValueNode():
            return float(node.value)
        case ast.EnumValueNode():
            return Word(node.value)
        case ast.ListValueNode():
            return [_value(item) for item in node.values]
        case ast.ObjectValueNode():
            return {item.name.value: _value(item.value) for item in node.fields}
        case ast.NullValueNode():
            return None
        case _:
            return node.value


def agree(text: str) -> None:
    mine, core = ours(text), theirs(text)
    if core is None and mine is not None and DESCRIBED and '"' in text:
        return  # a description that an older graphql-core does not know: the host will say so
    if core is not None and EMPTY_SELECTION.search(text):
        return  # graphql-core 3.3 parses what the specification does not know
    assert mine == (core if core is None else sorted(core)), text


WORDS = st.sampled_from(["a", "b", "on", "query", "mutation", "fragment", "true", "null", "type", "_x", "id"])
LITERALS = [
    "1", "-0", "1.5e3", "123456789012345678901", "$v", "true", "null", "RED", "fragment", '"s"', '"\\u0041\\n"', '""',
    '"\\uD83D\\uDE00"', '"\\uD83D"', '"\\u{1F600}"', '"\\u{110000}"', '"\\u{000000041}"', '"\\q"', '"é"',
    '"""\n  a\n    b\\"""\n"""', '""""""',
]  # fmt: skip
VALUES = st.recursive(
    st.sampled_from(LITERALS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{' '.join(items)}]"),
        st.lists(st.tuples(WORDS, inner), max_size=3).map(
            lambda items: "{" + ",".join(f"{name}:{value}" for name, value in items) + "}"
        ),
    ),
    max_leaves=6,
)
ARGUMENTS = st.lists(st.tuples(WORDS, VALUES), max_size=2).map(
    lambda items: f"({' '.join(f'{name}: {value}' for name, value in items)})" if items else ""
)
DIRECTIVES = st.lists(st.tuples(st.sampled_from(["skip", "include", "x"]), ARGUMENTS), max_size=2).map(
    lambda items: " ".join(f"@{name}{arguments}" for name, arguments in items)
)
SELECTIONS = st.deferred(
    lambda: st.lists(
        st.one_of(
            st.tuples(WORDS, ARGUMENTS, DIRECTIVES).map(" ".join),
            st.tuples(WORDS, WORDS, ARGUMENTS).map(lambda each: f"{each[0]}: {each[1]}{each[2]}"),
            st.tuples(WORDS, ARGUMENTS, SELECTIONS).map(lambda each: f"{each[0]}{each[1]} {each[2]}"),
            st.tuples(WORDS, DIRECTIVES).map(lambda each: f"...{each[0]} {each[1]}"),
            st.tuples(st.sampled_from(["", "on T"]), DIRECTIVES, SELECTIONS).map(lambda each: f"... {' '.join(each)}"),
        ),
        min_size=1,
        max_size=3,
    ).map(lambda items: "{" + " ".join(items) + "}")
)
TYPES = st.sampled_from(["Int", "[Int!]!", "[[T]]", "T!", "[T", "!"])
VARIABLES = st.lists(st.tuples(WORDS, TYPES, st.just("") | VALUES.map("= {}".format), DIRECTIVES), max_size=2).map(
    lambda items: f"({', '.join(f'${a}: {b} {c} {d}' for a, b, c, d in items)})" if items else ""
)
OPERATIONS = st.tuples(
    st.sampled_from(["query", "mutation", "subscription"]), st.just("") | WORDS, VARIABLES, DIRECTIVES, SELECTIONS
).map(" ".join)
FRAGMENTS = st.tuples(WORDS, WORDS, DIRECTIVES, SELECTIONS).map(lambda each: "fragment {} on {} {} {}".format(*each))
DESCRIPTIONS = st.sampled_from(["", "", "", '"said" ', '"""said""" '])
DOCUMENTS = st.lists(
    st.tuples(DESCRIPTIONS, SELECTIONS | OPERATIONS | OPERATIONS | FRAGMENTS).map("".join), max_size=3
).map("\n".join)


@examples(200)
@given(DOCUMENTS)
@example("")
@example("query Q($a: Int = $b) {a}")
@example('"said" {a}')
@example("{a(b: {c: 1, c: 2})}")
@example("fragment on on T {a}")
@example("query ($a: Int @x(b: $c)) {a}")
def test_documents_are_read_alike(text: str):
    agree(text)


@examples(200)
@given(DOCUMENTS, st.data())
def test_damaged_documents_are_refused_alike(text: str, data: st.DataObject):
    """A token is left out, doubled or exchanged for another."""
    tokens = tokens_of(text)[:-1]
    if not tokens:
        return
    place = data.draw(st.integers(0, len(tokens) - 1))
    other = data.draw(st.sampled_from([[], [tokens[place]] * 2, *([token] for token in "{}()[]:$@!=1"), ["..."]]))
    agree(" ".join([*tokens[:place], *other, *tokens[place + 1 :]]))


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("{a(x: 1, x: 1)}", "given twice"),
        ("{a @skip(if: $s) @skip(if: $s)}", "too often"),
        ("{a @x @x @x @x}", "too often"),
        ("{__typename(a: 1)}", "__typename"),
        ("query($a: Int, $a: Int) {a}", "given twice"),
    ],
)
def test_what_contradicts_itself_is_said(text: str, detail: str):
    assert detail in parse(text).contradiction
