"""Sheds queries while memory is short: the last resort before the kernel kills the process."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import MEMORY_PRESSURE, Protection
from fraiseql_guard.telemetry.process.memory_watch import MemoryWatch

_RETRY_SECONDS: Final = 5.0


class MemoryPressure:
    """Sheds GraphQL queries while the last measurement of memory use is above ``percent``.

    Mutations pass, since they are few and matter most. The check therefore runs after the document was measured, which
    takes little memory even if the result would take much.
    """

    protection: Final = Protection.RATE_LIMIT

    def __init__(self, watch: MemoryWatch, percent: float) -> None:
        self._watch = watch
        self._percent = percent

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Refuse what is not known to be a mutation."""
        used = self._watch.percent
        if used <= self._percent or (ctx.measured is not None and ctx.measured.kind == "mutation"):
            return None
        return Denial(  # costs no token: it is the server that lacks room
            MEMORY_PRESSURE,
            limit=self._percent,
            actual=round(used, 1),
            retry_after_seconds=_RETRY_SECONDS,
            tokens=0,
        )
