"""One request of a known operator: find its route, check its fields, do it, answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.operations.http.handlers import call
from fraiseql_guard.operations.http.parsing import checked, json_fields, query_fields, read_body
from fraiseql_guard.operations.http.problems import GUARDING, OURS, Header, Problem, problem_json, problem_of, to_json
from fraiseql_guard.operations.http.request import AdminDeps, AdminRequest, Reply
from fraiseql_guard.operations.http.routes import ROUTES
from fraiseql_guard.operations.http.sessions import CSRF_HEADER, Visitor
from fraiseql_guard.operations.operator.interface import OperatorError
from fraiseql_guard.operations.operator.route import Route

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_JSON: Final = b"application/json"
_PROBLEM: Final = b"application/problem+json"

Fault = Callable[[str, BaseException], None]
"""Told of what is our own mistake."""


def _by_path() -> Mapping[str, Mapping[str, Route]]:
    found: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        found.setdefault(route.path, {})[route.method] = route
    return found


_PATHS: Final = _by_path()


class AdminDispatch:
    """An ASGI app for one request. ``path`` is what stands after the admin path, ``prefix`` the admin path itself."""

    __slots__ = ("_ctx", "_deps", "_fault", "_path", "_prefix", "_secure", "_visitor")

    def __init__(
        self,
        deps: AdminDeps,
        visitor: Visitor,
        ctx: RequestContext,
        fault: Fault,
        *,
        path: str,
        prefix: str,
        secure: bool,
    ) -> None:
        self._deps = deps
        self._visitor = visitor
        self._ctx = ctx
        self._fault = fault
        self._path = path
        self._prefix = prefix
        self._secure = secure

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer it, whatever happens."""
        try:
            status, headers, body = await self._serve(scope, receive)
        except OperatorError as error:
            status, headers, body = self._problem(problem_of(error))
        except Problem as error:
            status, headers, body = self._problem(error)
        except Exception as error:  # noqa: BLE001 - the guard itself never turns into a 500
            self._fault("admin", error)
            problem = Problem(503, "something of the guard's own broke; its log says what", headers=_RETRY)
            status, headers, body = self._problem(problem)
        if body:
            headers = (*headers, (b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": [*GUARDING, OURS, *headers]})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _problem(self, problem: Problem) -> tuple[int, tuple[Header, ...], bytes]:
        headers = ((b"content-type", _PROBLEM), *problem.headers)
        return problem.status, headers, problem_json(problem, self._ctx.request_id)

    async def _serve(self, scope: Any, receive: Any) -> tuple[int, tuple[Header, ...], bytes]:
        template, in_path = _find(self._path)
        methods = _PATHS[template]
        self._ctx.endpoint = self._prefix + template
        method = scope["method"]
        if method == "OPTIONS":
            return 204, (_allow(methods),), b""
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            names = ", ".join(methods)
            raise Problem(405, f"{template} takes {names}, not this method", headers=(_allow(methods),))
        ctx = self._ctx
        if method not in _SAFE and not self._visitor.may_change(ctx.header(CSRF_HEADER.lower().encode())):
            raise Problem(403, f"a session changes things only with its {CSRF_HEADER} (GET /session tells it)")
        given = {**checked(in_path, route.in_path), **query_fields(ctx.query_string, route.query)}
        if method in ("POST", "PUT"):
            given |= json_fields(await read_body(receive, ctx.headers), ctx.headers, route.body)
        asked = AdminRequest(deps=self._deps, visitor=self._visitor, route=route, given=given, secure=self._secure)
        result = await (route.handler or call)(asked)
        more = result.headers if isinstance(result, Reply) else ()
        value = result.value if isinstance(result, Reply) else result
        status = result.status if isinstance(result, Reply) else 200
        body = to_json({"items": list(value)} if route.many else value)
        return status, ((b"content-type", _JSON), *more), body


_RETRY: Final[tuple[Header, ...]] = ((b"retry-after", b"1"),)


def _find(path: str) -> tuple[str, Mapping[str, str]]:
    """The template of a path, and what stands in its one parameter."""
    if path in _PATHS and "{" not in path:
        return path, {}
    folder, _, last = path.rpartition("/")
    for template in _PATHS:
        before, _, parameter = template.rpartition("/")
        if parameter.startswith("{") and before == folder and last:
            return template, {parameter.strip("{}"): last}
    raise Problem(404, "there is nothing of this name: openapi.json lists what there is")


def _allow(methods: Mapping[str, Route]) -> Header:
    names = ["OPTIONS", *(["HEAD"] if "GET" in methods else []), *methods]
    return b"allow", ", ".join(sorted(names)).encode()
