"""The Starlette application without the guard: GraphQL over HTTP at /graphql, and a health check."""

from __future__ import annotations

from collections.abc import Mapping
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLSchema,
    GraphQLUnionType,
    OperationType,
    build_schema,
    get_operation_ast,
    graphql,
    parse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from examples.starlette_blog.blog import Blog, type_name

_JSON = {"application/json", "application/graphql-response+json"}
_ENVELOPE: Mapping[str, Any] = {"operationName": str, "variables": dict, "extensions": dict}


def make_schema() -> GraphQLSchema:
    """The schema of schema.graphql, with its union resolved."""
    schema = build_schema(Path(__file__).with_name("schema.graphql").read_text())
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLUnionType):
            kind.resolve_type = type_name
    return schema


def make_app(schema: GraphQLSchema, blog: Blog) -> Starlette:
    """An application that answers for one blog."""

    async def answer(request: Request) -> Response:
        try:
            envelope = await _read_envelope(request)
            document = parse(envelope["query"])
        except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, GraphQLError) as problem:
            return _refuse(f"This is not a GraphQL request: {problem}", 400)
        operation = get_operation_ast(document, envelope.get("operationName"))
        if request.method == "GET" and operation and operation.operation is OperationType.MUTATION:
            return _refuse("Send mutations by POST.", 405)
        result = await graphql(
            schema,
            envelope["query"],
            root_value=blog,
            variable_values=envelope.get("variables"),
            operation_name=envelope.get("operationName"),
        )
        return JSONResponse(result.formatted)

    return Starlette(
        routes=[
            Route("/graphql", answer, methods=["GET", "POST"]),
            Route("/health", lambda _request: PlainTextResponse("ok\n")),
        ]
    )


async def _read_envelope(request: Request) -> Mapping[str, Any]:
    if request.method == "POST":
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _JSON:
            raise TypeError("JSON is expected")
        envelope = await request.json()
    else:
        envelope = dict(request.query_params)
        if "variables" in envelope:
            envelope["variables"] = loads(envelope["variables"])
    if not isinstance(envelope, Mapping):
        raise TypeError("an object is expected")
    for name, kind in _ENVELOPE.items():
        if not isinstance(envelope.get(name), kind | None):
            raise TypeError(f"{name} has the wrong type")
    return envelope


def _refuse(message: str, status: int) -> Response:
    return JSONResponse({"errors": [{"message": message}]}, status_code=status)


schema = make_schema()
bare_app = make_app(schema, Blog())
