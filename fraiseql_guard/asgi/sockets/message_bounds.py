"""Bounds what a socket's client sends before it is read: how often, how much at once, and in which form."""

from __future__ import annotations

from typing import Final

from starlette.types import Message

from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import MESSAGE_TOO_LARGE, SOCKET_PROTOCOL, TOO_MANY_MESSAGES
from fraiseql_guard.core.token_buckets import Limit

_BURST: Final = 5
"""A full bucket holds so many times the rate above it."""


class MessageRate:
    """A token bucket whose rate may change. ``now`` counts seconds."""

    __slots__ = ("_at", "_used")

    def __init__(self, now: float) -> None:
        self._at = now
        self._used = 0.0  # what is missing from a full bucket, whatever its size is

    def take(self, limit: Limit, now: float) -> bool:
        """Take a token; False if there is none."""
        used = max(0.0, self._used - (now - self._at) * limit.tokens_per_second)
        self._at = now
        passes = used + 1.0 <= limit.tokens * (1 + _BURST)
        self._used = used + 1.0 if passes else used
        return passes


class MessageBounds(MessageRate):
    """The bounds of one socket's messages. ``now`` counts seconds."""

    __slots__ = ()

    def text_of(self, message: Message, runtime: Runtime, now: float) -> bytes | Denial:
        """What a message holds, or why it is not read."""
        settings = runtime.settings
        limit, largest = settings.socket_messages, settings.max_message_bytes
        if not self.take(limit, now):
            return Denial(TOO_MANY_MESSAGES, detail=str(limit), limit=limit.tokens, retry_after_seconds=1.0)
        text = message.get("text")
        if not isinstance(text, str):
            return violation(runtime, "Binary messages are not accepted.")
        try:
            raw = text.encode() if len(text) <= largest else None
        except UnicodeEncodeError:
            return violation(runtime, "The message is not valid UTF-8.")
        size = len(text) if raw is None else len(raw)
        if raw is None or size > largest:
            return Denial(MESSAGE_TOO_LARGE, limit=largest, actual=size, protection=runtime.body_judge)
        return raw


def violation(runtime: Runtime, detail: str) -> Denial:
    """The refusal of what the subprotocol does not allow."""
    return Denial(SOCKET_PROTOCOL, detail=detail, protection=runtime.body_judge)
