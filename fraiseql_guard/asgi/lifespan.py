"""Hands the lifespan to the app, and answers it for an app that knows none."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def lead_lifespan(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one lifespan.

    An app that raises or returns before it has received or sent anything wants none, as those of Django, Strawberry and
    Ariadne do (ASGI specification, "Lifespan"). The server would tell the guard of no end then, at which it closes what
    it has open, so it is answered in the app's place.
    """
    takes_part = False

    async def hear() -> Message:
        nonlocal takes_part
        takes_part = True
        return await receive()

    async def tell(message: Message) -> None:
        nonlocal takes_part
        takes_part = True
        await send(message)

    try:
        await app(scope, hear, tell)
    except Exception:
        if takes_part:  # its start or its end has failed
            raise
    while not takes_part:
        message = await receive()
        takes_part = message["type"] == "lifespan.shutdown"
        await send({"type": f"{message['type']}.complete"})
