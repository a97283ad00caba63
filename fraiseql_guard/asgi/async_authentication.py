"""The part of authentication that waits for others: fetches verification keys, and asks the app about users.

Checks never wait. This part waits, for a bounded time, and only where there is something to ask. A source that does not
answer brings a 503, and never a failure of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fraiseql_guard.checks.authentication import Authentication, refuse
from fraiseql_guard.core.clocks import Clocks
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import USER_STATUS_UNAVAILABLE, Protection
from fraiseql_guard.identity.credentials import CredentialSources
from fraiseql_guard.identity.tokens import TokenVerifier
from fraiseql_guard.identity.user_status import AskUserStatus, NoAnswer, UserStatusCheck
from fraiseql_guard.identity.verifier import CredentialVerifier, Verifier
from fraiseql_guard.stores.blocked import BlockedAddresses

if TYPE_CHECKING:
    from fraiseql_guard.identity.api_key_questions import AskApiKey
    from fraiseql_guard.identity.api_key_verifier import ApiKeyVerifier
    from fraiseql_guard.identity.key_sources import KeyObserver

_RETRY_USER_STATUS_SECONDS: Final = 1.0


class AsyncAuthentication:
    """Completes what the authentication check began. ``enforced``: authentication does not only monitor."""

    def __init__(
        self, check: Authentication, verifier: Verifier, user_status: UserStatusCheck | None, *, enforced: bool
    ) -> None:
        self._check = check
        self._verifier = verifier
        self._user_status = user_status
        self._enforced = enforced

    async def fetch_keys(self, ctx: RequestContext) -> Denial | None:
        """Fetch the key of a token, or look up an API key, and decide then: the denial, or None."""
        found = await self._verifier.complete(ctx.credentials, ctx.address_subject.name)
        return self._check.decide_at_last(ctx, found)

    async def check_user(self, ctx: RequestContext) -> Denial | None:
        """Ask the app whether the user of a genuine token is active: the denial, or None. Asked with every request."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityParts:
    """The parts that verify credentials. They outlive a change of the settings."""

    verifier: Verifier
    tokens: TokenVerifier | None
    """Verifies tokens alone: no API key makes an operator."""
    sources: CredentialSources
    user_status: UserStatusCheck | None
    asks_others: bool
    """Whether anything must be waited for: keys that are fetched, or the app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityHooks:
    """The app's functions that authentication asks, and the observers of their faults."""

    user_status: AskUserStatus | None = None
    api_keys: AskApiKey | None = None
    on_user_status_fault: Callable[[BaseException], None] = lambda _: None
    on_api_keys_fault: Callable[[BaseException], None] = lambda _: None


def identity_parts(
    settings: Settings,
    *,
    hooks: IdentityHooks,
    observer: KeyObserver,
    on_problem: Callable[[str], None] = lambda _: None,
    clocks: Clocks = Clocks(),  # noqa: B008 - the process's own, which never change
) -> IdentityParts:
    """Make the parts from these settings; none depends on a setting that can change at run time. SettingsError as from
    TokenVerifier, and for an unusable file of API keys."""
    api_keys, tokens = _api_keys(settings, hooks, on_problem, clocks), None
    if settings.verifies_tokens or api_keys is None:
        tokens = TokenVerifier(settings, clock=clocks.now, keys_clock=clocks.elapsed, on_problem=on_problem)
    # Tokens alone are verified without anything in between.
    verifier: Verifier | None = tokens if api_keys is None else CredentialVerifier(tokens, api_keys)
    assert verifier is not None  # noqa: S101 - there are API keys, or tokens
    verifier.observe(observer)
    check = hooks.user_status and UserStatusCheck(
        hooks.user_status,
        timeout_seconds=settings.user_status_timeout_ms / 1000,
        memory_seconds=settings.user_status_memory_seconds,
        on_fault=hooks.on_user_status_fault,
        clock=clocks.elapsed,
    )
    return IdentityParts(
        verifier=verifier,
        tokens=tokens,
        sources=CredentialSources(settings, api_keys=api_keys is not None),
        user_status=check or None,
        asks_others=bool(check) or settings.jwks_url is not None or hooks.api_keys is not None,
    )


def _api_keys(
    settings: Settings, hooks: IdentityHooks, on_problem: Callable[[str], None], clocks: Clocks
) -> ApiKeyVerifier | None:
    path, ask = settings.api_keys_file, hooks.api_keys
    if path is None and ask is None:
        return None
    from fraiseql_guard.identity.api_key_questions import ApiKeyQuestions
    from fraiseql_guard.identity.api_key_verifier import ApiKeyVerifier
    from fraiseql_guard.identity.api_keys_file import ApiKeysFile

    on_fault = hooks.on_api_keys_fault
    return ApiKeyVerifier(
        settings,
        file=ApiKeysFile(path, clock=clocks.elapsed, on_problem=on_problem) if path is not None else None,
        questions=ApiKeyQuestions(ask, on_fault=on_fault, clock=clocks.elapsed) if ask is not None else None,
        clock=clocks.now,
    )


@dataclass(frozen=True, slots=True)
class IdentityChecks:
    """The authentication checks of one set of settings. ``asynchronous`` is None unless keys must be fetched or the app
    be asked."""

    check: Authentication
    asynchronous: AsyncAuthentication | None


def identity_checks(
    parts: IdentityParts, settings: Settings, *, blocked: BlockedAddresses, modes: Mapping[Protection, Mode]
) -> IdentityChecks:
    """The authentication checks of these settings. ``modes`` has every protection."""
    check = Authentication(parts.verifier, parts.sources, settings, blocked, modes)
    if not parts.asks_others:
        return IdentityChecks(check, None)
    enforced = modes[Protection.AUTH] is Mode.ENFORCE
    return IdentityChecks(check, AsyncAuthentication(check, parts.verifier, parts.user_status, enforced=enforced))
