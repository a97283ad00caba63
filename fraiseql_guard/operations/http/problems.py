"""Writes the answers of the operator's API: JSON, and problems (RFC 9457), with headers that forbid caching and
guessing of types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from fraiseql_guard.operations.operator.interface import DangerousError, OperatorError
from fraiseql_guard.operations.operator.json_values import MARK

Header = tuple[bytes, bytes]

GUARDING: Final[tuple[Header, ...]] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""Headers of every answer. CORS headers are missing: pages of other origins may not use the API."""
OURS: Final[Header] = (MARK[0].encode(), MARK[1].encode())
"""Marks every answer of the API, so that a client does not mistake another app's answer for one."""


class Problem(Exception):  # noqa: N818 - becomes an answer, and is no error of the program
    """Ends a request with a status, one sentence (``detail``), and further members of the answer."""

    def __init__(self, status: int, detail: str, *, headers: Iterable[Header] = (), **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = tuple(headers)
        self.members = {name: value for name, value in members.items() if value is not None}


def problem_of(error: OperatorError) -> Problem:
    """The Problem that answers an OperatorError."""
    if isinstance(error, DangerousError):
        remedy = 'The same with "force": true does it.'
        problem = Problem(error.status, str(error), code=error.code, field=error.field, remedy=remedy)
        problem.members["would_have_met"] = error.would_have_met
        return problem
    headers = ((b"retry-after", b"1"),) if error.status == HTTPStatus.SERVICE_UNAVAILABLE else ()
    return Problem(error.status, str(error), headers=headers, code=error.code, field=error.field)


def problem_json(problem: Problem, request_id: str) -> bytes:
    """The body of a problem (RFC 9457): its members and the request's id as JSON."""
    title = HTTPStatus(problem.status).phrase
    known = {"type": "about:blank", "title": title, "status": problem.status, "detail": problem.detail}
    return orjson.dumps({**known, **problem.members, "requestId": request_id})


def to_json(value: Any) -> bytes:
    """A result as JSON. Dataclasses become objects with the names of their fields."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Iterable) else str(value)
