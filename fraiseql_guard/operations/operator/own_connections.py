"""The live connections of the process in which an operator's action is carried out."""

from __future__ import annotations

from typing import Protocol

from fraiseql_guard.core.parsing import Network
from fraiseql_guard.core.sanction import Sanction


class OwnConnections(Protocol):
    """Ends them at once where a block has come into force: other processes do it with their next look at the store."""

    def sanction(self, sanction: Sanction) -> int:
        """End those that a sanction binds; how many."""
        ...

    def block(self, network: Network) -> int:
        """End those from a network that an operator has blocked; how many."""
        ...
