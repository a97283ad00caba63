"""A schema is taken as the app's own library makes it."""

from __future__ import annotations

import sys
from dataclasses import make_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from graphql import GraphQLSchema, build_schema
from starlette.applications import Starlette

from fraiseql_guard import Guard, SettingsError
from fraiseql_guard.graphql.cost.schema import load_schema
from fraiseql_guard.graphql.cost.slicing_arguments import unsliced_fields
from tests.support.asgi import EchoApp, graphql

SDL = "type Query { people(first: Int): [Person!]! } type Person { name: String friends: [Person!]! }"
ACCEPTED = (
    r"^schema=.*\. Accepted: a GraphQLSchema \(of .*\), a strawberry\.Schema, SDL text, the path of an SDL file, or"
)
FEDERATION_1 = """
extend type Query { people(first: Int = 100): [Person!]! }
type Person @key(fields: "name") { name: String }
extend type Product @key(fields: "upc") { upc: String! @external }
"""
FEDERATION_2 = """
extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])
type Query { people(first: Int = 100): [Person!]! }
type Person @key(fields: "name") { name: String @shareable }
"""
installed = pytest.mark.skipif(sys.version_info < (3, 13), reason="Strawberry and Ariadne are tried on Python 3.13")


def strawberry_schema() -> Any:
    import strawberry

    person = strawberry.type(make_dataclass("Person", [("name", str)]))

    def people(first: int) -> list[person]:  # type: ignore[valid-type]
        return [person("ada")] * first

    people.__annotations__ = {"first": int, "return": list[person]}
    query = strawberry.type(type("Query", (), {"people": strawberry.field(people)}))
    return strawberry.Schema(query)


def ariadne_schema() -> Any:
    from ariadne import QueryType, make_executable_schema

    query = QueryType()
    query.set_field("people", lambda *_, first=1: [{"name": "ada"}] * first)
    return make_executable_schema("type Query { people(first: Int): [Person!]! } type Person { name: String }", query)


def strawberry_federation_schema() -> Any:
    import strawberry.federation

    person = strawberry.federation.type(make_dataclass("Person", [("name", str)]), keys=["name"])

    def people(first: int) -> list[person]:  # type: ignore[valid-type]
        return [person("ada")] * first

    people.__annotations__ = {"first": int, "return": list[person]}
    query = strawberry.federation.type(type("Query", (), {"people": strawberry.federation.field(people)}))
    return strawberry.federation.Schema(query)


def strawberry_app() -> Any:
    from strawberry.asgi import GraphQL

    return GraphQL(strawberry_schema())


def strawberry_router() -> Any:
    from strawberry.fastapi import GraphQLRouter

    return GraphQLRouter(strawberry_schema())


def ariadne_federated_schema() -> Any:
    from ariadne import QueryType
    from ariadne.contrib.federation import FederatedObjectType, make_federated_schema

    query = QueryType()
    query.set_field("people", lambda *_, first=1: [{"name": "ada"}] * first)
    return make_federated_schema(FEDERATION_2, query, FederatedObjectType("Person"))


def ariadne_app() -> Any:
    from ariadne.asgi import GraphQL

    return GraphQL(ariadne_schema())


@installed
@pytest.mark.parametrize(
    "made",
    [
        strawberry_schema,
        strawberry_federation_schema,
        strawberry_app,
        strawberry_router,
        ariadne_schema,
        ariadne_federated_schema,
        ariadne_app,
    ],
)
async def test_a_schema_of_a_library_sharpens_the_limits_and_has_unknown_fields_refused(made: Any) -> None:
    guard = Guard(EchoApp(), schema=made(), max_query_complexity=50)
    assert (await graphql(guard, "{ people(first: 10) { name } }")).status == 200
    assert (await graphql(guard, "{ people(first: 100) { name } }")).code == "QUERY_TOO_COMPLEX"
    assert (await graphql(guard, "{ people(first: 1) { nmae } }")).code == "GRAPHQL_INVALID"


