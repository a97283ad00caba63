"""Waits until a guard has looked at its store again."""

from __future__ import annotations

from typing import Any

from tests.support.waiting import until


async def polls(guard: Any, times: int = 2) -> None:
    """Until the guard has looked so many times: what the store said before has been heard, and acted upon."""
    control = guard.guard.runtime.control
    control.ensure_polling()
    seen = control.looks
    await until(lambda: control.looks >= seen + times)
