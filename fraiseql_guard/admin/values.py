"""Values that only the HTTP API answers with; all others are the operator's (operator/interface.py)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """One key that tokens are verified with. Two fingerprints of one slot mean that workers differ."""

    slot: str
    """current, old, new, or a kid."""
    fingerprint: str
    workers: int
    """How many workers have this very key in this slot."""
    of_workers: int
    verified: int
    """Tokens that the key has verified in these workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who acts. ``csrf_token`` is empty where no cookie is in play."""

    actor: str
    csrf_token: str = ""
    expires_in_seconds: float | None = None
