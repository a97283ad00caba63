"""The two subprotocols that carry GraphQL over WebSockets: their names, the forms of their messages, and closing codes.

Nothing else in the package knows any of it, and nothing here decides anything. Sources: PROTOCOL.md of graphql-ws
(``graphql-transport-ws``), and PROTOCOL.md of subscriptions-transport-ws (the legacy ``graphql-ws``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import orjson

from fraiseql_guard.core.signals import SocketProtocol

# Closing codes (RFC 6455, section 7.4.2: 4000 to 4999 are an application's own). What clients do then: those of
# graphql-transport-ws give up for good at 4400, 4401, 4406, 4409 and 4429, and come back slower and slower after the
# others; legacy clients come back after each.
INVALID: Final = 4400
UNAUTHORIZED: Final = 4401
FORBIDDEN: Final = 4403
NOT_ACCEPTABLE: Final = 4406
TIMEOUT: Final = 4408
ALREADY_THERE: Final = 4409
TOO_MANY: Final = 4429
UNAVAILABLE: Final = 4503
NORMAL: Final = 1000
"""RFC 6455, section 7.4.1. Clients that wait for something come back at once, without end."""


class ClientMessage(Enum):
    """What a client says, in either dialect."""

    INIT = "init"
    START = "start"
    STOP = "stop"
    PING = "ping"
    PONG = "pong"
    TERMINATE = "terminate"


class AppMessage(Enum):
    """What an app says, in either dialect, as far as it matters."""

    ACK = "ack"
    RESULT = "result"
    ERROR = "error"
    COMPLETE = "complete"
    PING = "ping"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dialect:
    """One subprotocol. ``from_client`` and ``from_app`` know messages by their ``type``."""

    subprotocol: str
    protocol: SocketProtocol
    from_client: Mapping[str, ClientMessage]
    from_app: Mapping[str, AppMessage]
    stop_type: str
    error_is_list: bool
    tells_connection_errors: bool
    ping: str | None
    """The message that asks a client whether it is there; None where the dialect has none."""
    starts_before_ack: bool
    """Whether a client may ask for operations before its initialization was acknowledged."""

    def error(self, operation_id: str, error: Mapping[str, Any]) -> str:
        """The message that ends an operation with a GraphQL error."""
        payload = [error] if self.error_is_list else error
        return orjson.dumps({"id": operation_id, "type": "error", "payload": payload}).decode()

    def connection_error(self, error: Mapping[str, Any]) -> str | None:
        """The message that refuses an initialization, before the socket is closed; None where the dialect has none:
        its clients take it for a breach of the protocol."""
        if not self.tells_connection_errors:
            return None
        return orjson.dumps({"type": "connection_error", "payload": error}).decode()

    def stop(self, operation_id: str) -> str:
        """The message with which a client ends an operation."""
        return orjson.dumps({"id": operation_id, "type": self.stop_type}).decode()


TRANSPORT_WS: Final = Dialect(
    subprotocol="graphql-transport-ws",
    protocol=SocketProtocol.GRAPHQL_TRANSPORT_WS,
    from_client={
        "connection_init": ClientMessage.INIT,
        "subscribe": ClientMessage.START,
        "complete": ClientMessage.STOP,
        "ping": ClientMessage.PING,
        "pong": ClientMessage.PONG,
    },
    from_app={
        "connection_ack": AppMessage.ACK,
        "next": AppMessage.RESULT,
        "error": AppMessage.ERROR,
        "complete": AppMessage.COMPLETE,
        "ping": AppMessage.PING,
    },
    stop_type="complete",
    error_is_list=True,
    tells_connection_errors=False,
    ping='{"type":"ping"}',
    starts_before_ack=False,
)
LEGACY_WS: Final = Dialect(
    subprotocol="graphql-ws",
    protocol=SocketProtocol.GRAPHQL_WS,
    from_client={
        "connection_init": ClientMessage.INIT,
        "start": ClientMessage.START,
        "stop": ClientMessage.STOP,
        "connection_terminate": ClientMessage.TERMINATE,
    },
    from_app={
        "connection_ack": AppMessage.ACK,
        "data": AppMessage.RESULT,
        "error": AppMessage.ERROR,
        "complete": AppMessage.COMPLETE,
    },
    stop_type="stop",
    error_is_list=False,
    tells_connection_errors=True,
    ping=None,
    starts_before_ack=True,
)

_ALL: Final = {each.subprotocol: each for each in (TRANSPORT_WS, LEGACY_WS)}


def of(subprotocol: str) -> Dialect | None:
    """The dialect of this name; None if there is none."""
    return _ALL.get(subprotocol)
