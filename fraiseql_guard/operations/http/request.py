"""One request to the operator's API, read and checked, and the objects that handlers answer it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fraiseql_guard.operations.http.sessions import Principal, Sessions
from fraiseql_guard.operations.operator.deps import Audit
from fraiseql_guard.operations.operator.interface import Operator
from fraiseql_guard.operations.operator.route import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminDeps:
    """The objects that handlers use, made once for the API."""

    operator: Operator
    sessions: Sessions
    description: Callable[[], Mapping[str, Any]]
    audit: Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRequest:
    """One request, read and checked. ``given`` holds the fields that the request carries, and no others."""

    deps: AdminDeps
    principal: Principal
    route: Route
    given: Mapping[str, Any]
    secure: bool
    """Whether a cookie must be Secure: always, except for plain HTTP from this machine."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A result with a status or headers of its own."""

    value: Any
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 200
