"""Chooses the subprotocol of a WebSocket on a GraphQL path. Messages of an unknown subprotocol could not be read."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import SUBPROTOCOL_NOT_ACCEPTED, Protection


class Subprotocols:
    """Decides by the subprotocols that an upgrade offers (RFC 6455, section 1.9). ``protection`` is the protection in
    whose name and mode upgrades are refused."""

    def __init__(self, settings: Settings, protection: Protection) -> None:
        self.protection: Final = protection
        self._accepted = settings.socket_protocols

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Set ``ctx.subprotocol`` to the first configured subprotocol that is offered, or refuse."""
        if not ctx.guarded:
            return None
        chosen = next((each for each in self._accepted if each in ctx.subprotocols), None)
        if chosen is None:
            return Denial(SUBPROTOCOL_NOT_ACCEPTED, protection=self.protection)
        ctx.subprotocol = chosen
        return None
