"""A document that is too long is refused for its length, whatever comes after it."""

from __future__ import annotations

import json

import pytest

from tests.graphql.requests import ask, body, post, reader, refusal


@pytest.mark.parametrize("length", [100_500, 300_000])
@pytest.mark.parametrize("character", ["a", '"', "\\", "\n", "é", "😀", "\x01"])
def test_a_document_of_twice_the_limit_is_an_offence(length, character):
    for more in ({}, {"variables": {"x": "y" * 9000}}):
        denial = post(reader(), body("{" + character * length + "}", **more)).denial
        assert (denial.code.name, denial.limit, denial.actual) == ("QUERY_TOO_LONG", 50_000, length + 2)
        assert denial.offence == "dos"


def test_up_to_twice_the_limit_it_is_none():
    denial = ask("{" + "a" * 60_000 + "}").denial
    assert (denial.code.name, denial.actual, denial.offence) == ("QUERY_TOO_LONG", 60_002, None)


def test_a_body_that_ends_inside_a_long_document_is_no_json():
    assert post(reader(), b'{"query":"{' + b"a" * 300_000).denial.code.name == "BAD_REQUEST"


def test_a_trusted_document_may_be_longer(tmp_path):
    file = tmp_path / "documents.json"
    text = "{" + "a" * 200_000 + "}"
    file.write_text(json.dumps({"x" * 64: text}))
    to = reader(trusted_documents="allow", trusted_documents_file=file)
    assert refusal(post(to, body(text))) is None
