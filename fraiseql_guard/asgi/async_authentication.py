"""What only others can tell of a caller: keys that must be fetched, and whether the user still exists.

Checks never wait. This waits, for a bounded time, and only where there is something to ask. A source that does not
answer brings a 503, and never a failure of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.checks.authentication import Authentication, refuse
from fraiseql_guard.core.clocks import Clocks
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import USER_STATUS_UNAVAILABLE, Protection
from fraiseql_guard.identity.key_sources import KeyObserver
from fraiseql_guard.identity.tokens import KEYS_SECONDS, TokenVerifier
from fraiseql_guard.identity.user_status import AskUserStatus, NoAnswer, UserStatusCheck
from fraiseql_guard.stores.blocked import BlockedAddresses

_RETRY_USER_STATUS_SECONDS: Final = 1.0


class AsyncAuthentication:
    """Completes what the authentication check began. ``enforced``: authentication does not only monitor."""

    def __init__(
        self, check: Authentication, verifier: TokenVerifier, user_status: UserStatusCheck | None, *, enforced: bool
    ) -> None:
        self._check = check
        self._verifier = verifier
        self._user_status = user_status
        self._enforced = enforced

    async def fetch_keys(self, ctx: RequestContext) -> Denial | None:
        """For a token that no key at hand can judge: ask the source, and decide then."""
        fetched = await self._verifier.fetch_keys(KEYS_SECONDS)
        return self._check.decide_at_last(ctx, fetched=fetched)

    async def check_user(self, ctx: RequestContext) -> Denial | None:
        """Ask the app for the user of a genuine token, with every request."""
        if self._user_status is None or ctx.identity is None:
            return None
        failure = await self._user_status.failure(ctx.identity)
        if failure is None:
            return None
        if not self._check.needed(ctx):
            if self._enforced:  # monitoring changes nothing about who a caller is
                ctx.identify(None)
            return None
        if isinstance(failure, NoAnswer):
            return Denial(USER_STATUS_UNAVAILABLE, retry_after_seconds=_RETRY_USER_STATUS_SECONDS)
        ctx.token_failure = failure
        return refuse(failure)


@dataclass(frozen=True, slots=True)
class IdentityParts:
    """What tells who is asking, and outlives a change of the settings."""

    verifier: TokenVerifier
    user_status: UserStatusCheck | None


def identity_parts(
    settings: Settings,
    *,
    user_status: AskUserStatus | None,
    observer: KeyObserver,
    on_fault: Callable[[BaseException], None],
    on_problem: Callable[[str], None] = lambda _: None,
    clocks: Clocks = Clocks(),  # noqa: B008 - the process's own, which never change
) -> IdentityParts:
    """The parts that these settings make; none of them leans on one that can change. SettingsError as TokenVerifier."""
    verifier = TokenVerifier(settings, clock=clocks.now, keys_clock=clocks.elapsed, on_problem=on_problem)
    verifier.observe(observer)
    check = user_status and UserStatusCheck(
        user_status,
        timeout_seconds=settings.user_status_timeout_ms / 1000,
        memory_seconds=settings.user_status_memory_seconds,
        on_fault=on_fault,
        clock=clocks.elapsed,
    )
    return IdentityParts(verifier, check or None)


@dataclass(frozen=True, slots=True)
class IdentityChecks:
    """What decides about it under one set of settings. ``asynchronous`` only where keys must be fetched or the app be
    asked."""

    check: Authentication
    asynchronous: AsyncAuthentication | None


def identity_checks(
    parts: IdentityParts, settings: Settings, *, blocked: BlockedAddresses, modes: Mapping[Protection, Mode]
) -> IdentityChecks:
    """Those of the settings in force. ``modes`` has every protection."""
    check = Authentication(parts.verifier, settings, blocked, modes)
    if parts.user_status is None and settings.jwks_url is None:
        return IdentityChecks(check, None)
    enforced = modes[Protection.AUTH] is Mode.ENFORCE
    return IdentityChecks(check, AsyncAuthentication(check, parts.verifier, parts.user_status, enforced=enforced))
