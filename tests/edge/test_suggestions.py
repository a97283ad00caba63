"""Names that the app's library suggests do not reach the client; nothing else is changed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.edge.suggestions import without_suggestions
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
