"""A subscription at work: its events, each executed and handed over before the next one is asked for."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from inspect import isawaitable
from typing import Any, Final

import orjson
from fraiseql.core.rust_pipeline import RustResponseBytes
from fraiseql.fastapi.json_encoder import FraiseQLJSONEncoder
from fraiseql.optimization.registry import LoaderRegistry
from graphql import ExecutionResult, GraphQLSchema, execute, subscribe

from fraiseql_guard.fraiseql.subscription.documents import HostOperation
from fraiseql_guard.fraiseql.subscription.errors import shown, shown_exception
from fraiseql_guard.fraiseql.subscription.schema import SOURCE

_logger: Final = logging.getLogger(__name__)
_as_plain: Final = FraiseQLJSONEncoder().default
_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS

Emit = Callable[[bytes], Awaitable[None]]
"""Takes one result as JSON. What it raises ends the operation."""
ShownErrors = list[dict[str, Any]]
"""The errors that end an operation, as clients see them."""


async def deliver(
    schema: GraphQLSchema, operation: HostOperation, context: dict[str, Any], emit: Emit
) -> ShownErrors | None:
    """Hand over a result for each event, to the end of the app's generator, which is closed in any case."""
    begun: Any = subscribe(schema, operation.document, None, context, operation.variables, operation.name)  # type: ignore[arg-type]
    begun = await begun if isawaitable(begun) else begun
    if isinstance(begun, ExecutionResult):
        return shown(begun.errors or [])
    # The app's own generator is read, and not the one around it that graphql-core has made: so it can be closed.
    source: AsyncGenerator[Any, None] = context.pop(SOURCE)
    try:
        while True:
            try:
                event = await anext(source)
            except StopAsyncIteration:
                return None
            except Exception as error:
                _logger.exception("a subscription has failed")
                return shown_exception(error)
            await emit(await _result(schema, operation, context, event))
    finally:
        await source.aclose()


async def _result(schema: GraphQLSchema, operation: HostOperation, context: dict[str, Any], event: Any) -> bytes:
    if isinstance(event, RustResponseBytes):  # a whole answer, made by PostgreSQL and Rust
        return bytes(event)
    _renew_loaders(context)
    try:
        result: Any = execute(schema, operation.document, event, context, operation.variables, operation.name)  # type: ignore[arg-type]
        result = await result if isawaitable(result) else result
        told = {"data": result.data, **({"errors": shown(result.errors)} if result.errors else {})}
        return orjson.dumps(told, _as_plain, _OPTIONS)
    except Exception as error:  # a value that is no JSON
        _logger.exception("an event has failed")
        return orjson.dumps({"data": None, "errors": shown_exception(error)})


def _renew_loaders(context: dict[str, Any]) -> None:
    """Give an event loaders of its own: they remember rows, which may have changed since the last event."""
    if "loader_registry" in context:
        context["loader_registry"] = loaders = LoaderRegistry(db=context.get("db"))
        LoaderRegistry.set_current(loaders)
