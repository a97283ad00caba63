"""The live connections of the process in which an operator's action is carried out."""

from __future__ import annotations

from typing import Protocol

from fraiseql_guard.core.parsing import Network
from fraiseql_guard.core.sanction import Sanction


class OwnConnections(Protocol):
    """Ends live connections at once when a block comes into force. Other processes do so with their next poll of the
    store."""

    def sanction(self, sanction: Sanction) -> int:
        """End the connections that a sanction binds; returns how many."""
        ...

    def block(self, network: Network) -> int:
        """End the connections from a network that an operator has blocked; returns how many."""
        ...
