"""Refuses paths that a router may read differently than the guard does."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.signals import PATH_INVALID, Protection


class RequestPaths:
    """Refuses paths with a control character, and paths without a bound, on every path and for WebSockets too.

    ``protection`` is the protection in whose name and mode paths are refused; the runtime names one that enforces, if
    any does.
    """

    reads: Final = HeadReads()

    def __init__(self, protection: Protection) -> None:
        self.protection = protection

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Refuse a path that no app may see."""
        if not ctx.place.malformed:
            return None
        return Denial(PATH_INVALID, detail=ctx.place.malformed, protection=self.protection)
