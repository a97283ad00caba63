"""Values that workers and operators leave in the store for each other, and the target of an operator's action.

Every worker writes these; the rest of what an operator sees and does is in ``interface.py``, which a guard loads when
an operator comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

BLOCK_SECONDS: Final = 3_600.0
"""An operator's block lasts this long unless another duration is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The target of an action: exactly one of a verified user, an address or network, a login identifier, or a key that
    limits count by (``tenant:acme``), which has limits alone.

    ``issuer`` and ``tenant`` tell users of one name apart, where tokens carry them; without them the configured issuer
    is meant, or the one under which the user was lately seen. ``ip_address`` of a login says which address's lockout.
    """

    user_id: str | None = None
    ip_address: str | None = None
    identifier: str | None = None
    issuer: str | None = None
    tenant: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketHolder:
    """A caller with live connections: a user at an address."""

    user_id: str
    """``anonymous`` without a verified user."""
    ip_address: str
    open: int
    """Number of open connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The live connections of a worker."""

    open: Mapping[str, int]
    """WebSockets and streamed subscriptions, by their protocol."""
    opened_last_minute: int = 0
    """WebSockets opened in the last minute."""
    closed: Mapping[str, int] = field(default_factory=dict)
    """WebSockets that were closed in the last five minutes, by reason."""
    holders: Sequence[SocketHolder] = ()
    """The callers who have the most open, the first five."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker process as it describes itself about once a second."""

    id: str
    host: str
    pid: int
    version: str
    started_at: float
    seen_at: float
    fingerprint: str
    """Digest of the effective settings, secrets included (as a keyed digest): equal where the configuration is."""
    modes: Mapping[str, str]
    """By protection: enforce, monitor or off."""
    breaker_open: bool
    token_keys: Mapping[str, int]
    """Tokens verified by each key: current, old, new, or a kid."""
    key_fingerprints: Mapping[str, str] = field(default_factory=dict)
    """A fingerprint of each configured key, by its slot. It tells keys apart and reveals none."""
    control_version: int = 0
    in_flight: int | None = None
    """Operations at work; None where they are not counted."""
    memory: Mapping[str, float] | None = None
    """used_bytes, limit_bytes, usage_percent."""
    pool: Mapping[str, int] | None = None
    """active, idle, total, waiting."""
    series: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Five minutes in steps of five seconds, the last one the newest: requests, refusals, ... (fleet/traffic.py)."""
    series_ends_at: float = 0.0
    live: Live | None = None
    """None of a worker of an older version."""
    counts_alone: bool = False
    """Whether /metrics shows this process alone, although it may have neighbours (PROMETHEUS_MULTIPROC_DIR)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal in the ring of recent ones."""

    request_id: str
    trace_id: str
    at: float
    code: str
    status: int
    protection: str
    user_id: str
    ip_address: str
    endpoint: str
    method: str
    message: str
    detail: str = ""
    limit: float | None = None
    actual: float | None = None
    path: str | None = None
    retry_after_seconds: float | None = None
    query_hash: str | None = None
    operation: str | None = None
    rule: str = ""
    """The rule that the request had, if one matched it."""
    enforced: bool = True
    worker: str = ""
    limit_key: str | None = None
    """The key whose bucket was short, where limits count by another key than the user or address."""
    remedy: str = ""
    """One sentence: what would help, with the variable or the command."""
    time: str = ""
    """``at`` as ISO 8601 in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An operator's action, as audited."""

    at: float
    actor: str
    event: str
    """An admin.* event of the vocabulary."""
    fields: Mapping[str, Any]
    time: str = ""
    """``at`` as ISO 8601 in UTC."""
