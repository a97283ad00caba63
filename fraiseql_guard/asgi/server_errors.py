"""The request id on answers that Starlette writes outside of a guard.

Under ``app.add_middleware`` an exception of the app passes through the guard, and Starlette's ServerErrorMiddleware,
which is always the outermost, answers it: with the app's own handler, with a page for developers, or with plain text.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from fraiseql_guard.core.request import guard_request_id

_DEEPEST: Final = 50
_NAMED: Final = "_fraiseql_guard_named"
"""Attribute of what has been taken care of."""


def name_server_errors(host: Any) -> None:
    """Have the answers to unhandled exceptions carry the guard's X-Request-ID. ``host`` is the app that the scope
    names, whose middlewares are built. Costs nothing but for such an answer."""
    app = getattr(host, "middleware_stack", None)
    if app is None:
        return
    from starlette.middleware.errors import ServerErrorMiddleware  # an app that is not Starlette's needs none of it

    for _ in range(_DEEPEST):  # an instrumentation puts a further one around the app's own
        if app is None:
            return
        if isinstance(app, ServerErrorMiddleware) and not hasattr(app, _NAMED):
            _name(app)
        app = getattr(app, "app", None)


def _name(errors: Any) -> None:
    setattr(errors, _NAMED, True)
    for answer in ("debug_response", "error_response", "handler"):
        made = getattr(errors, answer)
        if made is not None:
            setattr(errors, answer, _naming(made))


def _naming(answer: Callable[[Request, Exception], Any]) -> Callable[[Request, Exception], Any]:
    if inspect.iscoroutinefunction(answer) or inspect.iscoroutinefunction(getattr(answer, "__call__", None)):  # noqa: B004
        return _naming_later(answer)

    @wraps(answer)
    def named(request: Request, error: Exception) -> Any:
        return _with_id(request, answer(request, error))

    return named


def _naming_later(
    answer: Callable[[Request, Exception], Awaitable[Any]],
) -> Callable[[Request, Exception], Awaitable[Any]]:
    @wraps(answer)
    async def named(request: Request, error: Exception) -> Any:
        return _with_id(request, await answer(request, error))

    return named


def _with_id(request: Request, response: Any) -> Any:
    own = guard_request_id(request.scope)
    if own is not None and isinstance(response, Response):
        response.headers["x-request-id"] = own
    return response
