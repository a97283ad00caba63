"""Refusals: what a check returns for a request that may not pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fraiseql_guard.core.signals import Code, FailureReason, PolicyName, Protection


@dataclass(frozen=True, slots=True)
class Denial:
    """A check's refusal: a code of the vocabulary with its numbers.

    ``limit`` and ``actual`` are in the code's unit (points, bytes, seconds, ...). ``protection`` is the one in whose
    name and mode the request is refused, by default the code's own. ``offence`` is the policy that the refusal counts
    for, None if it is no offence. ``tokens`` is what the refused request still costs its main buckets.
    """

    code: Code
    detail: str = ""
    limit: float | None = None
    actual: float | None = None
    path: str | None = None
    retry_after_seconds: float | None = None
    reason: FailureReason | None = None
    offence: PolicyName | None = None
    tokens: int = 1
    protection: Protection | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    facts: tuple[tuple[str, Any], ...] = ()  # further extensions of the answer
    answered_status: int | None = None  # where the client's protocol needs another status than the code's
    rule: str = ""  # name of the rule that sets the limit; "" for a setting

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return self.answered_status or self.code.status

    @property
    def owner(self) -> Protection:
        """The protection in whose name the request is refused."""
        return self.protection or self.code.protection


@dataclass(frozen=True, slots=True)
class AppDocument:
    """A document of the app's own that exceeds a limit. ``query_hash`` is the one in log lines."""

    query_hash: str
    code: Code
    limit: float
    actual: float
    operation: str = ""  # its name, where it has one
