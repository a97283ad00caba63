"""What is refused before it is decoded is as long as is said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.graphql.raw_length import is_longer
from tests.graphql.requests import ask, body, post, reader, refusal
from tests.support.properties import examples

ENOUGH = 500
"""Characters, in the place of a hundred thousand."""
PIECES = ["a", " ", "é", "😀", '"', "\\", "\n", "\u2028", "\x01", '"}', '\\"', "aaaa", "aaaaaaaaaaaaaaaa"]


@examples(300)
@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=40),
    st.integers(1, 100),
    st.booleans(),
    st.sampled_from([{}, {"variables": {"x": "y" * 9000}}]),
)
def test_no_document_is_taken_for_longer_than_it_is(pieces, times, ascii_only, more):
    text = "".join(pieces) * times
    payload = json.dumps({"query": text, **more}, ensure_ascii=ascii_only).encode()
    assert not is_longer(payload, ENOUGH) or len(text) >= ENOUGH


@pytest.mark.parametrize("character", ["a", '"', "\\", '\\"\n', '"\\a', "aaaaé"])
def test_long_documents_are_recognised(character):
    assert is_longer(body(character * 10 * ENOUGH), ENOUGH)


@pytest.mark.parametrize("payload", [b"", b"{", b'{"query":"', b"[]", b'{"query":1}' + b" " * 9999])
def test_other_bodies_are_left_to_the_reader(payload):
    assert not is_longer(payload, ENOUGH)


@pytest.mark.parametrize("length", [100_500, 300_000])
def test_a_document_of_twice_the_limit_is_refused_for_its_length_whatever_comes_after_it(length):
    for payload in (body("{" + "a" * length + "}"), b'{"query":"{' + b"a" * length):
        denial = post(reader(), payload).denial
        assert denial.code.name == "QUERY_TOO_LONG"
        assert denial.limit == 50_000
        assert 100_000 <= denial.actual <= length + 2
        assert denial.offence == "dos"


def test_up_to_twice_the_limit_the_length_is_exact():
    denial = ask("{" + "a" * 60_000 + "}").denial
    assert (denial.code.name, denial.actual, denial.offence) == ("QUERY_TOO_LONG", 60_002, None)


def test_a_trusted_document_may_be_longer(tmp_path):
    file = tmp_path / "documents.json"
    text = "{" + "a" * 200_000 + "}"
    file.write_text(json.dumps({"x" * 64: text}))
    to = reader(trusted_documents="allow", trusted_documents_file=file)
    assert refusal(post(to, body(text))) is None
