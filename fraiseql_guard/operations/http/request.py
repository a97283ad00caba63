"""One request to the operator's API, read and checked, and what answers it leans on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fraiseql_guard.operations.http.sessions import Sessions, Visitor
from fraiseql_guard.operations.operator.deps import Audit
from fraiseql_guard.operations.operator.interface import Operator
from fraiseql_guard.operations.operator.route import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminDeps:
    """What every answer leans on; made once."""

    operator: Operator
    sessions: Sessions
    description: Callable[[], Mapping[str, Any]]
    audit: Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRequest:
    """One request, read and checked: only fields that were given are in ``given``."""

    deps: AdminDeps
    visitor: Visitor
    route: Route
    given: Mapping[str, Any]
    secure: bool
    """Whether it came over TLS, or at least not from another machine: where a cookie must be Secure."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A result with headers of its own."""

    value: Any
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 200
