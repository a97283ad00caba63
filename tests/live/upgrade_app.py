"""The app of test_socket_upgrades.py: an echo on all paths, and on /told what it has heard and its guard has counted.

/end ends all live sockets as a block does.
"""

from __future__ import annotations

import json
from typing import Any

from fraiseql_guard import Guard
from fraiseql_guard.asgi.sockets.registry import BLOCKED_CALLER

COUNTED = {
    "fraiseql_guard_refusals_total": "code",
    "fraiseql_guard_sanctions_total": "policy",
    "fraiseql_guard_sockets_opened_total": "protocol",
    "fraiseql_guard_faults_total": "part",
}


class UpgradeApp:
    """Accepts every socket as it is asked to, and sends back what it gets."""

    def __init__(self) -> None:
        self.guard: Guard | None = None
        self.heard: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self._echo(scope, receive, send)
        elif scope["type"] == "http":
            await self._told(scope, send)
        else:
            await _live(receive, send)

    async def _echo(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
        while (message := await receive())["type"] != "websocket.disconnect":
            content = {name: message[name] for name in ("text", "bytes") if message.get(name) is not None}
            await send({"type": "websocket.send", **content})
        self.heard = [message.get("code"), message.get("reason")]

    async def _told(self, scope: Any, send: Any) -> None:
        assert self.guard is not None
        if scope["path"] == "/end":
            live = self.guard.runtime.live
            live.end_all(live, BLOCKED_CALLER)
        body = json.dumps({"heard": self.heard, "live": len(self.guard.runtime.live), **self._counted()}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    def _counted(self) -> dict[str, float]:
        assert self.guard is not None
        self.guard.flush()
        found: dict[str, float] = {}
        for family in self.guard.recorder.metrics.registry.collect():
            for sample in family.samples:
                label = COUNTED.get(sample.name)
                if label is not None and sample.value:
                    found[sample.labels[label]] = found.get(sample.labels[label], 0) + sample.value
        return found


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def guarded_upgrade_app() -> Guard:
    """The app behind a guard that the server's FRAISEQL_* variables configure."""
    app = UpgradeApp()
    app.guard = Guard(app)
    return app.guard
