"""Sets several variables on all workers, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from fraiseql_guard.cli.connect import FleetConnection
from fraiseql_guard.operations.operator.interface import OperatorError, Switch


async def set_all(fleet: FleetConnection, values: Mapping[str, str], seconds: float, *, reason: str) -> None:
    """Set each value for so many seconds. If one cannot be set, restore the earlier overrides, and raise its error."""
    operator = fleet.operator
    before = {each.name: each for each in await operator.switches() if each.kind == "setting"}
    done: list[str] = []
    try:
        for variable, value in values.items():
            await operator.switch(
                "setting", variable, value, duration_seconds=seconds, reason=reason, actor=fleet.actor
            )
            done.append(variable)
    except OperatorError as error:
        for variable in done:
            # A value that cannot be restored expires by itself.
            with suppress(OperatorError):
                await _bring_back(fleet, variable, before.get(variable))
        raise type(error)(f"{error}. None of the other values was left set") from error


async def _bring_back(fleet: FleetConnection, variable: str, before: Switch | None) -> None:
    if before is None:
        await fleet.operator.unswitch("setting", variable, actor=fleet.actor)
        return
    left = before.expires_in_seconds or 1.0
    await fleet.operator.switch(
        "setting", variable, before.value, duration_seconds=max(1.0, left), reason=before.reason, actor=fleet.actor
    )
