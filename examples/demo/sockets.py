"""The part of the demo that is about a WebSocket: a subscription, and what is refused beside it without ending it."""

from __future__ import annotations

import json
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

from examples.demo.blogs import Blog
from examples.demo.stage import Stage, expect, require
from fraiseql_guard.core import signals
from fraiseql_guard.core.signals import SocketProtocol

READER: Final = "198.51.100.50"
_PROTOCOL: Final = "graphql-transport-ws"
_COUNTED: Final = SocketProtocol.GRAPHQL_TRANSPORT_WS.value


async def live_socket(stage: Stage, blog: Blog, subscription: str) -> None:
    """A reader is told of a new post over a WebSocket, asks for too much over it, and stays connected."""
    watch = stage.phase("A subscription over a WebSocket, and a refusal beside it")
    url = stage.server.url.replace("http", "ws", 1)
    async with connect(
        f"{url}/graphql",
        subprotocols=[_PROTOCOL],  # type: ignore[list-item] - a NewType of str
        additional_headers={"X-Forwarded-For": READER},
        proxy=None,
    ) as socket:
        # 1. The token comes with the first message.
        await _send(socket, type="connection_init", payload={"authorization": f"Bearer {stage.token('gwen')}"})
        require((await _received(socket))["type"] == "connection_ack", "the socket should be acknowledged")
        await watch.line(signals.SOCKET_OPENED, ip_address=READER, protocol=_COUNTED)
        await watch.metric(signals.SOCKETS_OPENED, 1, protocol=_COUNTED)
        # 2. An event for each new post.
        stage.say("sent", subscription)
        await _send(socket, type="subscribe", id="posts", payload={"query": subscription})
        await watch.metric(signals.SUBSCRIPTIONS, 1, transport="socket")
        expect(await stage.ask(blog.ordinary[-1], address=READER, token=stage.token("hugo")))
        event = await _received(socket)
        require((event["type"], event["id"]) == ("next", "posts"), f"the new post should be told: {event}")
        stage.say("came back", json.dumps(event["payload"], separators=(",", ":")), "green")
        await watch.metric(signals.SUBSCRIPTION_EVENTS, 1)
        # 3. What is refused ends that operation alone.
        stage.say("sent", blog.deep)
        await _send(socket, type="subscribe", id="deep", payload={"query": blog.deep})
        refused = await _received(socket)
        require((refused["type"], refused["id"]) == ("error", "deep"), f"this should be refused: {refused}")
        numbers = refused["payload"][0]["extensions"]
        require(numbers["code"] == signals.QUERY_TOO_DEEP.name, f"the refusal should be for the depth: {numbers}")
        stage.say(
            "came back", f"error {numbers['code']}, limit {numbers['limit']:g}, actual {numbers['actual']:g}", "yellow"
        )
        await watch.metric(signals.REFUSALS, 1, code=signals.QUERY_TOO_DEEP.name)
        expect(await stage.ask(blog.ordinary[-1], address=READER, token=stage.token("hugo")))
        require((await _received(socket))["id"] == "posts", "the subscription should go on")
    await watch.metric(signals.SOCKETS_CLOSED, 1, reason="client")
    await watch.line(signals.SOCKET_CLOSED, ip_address=READER, user_id="gwen")


async def _send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def _received(socket: ClientConnection) -> Any:
    """The next message that is no ping."""
    while (message := json.loads(await socket.recv()))["type"] == "ping":
        pass
    return message
