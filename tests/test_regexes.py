"""No regular expression of the package takes more than linear time, whatever it is fed.

Time is counted in steps of a matcher, not in seconds, so that the answer is the same on every machine.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.cost import input_objects
from fraiseql_guard.graphql.http import strict_json
from fraiseql_guard.operations.operator import fields
from fraiseql_guard.stores.redis.key_families import FAMILIES
from tests.support.processes import needs_fraiseql
from tests.support.regex_sites import Site, hidden, sites, sites_of, trees
from tests.support.regex_steps import CHAIN, FULL, SCAN, Steps
from tests.support.regex_texts import hard_texts

_DEFAULTS: Final = Settings.load({})
MADE: Final[Mapping[str, Iterable[re.Pattern[Any]]]] = {
    "fraiseql_guard.operations.operator.fields:_matching": [
        re.compile(form.schema["pattern"], re.ASCII)
        for form in vars(fields).values()
        if isinstance(form, fields.FieldForm) and "pattern" in form.schema  # also those that only a client compiles
    ],
    "fraiseql_guard.graphql.http.strict_json:commas_at_least": map(strict_json.commas_at_least, (3, 1000)),
    "fraiseql_guard.stores.redis.key_families:row_of": [re.compile(row.tail) for row in FAMILIES if row.tail],
    "fraiseql_guard.graphql.cost.input_objects:any_of_words": [input_objects.any_of_words(("by", "where", "filter"))],
}
"""What functions compile from what they are given."""

USED: Final[Mapping[str, set[str]]] = {
    "fraiseql_guard.asgi.batches:_NO_ARRAY": {CHAIN},  # by the pump, on the first part
    "fraiseql_guard.graphql.syntax.lexer:_CHUNK": {CHAIN},
    "fraiseql_guard.graphql.syntax.lexer:_BLANK": {CHAIN},
    "fraiseql_guard.graphql.http.strict_json:commas_at_least": {CHAIN},
}
"""How those are used that are handed on; any other that is, is tried in every way."""

_ATOMS: Final = 24
_SUSPICIOUS: Final = 2.6
"""How much more a text of twice the length takes, if the growth is more than linear: that is 2 at most, with a step or
two, and quadratic comes to 4."""
_MOST: Final = 100_000
"""Steps that no pattern takes for the longest of these texts, unless they grow faster than it."""


def too_hard(pattern: re.Pattern[Any], uses: Iterable[str]) -> str:
    """A text on which a pattern's steps grow faster than its length; empty if none is found."""
    steps = Steps(pattern, most=_MOST)
    for use, parts in itertools.product(sorted(uses), hard_texts(pattern)):
        if all(_doubles(steps, use, parts, length) for length in (_ATOMS, 4 * _ATOMS, 8 * _ATOMS)):
            return f"{use} of {pattern.pattern!r}: beginning, repeated, and end are {parts}"
    return ""


