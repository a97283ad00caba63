"""Executes operations of sockets and streams as FraiseQL's own endpoint would.

A query or a mutation is a request to FraiseQL's route, made inside the app: nothing of FraiseQL's execution (persisted
queries, turbo router, JSON from Rust) is repeated here. A subscription is executed here, with the context that
FraiseQL's route would get: FastAPI solves the same dependency, with the app's overrides.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from inspect import signature
from typing import Any, Final, cast

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute, iter_route_contexts
from fraiseql.fastapi.dependencies import get_auth_provider, get_fraiseql_config
from fraiseql.middleware.apq import create_arbitrary_query_rejected_error
from graphql import GraphQLSchema, OperationType

from fraiseql_guard.fraiseql.subscription.documents import DocumentReader, HostOperation
from fraiseql_guard.fraiseql.subscription.errors import UNAUTHENTICATED, internal_error
from fraiseql_guard.fraiseql.subscription.events import Emit, ShownErrors, deliver
from fraiseql_guard.fraiseql.subscription.inner_request import ask, http_scope
from fraiseql_guard.fraiseql.subscription.json_text import read_json, write_json
from fraiseql_guard.fraiseql.subscription.schema import closable

_RUN: Final = "fraiseql_guard.with_context"
FRAISEQL_PATH: Final = "/graphql"
"""The path of FraiseQL's own route, which is the same in every app."""

AppScope = MutableMapping[str, Any]


class HostExecution:
    """Executes operations in a FraiseQL app."""

    def __init__(self, host: FastAPI) -> None:
        self._host = host
        self._schema: GraphQLSchema | None = None
        self._endpoint: Any = None
        self._with_context: Any = None

    @property
    def reader(self) -> DocumentReader:
        """The reader for the app's present schema: the app may make a new schema while it runs."""
        schema = self._host.state.graphql_schema
        if schema is not self._schema:
            self._reader = DocumentReader(closable(schema))
            self._schema = schema
        return self._reader

    async def run(self, scope: AppScope, operation: HostOperation, emit: Emit) -> ShownErrors | None:
        """Execute an operation, and hand over its results one by one. Returns the errors that ended it; None if it
        ended well.

        ``scope`` is the scope of the socket or the request when the operation begins.
        """
        if operation.kind is OperationType.SUBSCRIPTION:
            return await self._subscribe(scope, operation, emit)
        body = write_json(operation.payload).encode()
        return await _hand_over(*await ask(self._host.router, http_scope(scope, FRAISEQL_PATH, body), body), emit)

    async def _subscribe(self, scope: AppScope, operation: HostOperation, emit: Emit) -> ShownErrors | None:
        schema, ended = self.reader.schema, []

        async def run(context: dict[str, Any]) -> None:
            ended.append(_refused(context, operation) or await deliver(schema, operation, context, emit))

        inner = {**http_scope(scope, FRAISEQL_PATH, b""), _RUN: run}
        answer = await ask(self._context_app(), inner, b"")
        return ended[0] if ended else await _hand_over(*answer, emit)  # a dependency has refused

    def _context_app(self) -> Any:
        """An app that solves FraiseQL's dependency ``context``, and calls the function in the scope (_RUN) with it."""
        endpoint = endpoint_of(self._host)
        if endpoint is not self._endpoint:
            self._with_context = _solving(signature(endpoint).parameters["context"].default, self._host)
            self._endpoint = endpoint
        return self._with_context


def endpoint_of(host: FastAPI) -> Callable[..., Any]:
    """FraiseQL's present endpoint, which is a new one after a refresh of the schema. LookupError if there is none."""
    for route in iter_route_contexts(host.routes):
        if getattr(route, "path", None) == FRAISEQL_PATH and "POST" in (getattr(route, "methods", None) or ()):
            return cast(Callable[..., Any], route.endpoint)
    raise LookupError(f"the app has no route for POST {FRAISEQL_PATH}")


def _solving(dependency: Any, host: FastAPI) -> Any:
    async def run_with_context(request: Request, context: Any) -> Response:
        await request.scope[_RUN](context)
        return Response(status_code=204)

    # FastAPI looks at a signature, whose annotations are postponed in this module.
    own = signature(run_with_context)
    parameters = [
        own.parameters["request"].replace(annotation=Request),
        own.parameters["context"].replace(annotation=Any, default=dependency),
    ]
    run_with_context.__signature__ = own.replace(parameters=parameters, return_annotation=Response)  # type: ignore[attr-defined]
    return APIRoute("/", run_with_context, dependency_overrides_provider=host).app


def _refused(context: dict[str, Any], operation: HostOperation) -> ShownErrors | None:
    """The errors with which FraiseQL's endpoint would refuse a request before it executes anything; None if it would
    not."""
    config = get_fraiseql_config()
    if config is None:
        return None
    if config.auth_enabled and get_auth_provider() is not None and not context.get("authenticated"):
        return [UNAUTHENTICATED]
    hashed = "persistedQuery" in (operation.payload.get("extensions") or {})
    if not config.apq_mode.allows_arbitrary_queries() and not hashed:
        return list(create_arbitrary_query_rejected_error()["errors"])
    return None


async def _hand_over(status: int, body: bytes, emit: Emit) -> ShownErrors | None:
    """Hand over the answer to an inner request if it has data, and return None; else return its errors."""
    try:
        answer = read_json(body)
    except ValueError:
        return [internal_error()]
    if isinstance(answer, dict) and "data" in answer:
        await emit(body)
        return None
    if isinstance(answer, dict) and isinstance(answer.get("errors"), list) and answer["errors"]:
        return cast(ShownErrors, answer["errors"])
    detail = answer.get("detail") if isinstance(answer, dict) else None
    if status == 401:
        return [{**UNAUTHENTICATED, "message": str(detail)}]
    return [{"message": detail} if isinstance(detail, str) else internal_error()]
