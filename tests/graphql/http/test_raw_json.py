"""Parts of a JSON text are found where a parser finds them, whatever the text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.graphql.http.raw_json import elements, members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_members_of_an_object(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert {key: json.loads(text[where]) for key, where in members(text).items()} == value


@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1]))
def test_elements_of_an_array(value, indent):
    text = json.dumps(value, indent=indent).encode()
    assert [json.loads(text[where]) for where in elements(text)] == value


def test_what_no_parser_could_keep_is_kept():
    text = b' { "a" : 123456789012345678901234567890.10 , "b\\u0022" : [ 1e400 , "}" ] } '
    found = members(text)
    assert (text[found["a"]], text[found['b"']]) == (b" 123456789012345678901234567890.10 ", b' [ 1e400 , "}" ] ')
