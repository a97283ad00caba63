"""Manifests of trusted documents, as Relay's and Apollo's tools write them."""

import json

import pytest

from fraiseql_guard.graphql.documents.manifests import ManifestForm, parse_manifest
from fraiseql_guard.stores.documents import TrustedDocument, digest_of

RELAY = {"b": "{b}", "a": "{a}"}
OPERATION = {"id": "a", "name": "A", "type": "query", "body": "query A{a}"}


def apollo(*operations, **more):
    content = {"format": "apollo-persisted-query-manifest", "version": 1, "operations": list(operations), **more}
    return json.dumps(content).encode()


def test_relays_form_comes_back_in_the_order_of_its_ids():
    manifest = parse_manifest(json.dumps(RELAY).encode())
    assert manifest.form is ManifestForm.RELAY
    assert manifest.documents["a"].text == "{a}"
    assert json.loads(manifest.render()) == RELAY
    assert list(json.loads(manifest.render())) == ["a", "b"]


def test_apollos_form_keeps_names_and_types():
    manifest = parse_manifest(apollo({**OPERATION, "id": "z"}, OPERATION))
    assert manifest.form is ManifestForm.APOLLO
    assert manifest.documents["a"] == TrustedDocument("a", "query A{a}", "A", "query")
    assert [item["id"] for item in json.loads(manifest.render())["operations"]] == ["a", "z"]
    assert parse_manifest(manifest.render()) == manifest


def test_documents_are_put_in_and_taken_out():
    manifest = parse_manifest(b"{}")
    more = manifest.with_documents([TrustedDocument(digest_of("{a}"), "{a}")])
    assert [each.text for each in more.documents.values()] == ["{a}"]
    assert more.without([digest_of("{a}"), "unknown"]) == manifest


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b'{"a":1}', "neither an object of texts"),
        (b'{"a":" "}', "the document is empty"),
        (b'{"":"{a}"}', "an id has 1 to 256"),
        (b'{"' + b"x" * 257 + b'":"{a}"}', "an id has 1 to 256"),
        (apollo(version=2), "version 1"),
        (apollo(format="other"), "version 1"),
        (b'{"format":"apollo-persisted-query-manifest","version":1}', "no list of operations"),
        (apollo({"id": "a"}), "operation 1 has no id or no body"),
        (apollo(OPERATION, {**OPERATION, "body": "{other}"}), "operation 2 has the id of another"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(data, problem):
    with pytest.raises(ValueError, match=problem):
        parse_manifest(data)
