"""GraphQL by POST, one operation or a list of them, configured by FRAISEQL_* variables."""

from __future__ import annotations

from typing import Any

from graphql import graphql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from examples.starlette_blog.bare import schema
from examples.starlette_blog.blog import Blog
from fraiseql_guard import Guard

_BLOG = Blog()


async def _answer(request: Request) -> JSONResponse:
    asked = await request.json()
    return JSONResponse([await _execute(each) for each in asked] if isinstance(asked, list) else await _execute(asked))


async def _execute(envelope: dict[str, Any]) -> Any:
    result = await graphql(
        schema, envelope["query"], root_value=_BLOG, variable_values=envelope.get("variables"),
        operation_name=envelope.get("operationName"),
    )  # fmt: skip
    return result.formatted


app = Guard(Starlette(routes=[Route("/graphql", _answer, methods=["POST"])]), schema=schema)
