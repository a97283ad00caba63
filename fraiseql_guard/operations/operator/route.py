"""One row of the table of routes: the fields of a request, and the method of the Operator that it calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fraiseql_guard.core.signals import Event
from fraiseql_guard.operations.operator.fields import Field
from fraiseql_guard.operations.operator.interface import Document, OperatorError
from fraiseql_guard.operations.operator.shared_values import Target

Arguments = Mapping[str, Any]
"""Keyword arguments of a method of the Operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One request that the API takes. A path has one parameter at most, its last segment:
    ``/refusals/{request_id}``."""

    method: str
    path: str
    does: str
    calls: str = ""
    """The method of the Operator that the route calls; the fields are its arguments."""
    fixed: Arguments = field(default_factory=dict)
    """Arguments that are the same for every request of this route."""
    event: Event | None = None
    """The event of the audit, if the method changes something. Then it takes an ``actor``."""
    caller: bool = False
    """Whether the method takes the address of the operator (``caller``)."""
    query: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()
    in_path: tuple[Field, ...] = ()
    rule: Mapping[str, Any] = field(default_factory=dict)
    """Conditions between the fields of the body, as JSON Schema."""
    result: type | None
    """The type of the answer; None for a plain JSON object."""
    many: bool = False
    only: Mapping[str, str] = field(default_factory=dict)
    """Answer only the items whose attributes have these values."""
    accepted: bool = False
    """Whether the answer may be 202, of the same form: the action goes on in the background."""
    errors: tuple[int, ...] = ()
    """Statuses of this route besides those that all have: 400, 401, 405, 413, 415, 429, 503."""
    handler: Callable[[Any], Awaitable[Any]] | None = None
    """Answers a route that calls no method of the Operator (operations/http/routes.py)."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields that a request may carry."""
        return (*self.query, *self.in_path, *self.body)

    def calls_of(self, given: Mapping[str, Any]) -> Sequence[Arguments]:
        """The arguments of the calls that a request with these fields stands for: of one call, or of one each for an
        address and a user. OperatorError for fields that name no target."""
        arguments, parts, composed = dict(self.fixed), dict[str, Any](), None
        for each in self.fields:
            if each.taken_as in _COMPOSED:
                composed = each.taken_as
            if each.name not in given and each.default is None:
                continue
            into = parts if each.taken_as in _COMPOSED else arguments
            into[each.name if into is parts else each.taken_as] = given.get(each.name, each.default)
        if composed is None:
            return [arguments]
        return [{**arguments, composed: value} for value in _COMPOSED[composed](parts)]

    def fields_of(self, arguments: Arguments) -> dict[str, Any]:
        """The fields of the request that stands for one call: the reverse of :meth:`calls_of`. The actor is none of
        them: the other side knows it by its token. OperatorError for a target that no field can carry."""
        found: dict[str, Any] = {}
        for each in self.fields:
            if each.taken_as in _COMPOSED:
                found[each.name] = _part(arguments[each.taken_as], each)
            elif each.taken_as in arguments:
                found[each.name] = each.form.write(arguments[each.taken_as])
        return {name: value for name, value in found.items() if value is not None}


def _targets(parts: Mapping[str, Any]) -> Sequence[Target]:
    """The targets of a request: the address first, so that a dangerous one stops the request before anything is
    done."""
    # Issuer and tenant tell users of one name apart, and mean nothing without a user.
    issued = {name: parts[name] for name in ("issuer", "tenant") if name in parts}
    found = [Target(ip_address=parts["ip_address"])] if "ip_address" in parts else []
    if "key" in parts:
        found.append(Target(key=parts["key"]))
    if "user_id" in parts:
        found.append(Target(user_id=parts["user_id"], **issued))
    elif issued:
        raise OperatorError(f"{next(iter(issued))} needs a user_id beside it", field=next(iter(issued)))
    if not found:
        raise OperatorError("give user_id or ip_address, so that it is clear who is meant", field="user_id")
    return found


def _documents(parts: Mapping[str, Any]) -> Sequence[Sequence[Document]]:
    """A request carries one document."""
    return [[Document(**{"id": "", **parts})]]


_COMPOSED: Final[Mapping[str, Callable[[Mapping[str, Any]], Sequence[Any]]]] = {
    "target": _targets,
    "documents": _documents,
}
"""Arguments that are composed of several fields, each of which is an attribute of the same name: a function from the
given fields to the argument of each call."""


def _part(value: Target | Sequence[Document], part: Field) -> Any:
    """The attribute of a target or of a document that a field carries; None if it has none."""
    if isinstance(value, Target):
        if value.identifier is not None:
            raise OperatorError("give user_id or ip_address: a login can only be unlocked", field="identifier")
        return getattr(value, part.name)
    (document,) = value
    return getattr(document, part.name) or None
