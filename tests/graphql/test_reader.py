"""The reader's memory of documents, and the schemas it takes."""

from __future__ import annotations

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInt,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
)

from fraiseql_guard.core.variables import SettingsError
from tests.graphql.requests import BLOG, body, complexity, post, reader, refusal

SIZED = "query($n:Int,$id:ID,$p:P){users(limit:$n,id:$id,page:$p){id}}"


def test_a_remembered_document_is_priced_for_each_request():
    to = reader()
    for _ in range(2):
        for size, cost in [(5, 5), (7, 7), (None, 10), (5, 5), (5000, 5000), (7, 7)]:
            assert post(to, body(SIZED, {"n": size, "id": "x"})).measured.complexity == cost
    assert refusal(post(to, body(SIZED, {"n": True}))) == "LIST_SIZE_INVALID"
    assert refusal(post(to, body(SIZED, {"n": 1.5}))) == "LIST_SIZE_INVALID"
    assert post(to, body(SIZED, {"n": 1.0})).measured.complexity == 1
    assert post(to, body(SIZED, {"n": 5, "p": {"limit": 9}})).measured.complexity == 9
    assert post(to, body(SIZED, {"n": 5, "id": [1] * 100})).measured.complexity == 5 + 2
    assert post(to, body(SIZED, {"n": 5})).measured.complexity == 5


def test_a_remembered_document_is_judged_for_each_request():
    to, text = reader(), "query A{a} query B{b}"
    for _ in range(2):
        assert post(to, body(text, operationName="A")).measured.name == "A"
        assert post(to, body(text, operationName="B")).measured.name == "B"
        assert refusal(post(to, body(text, operationName="C"))) == "OPERATION_NOT_FOUND"
        assert refusal(post(to, body(text))) == "OPERATION_NOT_FOUND"
    to, text = reader(), "query($s:Boolean!){me{posts(limit:9) @skip(if:$s){id}}}"
    for _ in range(2):
        assert post(to, body(text, {"s": True})).measured.complexity == 1
        assert post(to, body(text, {"s": False})).measured.complexity == 10
        assert post(to, body(text, {"s": 1})).measured.complexity == 10


def test_a_mutation_that_was_posted_is_still_refused_by_get():
    to = reader()
    assert post(to, body("mutation{a}")).denial is None
    assert refusal(to.read("GET", "", b"query=mutation{a}", b"", authenticated=False)) == "MUTATION_BY_GET"
    assert post(to, body("mutation{a}")).denial is None


def test_refused_documents_push_no_good_one_out():
    to = reader()
    post(to, body("{good}"))
    for number in range(2000):
        assert post(to, body(f"{{users(limit:{2000 + number}){{id}}}}")).denial is not None
    assert [text for _, text in to.texts()] == ["{good}"]


def test_a_schema_comes_as_itself_as_text_as_a_file_or_from_a_callable(tmp_path):
    file = tmp_path / "schema.graphql"
    file.write_text(BLOG)
    for source in (build_schema(BLOG), BLOG, file, str(file), lambda: build_schema(BLOG)):
        assert complexity("{tags{name}}", schema=source) == 7


def test_a_schema_built_in_code_has_types_and_defaults():
    tag = GraphQLObjectType("Tag", {"id": GraphQLField(GraphQLInt)})
    tags = GraphQLField(GraphQLList(tag), {"limit": GraphQLArgument(GraphQLInt)})
    schema = GraphQLSchema(GraphQLObjectType("Query", {"tags": tags}))
    assert complexity("{tags{id}}", schema=schema) == 10


def test_below_the_root_a_fraiseql_app_takes_nothing_out():
    def resolver(*_: object) -> None: ...

    resolver.__module__ = "fraiseql.gql.enum_serializer"
    schema = build_schema(BLOG)
    query = "{users(limit:9){followers(limit:9) @skip(if:true){id}} me @skip(if:true){id}}"
    assert complexity(query, schema=schema) == 9
    schema.query_type.fields["users"].resolve = resolver
    assert complexity(query, schema=schema) == 9 * (1 + 9)
    fragment = "{...F @skip(if:true) few:users(limit:2){id}} fragment F on Query{users(limit:9) @skip(if:true){id}}"
    assert complexity(fragment, schema=schema) == 2
    assert complexity(fragment.replace("F @skip(if:true)", "F"), schema=schema) == 2 + 9


@pytest.mark.parametrize("source", ["type Query {", "/no/such/file.graphql", "type Query { a: Missing }", lambda: None])
def test_a_schema_that_cannot_be_read_stops_the_start(source):
    with pytest.raises(SettingsError, match=r"schema=.*Accepted"):
        reader(source)
