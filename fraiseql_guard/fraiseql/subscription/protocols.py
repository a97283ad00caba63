"""The two protocols of GraphQL over WebSocket that clients use, in what they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionProtocol:
    """The words of a protocol: what clients call the begin and the end of an operation, and servers a result.

    ``errors_are_a_list`` tells how ``error`` carries them: all of them, or the first alone.
    """

    name: str
    begin: str
    end: str
    result: str
    has_pings: bool
    has_terminate: bool
    errors_are_a_list: bool

    def result_message(self, operation_id: str, payload: bytes) -> str:
        """A result, which is JSON already."""
        return f'{{"id":{_text(operation_id)},"type":"{self.result}","payload":{payload.decode()}}}'

    def error_message(self, operation_id: str, errors: Sequence[Mapping[str, Any]]) -> str:
        """The errors that end an operation; at least one."""
        payload = orjson.dumps(errors if self.errors_are_a_list else errors[0]).decode()
        return f'{{"id":{_text(operation_id)},"type":"error","payload":{payload}}}'

    def complete_message(self, operation_id: str) -> str:
        """The end of an operation after its last result."""
        return f'{{"id":{_text(operation_id)},"type":"complete"}}'


def _text(value: str) -> str:
    return orjson.dumps(value).decode()


GRAPHQL_TRANSPORT_WS: Final = SubscriptionProtocol(
    name="graphql-transport-ws", begin="subscribe", end="complete", result="next", has_pings=True, has_terminate=False,
    errors_are_a_list=True,
)  # fmt: skip
"""Of the npm package graphql-ws, which Apollo Client, urql and Relay use today."""
GRAPHQL_WS: Final = SubscriptionProtocol(
    name="graphql-ws", begin="start", end="stop", result="data", has_pings=False, has_terminate=True,
    errors_are_a_list=False,
)  # fmt: skip
"""Of the npm package subscriptions-transport-ws, its predecessor."""

_PROTOCOLS: Final = (GRAPHQL_TRANSPORT_WS, GRAPHQL_WS)


def chosen(offered: Sequence[str]) -> SubscriptionProtocol | None:
    """The protocol for a client that offers these, the newer one if it can choose; None if it offers neither."""
    return next((each for each in _PROTOCOLS if each.name in offered), None)
