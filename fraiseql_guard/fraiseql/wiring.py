"""What FastAPI calls in the place of FraiseQL's dependencies."""

# FastAPI evaluates the annotations of a dependency, so they are not postponed here.

from collections.abc import Awaitable, Callable
from inspect import signature
from typing import Any

from fastapi import Request
from fraiseql.fastapi.dependencies import build_graphql_context, get_current_user_optional, get_db

from fraiseql_guard.fraiseql.identity import current_user


def wire(overrides: dict[Any, Any], guarded_db: Callable[[], Awaitable[Any]]) -> list[str]:
    """Put our dependencies into ``overrides`` (``app.dependency_overrides``), but for those that the app overrides
    itself: their names are returned.

    As soon as an app has any override, FastAPI analyses the signatures of all dependencies anew in every request, level
    by level: for FraiseQL's four levels that costs more CPU than everything else here. So the topmost one is overridden
    as well, by one with a single argument and nothing below it, which is cheaper than no override at all. Without even
    that it would be cheaper still, but who a request's user is must be read from that very request: what an app asks
    itself inside of it, around the guard, has none.
    """

    async def graphql_context(request: Request) -> dict[str, Any]:
        return await build_graphql_context(await guarded_db(), await current_user(request))

    # What FastAPI would work out from the code in every request: with this it finds it ready.
    graphql_context.__signature__ = signature(graphql_context)  # type: ignore[attr-defined]

    ours = {get_db: guarded_db, get_current_user_optional: current_user}
    taken = [each.__name__ for each in (*ours, build_graphql_context) if each in overrides]
    if not taken:
        overrides[build_graphql_context] = graphql_context
    for dependency, function in ours.items():
        overrides.setdefault(dependency, function)
    return taken
