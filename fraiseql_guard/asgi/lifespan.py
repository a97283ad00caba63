"""Hands the lifespan to the app, and answers it for an app that knows none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_UNKNOWN_SCOPE: Final = (AssertionError, NotImplementedError, ValueError)
"""Exceptions that apps raise on a scope type that they do not know. Any other is rather a fault on the way to the
app."""


async def lead_lifespan(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, warn: Callable[[str], None]
) -> None:
    """Serve one lifespan. ``warn`` logs a warning.

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
    except Exception as error:
        if takes_part:  # its start or its end has failed
            raise
        if not isinstance(error, _UNKNOWN_SCOPE):
            # Its text is not repeated: that of an app's own start may hold the address of a database.
            kind = type(error).__name__
            warn(
                f"the app was not told of the start, for something inside the guard has raised {kind}: if it has a "
                "start of its own, that has not run. Let the lifespan through there"
            )
    while not takes_part:
        message = await receive()
        takes_part = message["type"] == "lifespan.shutdown"
        await send({"type": f"{message['type']}.complete"})
