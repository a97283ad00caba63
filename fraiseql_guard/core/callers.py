"""Callers: the subject that limits and sanctions belong to, and the verified user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal


@dataclass(frozen=True)
class Subject:
    """The owner of limits, offences and sanctions: a verified user, else a client address. A subject of kind ``key``
    owns limits alone, where a deployment counts by another key (core/limit_key.py).

    ``name`` tells subjects of one kind apart in the store, and is not shown elsewhere. A user's name is (issuer,
    tenant, sub), an address's the /32 of IPv4 or the /64 of IPv6 (FRAISEQL_GUARD_IPV6_PREFIX), a login's its identifier
    together with an address. ``group`` names the subjects that share one hash slot: the /48 of an IPv6 address, else
    the subject itself. ``networks`` are wider networks with buckets of their own, each with its multiple of the limit:
    (("2001:db8::/56", 4), ("2001:db8::/48", 16)).
    """

    kind: Literal["user", "address", "login", "key"]
    name: str
    group: str = ""
    networks: tuple[tuple[str, int], ...] = ()

    @cached_property
    def key(self) -> tuple[str, str]:
        """Identifies the subject inside a process."""
        return self.kind, self.name

    @cached_property
    def tag(self) -> str:
        """Redis hash tag: a digest, because a name may hold braces, and an empty tag is no tag."""
        # The NUL keeps kind and name apart.
        return blake2b(f"{self.kind}\0{self.group or self.name}".encode(), digest_size=16).hexdigest()

    @cached_property
    def member(self) -> str:
        """Identifies the subject within its group in the store: a digest, or "" if it is alone under its tag."""
        if not self.group or self.group == self.name:
            return ""
        return blake2b(self.name.encode(), digest_size=12).hexdigest()

    @cached_property
    def token(self) -> str:
        """Tells subjects apart in statistics without naming them: 12 digits of a digest. No secret: a name that is
        guessed can be confirmed by it."""
        return blake2b(f"{self.kind}\0{self.name}".encode(errors="surrogatepass"), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified user. Exists only after a signature was checked."""

    user_id: str
    subject: Subject
    claims: Mapping[str, Any]
    key: str  # name of the key that verified the token: current, old, new
    scopes: tuple[str, ...] = ()
    tier: str | None = None
    expires_at: float | None = None
    fresh: bool = field(default=True, compare=False)  # verified for this request, not remembered from an earlier one
