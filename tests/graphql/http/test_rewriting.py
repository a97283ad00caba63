"""A request that named its document reaches the app with the text, and is otherwise what the client sent."""

import json
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

from hypothesis import given
from hypothesis import strategies as st

from tests.graphql.http.test_raw_json import VALUES
from tests.graphql.requests import reader

TEXT = 'query Q($a:Int){users(limit:$a){id name(x:"\\u00e9}")}}'
HASH = sha256(TEXT.encode()).hexdigest()
TRUSTED = {"trusted_documents": "allow", "introspection": "allow"}


def trusting(tmp_path_factory, documents):
    file = tmp_path_factory.mktemp("manifest") / "manifest.json"
    file.write_text(json.dumps(documents))
    return reader(**TRUSTED, trusted_documents_file=file)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), st.sampled_from(["documentId", "id", "hash"]))
def test_any_body(tmp_path_factory, further, named):
    if named == "hash":
        name = {"extensions": {"further": further, "persistedQuery": {"version": 1, "sha256Hash": HASH}}}
        expected = dict(name)
    else:
        name, expected = {named: "of the build"}, {}
    envelope = {"variables": {"v": further}, **name, "operationName": None}
    to = trusting(tmp_path_factory, {HASH: TEXT, "of the build": TEXT})
    payload = json.dumps(envelope).encode()
    reading = to.read("POST", "application/json", b"", payload, authenticated=False)
    assert reading.denial is None
    expected |= {"query": TEXT, "variables": {"v": further}, "operationName": None}
    assert json.loads(reading.rewritten or b"") == expected


@given(st.dictionaries(st.sampled_from(["x", "y", "é", "a b", "&"]), st.text(max_size=6), max_size=4))
def test_any_url(tmp_path_factory, further):
    to = trusting(tmp_path_factory, {"one": TEXT})
    query_string = urlencode({**further, "documentId": "one", "variables": '{"a":5}'}).encode()
    reading = to.read("GET", "", query_string, b"", authenticated=False)
    assert reading.denial is None
    assert reading.measured is not None
    assert reading.measured.complexity == 5
    found = dict(parse_qsl((reading.rewritten or b"").decode(), keep_blank_values=True))
    assert found == {"query": TEXT, "variables": '{"a":5}', **further}


@given(VALUES, VALUES)
def test_any_name_is_found_or_refused(tmp_path_factory, persisted, name):
    to = trusting(tmp_path_factory, {"one": TEXT})
    envelope = {"extensions": {"persistedQuery": persisted}, "documentId": name}
    reading = to.read("POST", "application/json", b"", json.dumps(envelope).encode(), authenticated=False)
    assert reading.denial is not None
    assert reading.denial.status in (400, 403)
    assert reading.rewritten is None
