"""Names that the app's library suggests do not reach the client; nothing else is changed."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.asgi.suggestions import without_suggestions
from tests.support.asgi import EchoApp, graphql

MESSAGE = "Cannot query field 'usr' on type 'Query'."


@pytest.mark.parametrize(
    "suggestion",
    [
        "Did you mean 'user'?",
        "Did you mean 'user', 'users', or 'usage'?",
        'Did you mean "user" or "users"?',
        "Did you mean to use an inline fragment on 'User' or 'Post'?",
        "Did you mean the enum value 'ADMIN'?",
        "Did you mean 'n\u00e4me'?",
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_suggestion_is_taken_out_and_the_error_stays(suggestion, ascii_only) -> None:
    answer = {"data": None, "errors": [{"message": f"{MESSAGE} {suggestion}", "locations": [{"line": 1}]}]}
    edited = without_suggestions(None, json.dumps(answer, ensure_ascii=ascii_only).encode())
    assert json.loads(edited) == {"data": None, "errors": [{"message": MESSAGE, "locations": [{"line": 1}]}]}


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.dictionaries(st.text(), inner)))
def test_data_is_never_touched(data) -> None:
    body = json.dumps({"data": [data, "Did you mean this?"], "errors": [{"message": "x Did you mean 'y'?"}]}).encode()
    edited = json.loads(without_suggestions(None, body))
    assert edited == {"data": [data, "Did you mean this?"], "errors": [{"message": "x"}]}


@pytest.mark.parametrize("body", [b'{"data":"Did you mean x?"}', b'["Did you mean x?"]', b"", b"Did you mean", b"{}"])
def test_what_has_no_errors_stays(body) -> None:
    assert without_suggestions(None, body) is None


async def test_the_client_gets_a_whole_answer_without_names(guarded) -> None:
    answer = {"errors": [{"message": f"{MESSAGE} Did you mean 'user'?"}]}
    reply = await graphql(guarded(EchoApp(answer=answer)), "{usr{id}}")
    assert reply.json == {"errors": [{"message": MESSAGE}]}
    assert int(reply.header("content-length") or 0) == len(reply.body)
    for options in ({"environment": "development"}, {"hide_suggestions": False}, {"mode": "monitor"}):
        shown = await graphql(guarded(EchoApp(answer=answer), **options), "{usr{id}}")
        assert "Did you mean" in shown.body.decode()


pieces = st.lists(
    st.sampled_from(["Did you mean ", " Did you mean 'a'?", "?", '"', "\\", "x", "\u00e4", "\n", "Did you mean ?"]),
    max_size=12,
).map("".join)


@given(st.lists(pieces, min_size=1, max_size=4), st.booleans())
def test_no_literal_that_a_caller_repeats_saves_a_suggestion(messages, ascii_only) -> None:
    answer = {"errors": [{"message": f"{each} Did you mean 'secret'?", "path": [each]} for each in messages]}
    edited = json.loads(without_suggestions(None, json.dumps(answer, ensure_ascii=ascii_only).encode()))
    assert len(edited["errors"]) == len(messages)
    assert not any("secret" in error["message"] for error in edited["errors"])
    assert all(list(error) == ["message", "path"] for error in edited["errors"])


SUGGESTION = re.compile(rb' ?Did you mean (?:[^"\\?]|\\.)+\?')


@given(st.lists(pieces, min_size=1, max_size=4))
def test_exactly_what_runs_to_a_question_mark_in_the_same_text_is_taken_out(messages) -> None:
    errors = json.dumps([{"message": each} for each in messages]).encode()
    edited = without_suggestions(None, b'{"errors":%b}' % errors) or b'{"errors":%b}' % errors
    assert edited == b'{"errors":%b}' % SUGGESTION.sub(b"", errors)


def test_a_suggestion_may_be_long() -> None:
    names = ", ".join(f"'{'n' * 200}{number}'" for number in range(200))
    answer = {"errors": [{"message": f"{MESSAGE} Did you mean {names}?"}]}
    assert json.loads(without_suggestions(None, json.dumps(answer).encode())) == {"errors": [{"message": MESSAGE}]}
