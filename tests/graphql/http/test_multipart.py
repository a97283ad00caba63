"""Whatever the bytes, a form is read or refused; what is read is the operations alone."""

import json

from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.denial import Denial
from fraiseql_guard.graphql.http.media_types import is_form
from fraiseql_guard.graphql.http.multipart import MultipartForm, read_form
from tests.graphql.requests import body, reader, refusal
from tests.guard.test_uploads import CHANGE, GOOD, form, mapped, operations, part

TYPE = "multipart/form-data; boundary=limit"


def test_the_operations_are_found_where_they_stand():
    found = read_form(TYPE, GOOD, 1000)
    assert isinstance(found, MultipartForm)
    assert json.loads(GOOD[found.operations]) == {"query": CHANGE, "variables": {"file": None}}


INSERTED = st.binary(max_size=8) | st.sampled_from([b"--limit", b"\r\n\r\n", b'"'])


@given(st.integers(0, len(GOOD)), st.integers(0, 40), INSERTED)
def test_a_mutated_form_is_read_or_refused(at, removed, inserted):
    mutated = GOOD[:at] + inserted + GOOD[at + removed :]
    reading = reader(multipart=True).read("POST", TYPE, b"", mutated, authenticated=False)
    assert reading.measured or reading.denial
    assert isinstance(read_form(TYPE, mutated, 1000), MultipartForm | Denial)


@given(st.text(max_size=40))
def test_any_content_type_is_read_or_refused(text):
    for content_type in (text, f"multipart/form-data; boundary={text}"):
        is_form(content_type)
        assert isinstance(read_form(content_type, GOOD, 1000), MultipartForm | Denial)


def test_a_form_is_none_by_get_or_where_uploads_are_off():
    assert refusal(reader().read("POST", TYPE, b"", GOOD, authenticated=False)) == "UNSUPPORTED_MEDIA_TYPE"
    assert refusal(reader(multipart=True).read("GET", TYPE, b"query={a}", b"", authenticated=False)) is None
    json_body = reader(multipart=True).read("POST", "application/json", b"", body("{a}"), authenticated=False)
    assert refusal(json_body) is None


def test_a_quoted_boundary_is_the_same():
    other = form(operations(), mapped(), part("0", b"x", "a"), boundary="a:b")
    assert isinstance(read_form('multipart/form-data; boundary="a:b"', other, 1000), MultipartForm)