def _doubles(steps: Steps[Any], use: str, parts: tuple[Any, Any, Any], length: int) -> bool:
    """Whether a text of twice the length takes more than twice the steps."""
    beginning, pump, ending = parts
    once, twice = (
        steps.count(beginning + pump * (each // len(pump) + 1) + ending, use) for each in (length, 2 * length)
    )
    return twice > _MOST or twice / once > _SUSPICIOUS


def patterns(site: Site) -> list[re.Pattern[Any]]:
    if site.where in MADE:
        return list(MADE[site.where])
    try:
        return [site.pattern()]
    except NameError as error:
        raise AssertionError(f"{site} compiles what only it knows: add examples of it to MADE ({error})") from None


def marked(site: Site) -> Any:
    """The modules for FraiseQL need it."""
    of_host = site.module.startswith("fraiseql_guard.fraiseql.")
    return pytest.param(site, marks=needs_fraiseql if of_host else [], id=str(site))


@pytest.mark.parametrize("site", [marked(site) for site in sites()])
def test_every_regular_expression_is_linear(site: Site) -> None:
    for pattern in patterns(site):
        assert not too_hard(pattern, USED.get(site.where) or USED.get(f"{site.module}:{site.name}") or site.uses())


@pytest.mark.parametrize("module", trees())
def test_none_is_hidden_from_this_test(module: str) -> None:
    assert hidden(trees()[module]) == []


def test_examples_are_given_only_for_what_there_is() -> None:
    known = {site.where for site in sites()} | {f"{site.module}:{site.name}" for site in sites()}
    assert MADE.keys() | USED.keys() <= known


@pytest.mark.parametrize(
    ("text", "use"),
    [
        (r"(?:a+)+b", FULL),
        (r"(?:a|a)*b", FULL),
        (r"(?:a|ab|b)*c", FULL),
        (r"[ \t]*x?[ \t]*;", CHAIN),
        (r"\s*\[?\s*\{", CHAIN),
        (r"a*a*b", CHAIN),
        (r"x.*y.*z", FULL),
        (r"(a.|b.|.c)*d", FULL),
        (r"\s+$", SCAN),
        (r'"(?:[^"\\]|\\.)*"', SCAN),
        (r"<!--.*?-->", SCAN),
        (r"Did you mean (?:[^?]){1,2000}\?", SCAN),
        (r"(?:(?=a*b)a)*", FULL),
        (r"a*?(?=c)|a", CHAIN),
        (rb"(?:\w+\s?)*\Z", FULL),
    ],
)
def test_one_that_is_not_linear_is_found(text: Any, use: str) -> None:
    assert too_hard(re.compile(text), {use})


@pytest.mark.parametrize(
    ("text", "use"),
    [
        (r"(?:a++)*+b", FULL),
        (r"[ \t]*+x?+[ \t]*+;", CHAIN),
        (r"\s+$", FULL),
        (r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+', SCAN),
        (r"(?:<!--[^-]*+(?:-(?!->)[^-]*+)*+(?:-->)?)", SCAN),
        (r"(?:ab)*(?:ac)?", FULL),
        (r"[a-z]{1,64}", SCAN),
        (r"(?<=a)b|(?<!a)c", SCAN),
        (r"(?:a{3}|b)*c?", CHAIN),
    ],
)
def test_one_that_is_linear_is_left_alone(text: Any, use: str) -> None:
    assert not too_hard(re.compile(text), {use})


parts = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", "^", "$", r"\b", "a|b", "ab?", "(?i:A)"])
expressions = st.recursive(
    parts,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{1,2}", "*?", "+?", "{2}?", "*+", "++", "?+"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"(?>{text})"),
        inner.map(lambda text: f"(?={text})"),
        inner.map(lambda text: f"(?!{text})"),
        st.sampled_from(["(?<=a)", "(?<!a)", "(?<=ab)"]),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(expressions, st.text("abA ", max_size=8))
def test_the_counting_matcher_finds_what_the_library_finds(expression: str, text: str) -> None:
    pattern = re.compile(expression)
    found = pattern.match(text)
    assert Steps(pattern).first_end(text) == (found.end() if found else None)


HIDDEN: Final = [
    "from re import compile",
    "import re as quick",
    "import re._compiler",
    "import regex",
    "import fnmatch",
    "import re\nmake = re.compile",
    "import re\ngetattr(re, 'compile')('a')",
    "import re\nlist(map(re.compile, 'ab'))",
    "import importlib\nimportlib.import_module('re')",
]


@pytest.mark.parametrize("source", HIDDEN)
def test_what_hides_one_is_found(source: str) -> None:
    assert hidden(ast.parse(source))


def test_one_is_found_wherever_it_stands() -> None:
    source = """
import re
A = re.compile("1")
B: object = re.compile("2", re.ASCII)
class Holder:
    c = re.compile("3")
    def method(self, default=re.compile("4")):
        return lambda text: re.sub("5", "", text, flags=re.I)
def outer():
    async def inner():
        return [re.split("6", x) for x in {"k": re.compile("7")}]
    return re.compile("8").fullmatch
D = {"x": [re.compile("9").search]}
"""
    found = list(sites_of("some", ast.parse(source)))
    assert sorted(ast.literal_eval(site.arguments[0]) for site in found) == list("123456789")
    assert {site.use for site in found} == {"", SCAN, FULL}
    assert hidden(ast.parse(source)) == []
