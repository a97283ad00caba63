"""The operators' order to all workers to end certain live connections with a certain code."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Final, Protocol

import orjson

from fraiseql_guard.core import parsing
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.live_facts import LiveFacts
from fraiseql_guard.operations.operator.json_values import from_json
from fraiseql_guard.operations.operator.shared_values import Target
from fraiseql_guard.operations.operator.targets import read_user

CLOSING_CODE: Final = 4503
"""Clients come back after a pause that grows."""


class Closable(Protocol):
    """A live connection, as far as an order looks at it."""

    @property
    def ctx(self) -> RequestContext:
        """The context of the connection's request."""
        ...

    def facts(self) -> LiveFacts:
        """The facts that operators see of the connection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingOrder:
    """Ends the connection of an id, those of a user, or those from an address or network; all if none is given.

    Users of one name under several issuers or tenants are all meant: what is closed comes back.
    """

    connection_id: str | None = None
    user_id: str | None = None
    ip_address: str | None = None
    code: int = CLOSING_CODE

    def written(self) -> str:
        """The text in which the store keeps the order."""
        return orjson.dumps(asdict(self)).decode()

    def means(self, connection: Closable) -> bool:
        """Whether the order ends this connection."""
        if self.connection_id is not None:
            return connection.facts().id == self.connection_id
        ctx = connection.ctx
        if self.user_id is not None:
            user = read_user(ctx.subject.name) if ctx.subject.kind == "user" else None
            return user is not None and user.is_meant(Target(user_id=self.user_id))
        return self.ip_address is None or _is_in(ctx.address, parsing.network(self.ip_address))


def read_order(text: str) -> ClosingOrder:
    """An order from the store; ValueError for anything else, so that it ends nothing."""
    order = from_json(ClosingOrder, orjson.loads(text))
    if order.ip_address is not None:
        parsing.network(order.ip_address)
    return order


def _is_in(address: str, network: parsing.Network) -> bool:
    try:
        return ip_address(address) in network
    except ValueError:
        return False  # of a peer that the server does not name
