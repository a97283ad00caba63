"""Replaces FraiseQL's dependencies by the guard's, through FastAPI's dependency_overrides."""

# FastAPI evaluates the annotations of a dependency, so they are not postponed here.

from collections.abc import Awaitable, Callable
from inspect import signature
from typing import Any

from fastapi import Request
from fraiseql.fastapi.dependencies import build_graphql_context, get_current_user_optional, get_db

from fraiseql_guard.fraiseql.identity import current_user


def wire(overrides: dict[Any, Any], guarded_db: Callable[[], Awaitable[Any]]) -> list[str]:
    """Put the guard's dependencies into ``overrides`` (``app.dependency_overrides``). Returns the names of those that
    the app overrides itself, which are left alone.

    As soon as an app has any override, FastAPI analyses the signatures of all dependencies anew in every request, level
    by level. For FraiseQL's four levels that costs more CPU than everything else here. So the topmost dependency is
    overridden as well, by one with a single argument and no dependencies, which is cheaper than no override at all. It
    needs the request, because requests that an app makes to itself, around the guard, have no user.
    """

    async def graphql_context(request: Request) -> dict[str, Any]:
        return await build_graphql_context(await guarded_db(), await current_user(request))

    # FastAPI would compute the signature in every request; with the attribute it need not.
    graphql_context.__signature__ = signature(graphql_context)  # type: ignore[attr-defined]

    ours = {get_db: guarded_db, get_current_user_optional: current_user}
    taken = [each.__name__ for each in (*ours, build_graphql_context) if each in overrides]
    if not taken:
        overrides[build_graphql_context] = graphql_context
    for dependency, function in ours.items():
        overrides.setdefault(dependency, function)
    return taken
