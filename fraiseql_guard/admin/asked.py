"""One request to the operator's API, read and checked, and what its call leans on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fraiseql_guard.admin.sessions import Sessions, Visitor
from fraiseql_guard.operator.bench import Audit
from fraiseql_guard.operator.interface import Operator, OperatorError, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the calls lean on; made once."""

    operator: Operator
    sessions: Sessions
    description: Callable[[], Mapping[str, Any]]
    audit: Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, read and checked: only fields that were given are in ``given``."""

    desk: Desk
    visitor: Visitor
    given: Mapping[str, Any]
    secure: bool
    """Whether it came over TLS, or at least not from another machine: where a cookie must be Secure."""

    @property
    def operator(self) -> Operator:
        """Who does it."""
        return self.desk.operator

    def some(self, *names: str) -> dict[str, Any]:
        """The given ones of these fields, as keyword arguments; with the actor."""
        return {"actor": self.visitor.actor, **{name: self.given[name] for name in names if name in self.given}}

    def page(self) -> dict[str, Any]:
        """Which page of a list is asked for."""
        names = {"limit": "count", "cursor": "cursor"}
        return {option: self.given[name] for name, option in names.items() if name in self.given}

    def targets(self) -> tuple[Target, ...]:
        """Whom the request is about: an address first, so that its dangers stop the whole of it."""
        issued = {name: self.given[name] for name in ("issuer", "tenant") if name in self.given}
        found = [Target(ip_address=self.given["ip_address"])] if "ip_address" in self.given else []
        if "user_id" in self.given:
            found.append(Target(user_id=self.given["user_id"], **issued))
        elif issued:
            raise OperatorError(f"{next(iter(issued))} needs a user_id beside it", field=next(iter(issued)))
        if not found:
            raise OperatorError("give user_id or ip_address, so that it is clear who is meant", field="user_id")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Reply:
    """A result with headers of its own."""

    value: Any
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 200
