"""Calls the Operator's method that a route names: once, or once for each of two targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from fraiseql_guard.operations.http.request import AdminRequest, Reply
from fraiseql_guard.operations.operator.interface import Done

_WAIT_SECONDS: Final = 1.0
"""How long a request waits for an action that may go on in the background."""


async def call(request: AdminRequest) -> Any:
    """The method's result; a Reply with status 202 if the action goes on in the background."""
    route = request.route
    method = getattr(request.deps.operator, route.calls)
    implied = _implied_arguments(request)
    results = [await method(**arguments, **implied) for arguments in route.calls_of(request.given)]
    result: Any = results[0] if len(results) == 1 else _combined(results)
    if route.only:
        return [each for each in result if all(getattr(each, name) == value for name, value in route.only.items())]
    goes_on = route.accepted and result.details.get("running")
    return Reply(result, status=202) if goes_on else result


def _implied_arguments(request: AdminRequest) -> dict[str, Any]:
    """The method's arguments that are no fields of the request: the actor, its address, and how long to wait."""
    implied: dict[str, Any] = {}
    if request.route.event is not None:
        implied["actor"] = request.principal.actor
    if request.route.caller:
        implied["caller"] = request.principal.address
    if request.route.accepted:
        implied["wait_seconds"] = _WAIT_SECONDS
    return implied


def _combined(done: Sequence[Done]) -> Done:
    """The results for a user and for an address as one: with both sentences, and counts added up."""
    first, *more = done
    for each in more:
        counts = [count for count in (first.would_have_met, each.would_have_met) if count is not None]
        first = replace(
            first,
            message=f"{first.message} {each.message}",
            changed=first.changed or each.changed,
            affected=first.affected + each.affected,
            would_have_met=sum(counts) if counts else None,
            details={**first.details, **each.details},
        )
    return first
