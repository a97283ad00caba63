"""Helpers for tests of apps that this package protects: tokens, and a clock that stands still."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey

from fraiseql_guard.settings import VARIABLES

__all__ = ["ManualClock", "make_token"]


class ManualClock:
    """A clock, in seconds, that moves only when it is told to. Call it to read it."""

    __slots__ = ("_now",)

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now

    def __call__(self) -> float:
        """The time on this clock, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock by ``seconds``; backwards if negative."""
        self._now += seconds


def make_token(
    secret: str,
    *,
    sub: str,
    expires_in_seconds: float | None = None,
    clock: Callable[[], float] = time.time,
    **claims: Any,
) -> str:
    """A token (JWT, HS256) for user ``sub``, signed with ``secret``.

    It is valid from now on, for FRAISEQL_TOKEN_LIFETIME_SECONDS (3600) unless ``expires_in_seconds`` says otherwise; a
    negative number makes an expired one. Further keywords are claims of their own, ``exp`` and ``iat`` among them.
    """
    now = int(clock())
    lifetime = _lifetime_seconds() if expires_in_seconds is None else expires_in_seconds
    body = {"sub": sub, "iat": now, "exp": now + lifetime, **claims}
    return jwt.encode({"alg": "HS256"}, body, OctKey.import_key(secret.encode()))


def _lifetime_seconds() -> int:
    row = next(row for row in VARIABLES if row.option == "token_lifetime_seconds")
    seconds: int = row.read(os.environ.get(row.name, "").strip() or row.default, row.name)
    return seconds
