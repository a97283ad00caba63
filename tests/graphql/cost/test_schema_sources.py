"""A schema is taken as the app's own library makes it."""

from __future__ import annotations

import sys
from dataclasses import make_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from graphql import GraphQLSchema, build_schema

from fraiseql_guard import Guard, SettingsError
from fraiseql_guard.graphql.cost.schema import load_schema
from fraiseql_guard.graphql.cost.slicing_arguments import unsliced_fields
from tests.support.asgi import EchoApp, graphql

SDL = "type Query { people(first: Int): [Person!]! } type Person { name: String friends: [Person!]! }"
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


@installed
@pytest.mark.parametrize("made", [strawberry_schema, ariadne_schema])
async def test_a_schema_of_a_library_sharpens_the_limits_and_has_unknown_fields_refused(made: Any) -> None:
    guard = Guard(EchoApp(), schema=made(), max_query_complexity=50)
    assert (await graphql(guard, "{ people(first: 10) { name } }")).status == 200
    assert (await graphql(guard, "{ people(first: 100) { name } }")).code == "QUERY_TOO_COMPLEX"
    assert (await graphql(guard, "{ people(first: 1) { nmae } }")).code == "GRAPHQL_INVALID"


@pytest.mark.parametrize("attribute", ["_schema", "schema", "graphql_schema"])
def test_what_holds_a_schema_is_as_good_as_the_schema(attribute: str) -> None:
    schema = build_schema(SDL)
    assert load_schema(SimpleNamespace(**{attribute: schema})) == load_schema(schema)
    assert load_schema(lambda: SimpleNamespace(**{attribute: schema})) == load_schema(schema)


def test_text_and_a_file_hold_a_schema(tmp_path: Path) -> None:
    (tmp_path / "schema.graphql").write_text(SDL)
    assert load_schema(SDL) == load_schema(tmp_path / "schema.graphql") == load_schema(build_schema(SDL))


@pytest.mark.parametrize("source", [5, SimpleNamespace(schema=5), lambda: None, lambda: SDL, object(), EchoApp()])
def test_anything_else_stops_the_start_and_says_what_is_accepted(source: Any) -> None:
    with pytest.raises(SettingsError, match=r"^schema=.*\. Accepted: a GraphQLSchema \(of .*\), a strawberry\.Schema, SDL text"):
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
