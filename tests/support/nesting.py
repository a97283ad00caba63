"""Guards around guards: what lies between them, and one request with two of them on its way."""

from __future__ import annotations

from typing import Any


class Between:
    """Foreign middleware, which shows what it wraps as most do."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def hidden(app: Any) -> Any:
    """The same, which shows nothing."""

    async def opaque(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return opaque
