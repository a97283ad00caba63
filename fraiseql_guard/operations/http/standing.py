"""Checks whether a user with the admin scope may still act as an operator.

The admin scope is true for the moment when the token was issued. Every request checks whether the app still knows the
user, and whether another operator has blocked them. The configured admin tokens belong to no users, and are not
checked."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.checks.admin_access import HEADERS
from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import ADMIN_UNAUTHENTICATED, USER_STATUS_UNAVAILABLE, PolicyName, Protection
from fraiseql_guard.identity.user_status import NoAnswer, UserStatusCheck
from fraiseql_guard.stores.protocol import AdmitRequest, Store

_RETRY_SECONDS: Final = 1.0
_AUTOMATIC: Final = frozenset(PolicyName) - {PolicyName.OPERATOR}
"""The policies of automatic sanctions: a sanction for a user's ordinary requests does not stop them as an operator."""


class Standing:
    """Asks the app, if it gave a ``user_status``, and the store, which has the blocks of users."""

    def __init__(self, store: Store, user_status: UserStatusCheck | None) -> None:
        self._store = store
        self._user_status = user_status

    async def refusal(self, identity: Identity) -> Denial | None:
        """Why this user may not act now; None if they may. The app has disabled them, does not know them or does not
        answer, or an operator has blocked them. The denial is never an offence: the token is genuine."""
        # The app first: it knows whether the user is still there.
        failure = await self._user_status.failure(identity) if self._user_status is not None else None
        if isinstance(failure, NoAnswer):
            return Denial(
                USER_STATUS_UNAVAILABLE, protection=Protection.ADMIN, retry_after_seconds=_RETRY_SECONDS, tokens=0
            )
        if failure is None and not await self._is_blocked(identity):
            return None
        return Denial(ADMIN_UNAUTHENTICATED, headers=HEADERS, reason=failure)

    async def _is_blocked(self, identity: Identity) -> bool:
        """Whether an operator has blocked the user; also if the store does not answer and the failure policy is to
        refuse."""
        outcome = await self._store.admit(AdmitRequest(identity.subject, exempt=_AUTOMATIC))
        return not outcome.admitted
