"""Runs a subscription: executes each event and hands its result over before it asks for the next event."""

from __future__ import annotations

import asyncio
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
from fraiseql_guard.fraiseql.subscription.json_text import write_json
from fraiseql_guard.fraiseql.subscription.schema import SOURCE

_logger: Final = logging.getLogger(__name__)
_as_plain: Final = FraiseQLJSONEncoder().default
_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS

Emit = Callable[[bytes], Awaitable[None]]
"""Takes one result as JSON. An exception of it ends the operation."""
ShownErrors = list[dict[str, Any]]
"""The errors that end an operation, as clients see them."""


async def deliver(
    schema: GraphQLSchema, operation: HostOperation, context: dict[str, Any], emit: Emit
) -> ShownErrors | None:
    """Hand over a result for each event, to the end of the app's generator, which is closed in any case. Returns the
    errors if the subscription cannot begin or fails; None if it ended well."""
    begun: Any = subscribe(schema, operation.document, None, context, operation.variables, operation.name)  # type: ignore[arg-type]
    begun = await begun if isawaitable(begun) else begun
    if isinstance(begun, ExecutionResult):
        return shown(begun.errors or [])
    # The app's own generator is read, not graphql-core's around it, so that it can be closed.
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
            await asyncio.sleep(0)  # a generator that never waits leaves the loop to others, and sees its client leave
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
        return write_json({"data": None, "errors": shown_exception(error)}).encode()


def _renew_loaders(context: dict[str, Any]) -> None:
    """Give an event new data loaders: loaders remember rows, which may have changed since the last event."""
    if "loader_registry" in context:
        context["loader_registry"] = loaders = LoaderRegistry(db=context.get("db"))
        LoaderRegistry.set_current(loaders)
