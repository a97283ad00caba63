"""The differences between the two protocols of GraphQL over WebSocket that clients use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.fraiseql.subscription.json_text import write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionProtocol:
    """The types of a protocol's messages: with ``begin`` and ``end`` clients begin and end an operation, with
    ``result`` servers send a result.

    ``errors_are_a_list``: the message ``error`` carries all errors; otherwise the first alone.
    """

    name: str
    begin: str
    end: str
    result: str
    has_pings: bool
    has_terminate: bool
    errors_are_a_list: bool

    def result_message(self, operation_id: str, payload: bytes) -> str:
        """The message with a result; ``payload`` is JSON already."""
        return f'{{"id":{write_json(operation_id)},"type":"{self.result}","payload":{payload.decode()}}}'

    def error_message(self, operation_id: str, errors: Sequence[Mapping[str, Any]]) -> str:
        """The message with the errors that end an operation, of which there is at least one."""
        payload = write_json(errors if self.errors_are_a_list else errors[0])
        return f'{{"id":{write_json(operation_id)},"type":"error","payload":{payload}}}'

    def complete_message(self, operation_id: str) -> str:
        """The message that ends an operation after its last result."""
        return f'{{"id":{write_json(operation_id)},"type":"complete"}}'


GRAPHQL_TRANSPORT_WS: Final = SubscriptionProtocol(
    name="graphql-transport-ws", begin="subscribe", end="complete", result="next", has_pings=True, has_terminate=False,
    errors_are_a_list=True,
)  # fmt: skip
"""The protocol of the npm package graphql-ws, which Apollo Client, urql and Relay use today."""
GRAPHQL_WS: Final = SubscriptionProtocol(
    name="graphql-ws", begin="start", end="stop", result="data", has_pings=False, has_terminate=True,
    errors_are_a_list=False,
)  # fmt: skip
"""The protocol of the npm package subscriptions-transport-ws, the predecessor of graphql-ws."""

_PROTOCOLS: Final = (GRAPHQL_TRANSPORT_WS, GRAPHQL_WS)


def chosen(offered: Sequence[str]) -> SubscriptionProtocol | None:
    """The protocol for a client that offers these subprotocols: the newer one if it offers both, None for neither."""
    return next((each for each in _PROTOCOLS if each.name in offered), None)
