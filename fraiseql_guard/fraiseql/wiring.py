"""What FastAPI calls in the place of FraiseQL's dependencies."""

# FastAPI evaluates the annotations of a dependency, so they are not postponed here.

from collections.abc import Awaitable, Callable
from inspect import signature
from typing import Any

from fastapi import Request
from fraiseql.fastapi.dependencies import (
    build_graphql_context,
    get_auth_provider,
    get_current_user_optional,
    get_db,
)

from fraiseql_guard.fraiseql.identity import current_user, provided_user, user_of
from fraiseql_guard.request import current


def wire(overrides: dict[Any, Any], guarded_db: Callable[[], Awaitable[Any]]) -> list[str]:
    """Put our dependencies into ``overrides`` (``app.dependency_overrides``), but for those that the app overrides
    itself: their names are returned.

    As soon as an app has any override, FastAPI analyses the signatures of all dependencies anew in every request, level
    by level: for FraiseQL's four levels that costs more CPU than everything else here. So the topmost one is overridden
    as well, by one with nothing below it, which is cheaper than no override at all; and with no argument either, unless
    an auth provider of the app's own wants to see what the app's middlewares have made of the request.
    """

    async def context_at_work() -> dict[str, Any]:
        ctx, provided = current(), get_auth_provider() is not None
        user = await provided_user(ctx) if provided else user_of(ctx)
        return await build_graphql_context(await guarded_db(), user)

    async def context_of_request(request: Request) -> dict[str, Any]:
        return await build_graphql_context(await guarded_db(), await current_user(request))

    graphql_context: Any = context_at_work if get_auth_provider() is None else context_of_request
    # What FastAPI would work out from the code in every request: with this it finds it ready.
    graphql_context.__signature__ = signature(graphql_context)

    ours = {get_db: guarded_db, get_current_user_optional: current_user}
    taken = [each.__name__ for each in (*ours, build_graphql_context) if each in overrides]
    if not taken:
        overrides[build_graphql_context] = graphql_context
    for dependency, function in ours.items():
        overrides.setdefault(dependency, function)
    return taken