@installed
@pytest.mark.parametrize("made", [strawberry_federation_schema, ariadne_federated_schema])
async def test_what_federation_adds_is_counted_and_no_news_at_the_start(made: Any) -> None:
    schema = made()
    guard = Guard(EchoApp(), schema=schema, max_list_size=10)
    entities = "query($r: [_Any!]!) { _entities(representations: $r) { ... on Person { name } } }"
    known = [{"__typename": "Person", "name": str(number)} for number in range(11)]
    assert (await graphql(guard, "{ _service { sdl } }")).code == "INTROSPECTION_DENIED"
    assert (await graphql(guard, entities, variables={"r": known[:10]})).status == 200
    assert (await graphql(guard, entities, variables={"r": known})).code == "LIST_TOO_LARGE"
    assert unsliced_fields(_table(schema), guard.settings) == ()


@installed
async def test_directives_of_ariadne_are_read() -> None:
    from ariadne import QueryType, make_executable_schema

    sdl = 'directive @cost(weight: String!) on FIELD_DEFINITION type Query { report: Int @cost(weight: "70") }'
    guard = Guard(EchoApp(), schema=make_executable_schema(sdl, QueryType()), max_query_complexity=100)
    assert (await graphql(guard, "{ report }")).status == 200
    assert (await graphql(guard, "{ a: report b: report }")).code == "QUERY_TOO_COMPLEX"


@pytest.mark.parametrize("text", ["FEDERATION_1", "FEDERATION_2"])
async def test_the_text_of_a_subgraph_is_a_schema(text: str) -> None:
    guard = Guard(EchoApp(), schema=globals()[text], max_list_size=50)
    assert (await graphql(guard, "{ people(first: 50) { name } }")).status == 200
    assert (await graphql(guard, "{ people { name } }")).code == "LIST_TOO_LARGE"  # by the default that stands there


@pytest.mark.parametrize("source", ["{ people { name } }", "type Person { name: String }", GraphQLSchema()])
def test_a_schema_in_which_nothing_can_be_asked_stops_the_start(source: Any) -> None:
    with pytest.raises(
        SettingsError, match=r"^schema=\S+ has no type Query, so that nothing can be asked\. Accepted: "
    ):
        load_schema(source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Starlette(), "schema=Starlette holds no schema, and cannot be called for one: "),
        ("main:schema", "schema=main:schema cannot be read: "),
        ("", "schema=(text) cannot be read: Syntax Error"),
        (b"type Query { a: Int }", "schema=bytes is no GraphQLSchema"),
        ({"__schema": {}}, "schema=dict is no GraphQLSchema"),
        ("type Query { people: Nowhere }", "schema=(text) cannot be read: "),
    ],
    ids=["app", "import", "nothing", "bytes", "dict", "unknown type"],
)
def test_a_wrong_one_is_one_message_that_says_what_it_was(source: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=ACCEPTED) as raised:
        load_schema(source)
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("attribute", ["_schema", "schema", "graphql_schema"])
def test_what_holds_a_schema_is_as_good_as_the_schema(attribute: str) -> None:
    schema = build_schema(SDL)
    assert load_schema(SimpleNamespace(**{attribute: schema})) == load_schema(schema)
    assert load_schema(lambda: SimpleNamespace(**{attribute: schema})) == load_schema(schema)
    assert load_schema(SimpleNamespace(state=SimpleNamespace(graphql_schema=schema))) == load_schema(schema)


def test_text_and_a_file_hold_a_schema(tmp_path: Path) -> None:
    (tmp_path / "schema.graphql").write_text(SDL)
    assert load_schema(SDL) == load_schema(tmp_path / "schema.graphql") == load_schema(build_schema(SDL))


@pytest.mark.parametrize("source", [5, SimpleNamespace(schema=5), lambda: None, lambda: SDL, object(), EchoApp()])
def test_anything_else_stops_the_start_and_says_what_is_accepted(source: Any) -> None:
    with pytest.raises(SettingsError, match=ACCEPTED):
        load_schema(source)


def test_the_lists_that_fraiseql_adds_are_not_among_those_that_deserve_a_look() -> None:
    added = "type Mutation { add: Result } type Result { errors: [Error!] } type Error { message: String }"
    schema = build_schema(SDL + added)
    settings = Guard(EchoApp()).settings
    assert set(unsliced_fields(_table(schema), settings)) == {"Person.friends", "Result.errors"}

    def resolve(*_: object) -> None: ...

    resolve.__module__ = "fraiseql.core"
    assert schema.query_type is not None
    schema.query_type.fields["people"].resolve = resolve
    assert set(unsliced_fields(_table(schema), settings)) == {"Person.friends"}


def _table(schema: GraphQLSchema) -> Any:
    return load_schema(schema)
