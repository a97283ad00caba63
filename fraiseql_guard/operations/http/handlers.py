"""Answers a request with one call of the operator's method that its route names, or one for each of two targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from fraiseql_guard.operations.http.request import AdminRequest, Reply
from fraiseql_guard.operations.operator.interface import Done

_WAIT_SECONDS: Final = 1.0
"""How long a route waits for the end of what may go on in the background."""


async def call(asked: AdminRequest) -> Any:
    """What the method answers, or a Reply."""
    route = asked.route
    method = getattr(asked.deps.operator, route.calls)
    told = _told(asked)
    results = [await method(**arguments, **told) for arguments in route.calls_of(asked.given)]
    result: Any = results[0] if len(results) == 1 else _both(results)
    if route.only:
        return [each for each in result if all(getattr(each, name) == value for name, value in route.only.items())]
    return Reply(result, status=202) if route.accepted and result.details.get("running") else result


def _told(asked: AdminRequest) -> dict[str, Any]:
    """Arguments that no request carries."""
    told: dict[str, Any] = {}
    if asked.route.event is not None:
        told["actor"] = asked.visitor.actor
    if asked.route.caller:
        told["caller"] = asked.visitor.address
    if asked.route.accepted:
        told["wait_seconds"] = _WAIT_SECONDS
    return told


def _both(done: Sequence[Done]) -> Done:
    """What was done to a user and to an address, as one."""
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
