"""Answers one request of a known operator: finds its route, reads its fields, calls the operator's method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.operations.http.handlers import call
from fraiseql_guard.operations.http.parsing import checked, json_fields, query_fields, read_body
from fraiseql_guard.operations.http.problems import GUARDING, OURS, Header, Problem, problem_json, problem_of, to_json
from fraiseql_guard.operations.http.request import AdminDeps, AdminRequest, Reply
from fraiseql_guard.operations.http.routes import ROUTES
from fraiseql_guard.operations.http.sessions import CSRF_HEADER, Principal
from fraiseql_guard.operations.operator.interface import OperatorError
from fraiseql_guard.operations.operator.route import Route

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_JSON: Final = b"application/json"
_PROBLEM: Final = b"application/problem+json"

Fault = Callable[[str, BaseException], None]
"""Called with the name of the part that failed and its exception, when the guard itself is at fault."""


def _by_path() -> Mapping[str, Mapping[str, Route]]:
    found: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        found.setdefault(route.path, {})[route.method] = route
    return found


_PATHS: Final = _by_path()


class AdminDispatch:
    """An ASGI app for one request. ``prefix`` is the admin path, ``path`` the part of the request's path behind it."""

    __slots__ = ("_ctx", "_deps", "_fault", "_path", "_prefix", "_principal", "_secure")

    def __init__(
        self,
        deps: AdminDeps,
        principal: Principal,
        ctx: RequestContext,
        fault: Fault,
        *,
        path: str,
        prefix: str,
        secure: bool,
    ) -> None:
        self._deps = deps
        self._principal = principal
        self._ctx = ctx
        self._fault = fault
        self._path = path
        self._prefix = prefix
        self._secure = secure

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer the request; every error becomes a problem (RFC 9457)."""
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
        # Find the route.
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
        if method not in _SAFE and not self._principal.may_change(self._ctx.header(CSRF_HEADER.lower().encode())):
            raise Problem(403, f"a session changes things only with its {CSRF_HEADER} (GET /session tells it)")
        # Read the fields, call the method, write its result.
        given = await self._fields(route, in_path, method, receive)
        result = await (route.handler or call)(
            AdminRequest(deps=self._deps, principal=self._principal, route=route, given=given, secure=self._secure)
        )
        reply = result if isinstance(result, Reply) else Reply(result)
        body = to_json({"items": list(reply.value)} if route.many else reply.value)
        return reply.status, ((b"content-type", _JSON), *reply.headers), body

    async def _fields(self, route: Route, in_path: Mapping[str, str], method: str, receive: Any) -> dict[str, Any]:
        """The fields that the request carries in its path, its query string and its body."""
        ctx = self._ctx
        given = {**checked(in_path, route.in_path), **query_fields(ctx.query_string, route.query)}
        if method in ("POST", "PUT"):
            given |= json_fields(await read_body(receive, ctx.headers), ctx.headers, route.body)
        return given


_RETRY: Final[tuple[Header, ...]] = ((b"retry-after", b"1"),)


def _find(path: str) -> tuple[str, Mapping[str, str]]:
    """The template of a path, and its parameter by name ({} without one). Problem if no route has this path."""
    if path in _PATHS and "{" not in path:
        return path, {}
    # A template's one parameter is its last segment.
    folder, _, last = path.rpartition("/")
    for template in _PATHS:
        before, _, parameter = template.rpartition("/")
        if parameter.startswith("{") and before == folder and last:
            return template, {parameter.strip("{}"): last}
    raise Problem(404, "there is nothing of this name: openapi.json lists what there is")


def _allow(methods: Mapping[str, Route]) -> Header:
    names = ["OPTIONS", *(["HEAD"] if "GET" in methods else []), *methods]
    return b"allow", ", ".join(sorted(names)).encode()
