"""What an app hears of refusals and sanctions after the fact."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fraiseql_guard.core.refusal_facts import RefusalFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalNotice:
    """A refusal, and who was refused what. ``enforced`` is False in monitor mode, where the request went on.

    ``count`` is how many refusals of the same caller with the same code the notice stands for: several where they came
    faster than they could be told, or were repeated from memory. Then the rest is that of the first of them. ``at`` is
    Unix time.
    """

    refusal: RefusalFacts
    """Its numbers are given here also where callers are not told them."""
    user_id: str
    ip_address: str
    method: str
    endpoint: str
    operations: tuple[str, ...]
    """Names of the operations in the document; none where it was refused before it was measured."""
    query_hash: str | None
    enforced: bool
    at: float
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SanctionNotice:
    """A sanction that has come into force. Of ``user_id``, ``ip_address`` (an address or network) and ``identifier``
    (of a login, beside its address) those are given that it is imposed on.

    ``policy`` says why: rate_limit_abuse, brute_force, dos, account_lockout or operator. ``actor`` is the operator who
    imposed it, "" for automatic ones; these have ``offences`` and the ``request_id`` of the last one. ``enforced`` is
    False in monitor mode, where it binds no request. ``at`` is Unix time.
    """

    policy: str
    seconds: float
    at: float
    user_id: str | None = None
    ip_address: str | None = None
    identifier: str | None = None
    reason: str = ""
    actor: str = ""
    offences: int | None = None
    request_id: str | None = None
    enforced: bool = True


OnRefusal = Callable[[RefusalNotice], Awaitable[object]]
OnSanction = Callable[[SanctionNotice], Awaitable[object]]
