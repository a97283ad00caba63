"""Describes the operator's API as OpenAPI 3.1, from the table of routes and the dataclasses that they answer."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from fraiseql_guard.operations.http.routes import ROUTES
from fraiseql_guard.operations.operator.fields import Field
from fraiseql_guard.operations.operator.route import Route

_PROBLEM: Final = "Problem"
_ERRORS: Final[Mapping[int, str]] = {
    400: "A field is unknown, missing or unusable.",
    401: "No right token. The same for every path.",
    403: "The caller is blocked, or a session's change lacks its CSRF token.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "Dangerous: it needs force.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    429: "Too many wrong tokens.",
    503: "The store did not answer: nothing was changed.",
}
_UNIX_TIME: Final = "Unix time: seconds since 1970-01-01T00:00:00Z."
_ALWAYS: Final = (400, 401, 403, 429, 503)
_WITH_BODY: Final = (408, 413, 415)
_PRIMITIVES: Final[Mapping[Any, Mapping[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Any: {},
}


def description(path: str, version: str) -> Mapping[str, Any]:
    """The description of an API that is served under ``path``."""
    schemas: dict[str, Any] = {_PROBLEM: _problem()}
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(path + route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "fraiseql-guard: the operator's API", "version": version},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, schemas: dict[str, Any]) -> Mapping[str, Any]:
    found: dict[str, Any] = {
        "operationId": _identifier(route),
        "summary": route.does,
        "responses": {**_answers(route, schemas), **_errors(route)},
    }
    parameters = [
        *(_parameter("path", each) for each in route.in_path),
        *(_parameter("query", each) for each in route.query),
    ]
    if parameters:
        found["parameters"] = parameters
    if route.body:
        # A body is needed if a field is, or one of several.
        required = bool(route.rule) or any(field.required for field in route.body)
        found["requestBody"] = {"required": required, "content": {"application/json": {"schema": _body(route)}}}
    return found


def _identifier(route: Route) -> str:
    words = route.path.replace("{", "").replace("}", "").replace(".", "-").strip("/").replace("/", "-")
    return f"{route.method.lower()}-{words}"


def _parameter(where: str, field: Field) -> Mapping[str, Any]:
    return {
        "name": field.name,
        "in": where,
        "required": field.required,
        "description": field.doc,
        "schema": dict(field.form.schema),
    }


def _body(route: Route) -> Mapping[str, Any]:
    required = [field.name for field in route.body if field.required]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: {**field.form.schema, "description": field.doc} for field in route.body},
        "additionalProperties": False,
        **route.rule,
    }
    if required:
        schema["required"] = required
    return schema


def _answers(route: Route, schemas: dict[str, Any]) -> Mapping[str, Any]:
    answer = _answer(route, schemas)
    accepted = {**answer, "description": "It goes on in the background."}
    return {"200": answer, **({"202": accepted} if route.accepted else {})}


def _answer(route: Route, schemas: dict[str, Any]) -> Mapping[str, Any]:
    one = _schema(route.result, schemas) if route.result is not None else {"type": "object"}
    items = {"type": "object", "properties": {"items": {"type": "array", "items": one}}, "required": ["items"]}
    return {"description": "Done.", "content": {"application/json": {"schema": items if route.many else one}}}


def _errors(route: Route) -> Mapping[str, Any]:
    statuses = {*_ALWAYS, *route.errors, *(_WITH_BODY if route.method in ("POST", "PUT") else ())}
    problem = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{_PROBLEM}"}}}
    return {str(status): {"description": _ERRORS[status], "content": problem} for status in sorted(statuses)}


def _problem() -> Mapping[str, Any]:
    return {
        "type": "object",
        "description": "RFC 9457.",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "description": "The kind of error: INVALID, NOT_FOUND, DANGEROUS, ..."},
            "field": {"type": "string", "description": "The field to blame."},
            "would_have_met": {
                "type": ["integer", "null"],
                "description": "Recent requests that the block would refuse.",
            },
            "remedy": {"type": "string"},
            "requestId": {"type": "string"},
        },
        "required": ["type", "title", "status", "requestId"],
    }


def _schema(kind: Any, schemas: dict[str, Any]) -> Mapping[str, Any]:
    """The JSON Schema of an annotation. A dataclass is added to ``schemas`` and referred to. TypeError for a type
    without a schema."""
    if kind in _PRIMITIVES:
        return _PRIMITIVES[kind]
    if isinstance(kind, type):
        return _class_schema(kind, schemas)
    return _generic_schema(kind, schemas)


def _class_schema(kind: type, schemas: dict[str, Any]) -> Mapping[str, Any]:
    if is_dataclass(kind):
        if kind.__name__ not in schemas:
            schemas[kind.__name__] = {}  # a dataclass that refers to itself ends here
            schemas[kind.__name__] = _object(kind, schemas)
        return {"$ref": f"#/components/schemas/{kind.__name__}"}
    if issubclass(kind, Enum):
        return {"type": "string", "enum": [each.value for each in kind]}
    raise TypeError(f"{kind!r} has no JSON Schema here")


def _generic_schema(kind: Any, schemas: dict[str, Any]) -> Mapping[str, Any]:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if each is type(None) else dict(_schema(each, schemas)) for each in inner]}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(inner[1], schemas)}
    if origin is Sequence:
        return {"type": "array", "items": _schema(inner[0], schemas)}
    raise TypeError(f"{kind!r} has no JSON Schema here")


def _moment(name: str) -> Mapping[str, Any]:
    """The description of a field whose name says that it is a moment (``at``, ``..._at``); {} for any other field."""
    return {"description": _UNIX_TIME} if name == "at" or name.endswith("_at") else {}


def _object(kind: type, schemas: dict[str, Any]) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    rows: Iterable[Any] = fields(kind)
    return {
        "type": "object",
        "description": (kind.__doc__ or "").strip().split("\n\n")[0],
        "properties": {row.name: {**_schema(hints[row.name], schemas), **_moment(row.name)} for row in rows},
        "required": [row.name for row in fields(kind) if row.default is MISSING and row.default_factory is MISSING],
    }
