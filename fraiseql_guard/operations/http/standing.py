"""May the user of a genuine token with the right scope still act as an operator?

A scope says what its bearer was when the token was issued. What has become of them since is asked with every request.
Tokens that are named in the settings are no users, and never asked about.
"""

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
"""What a user's requests have brought about stops no operator."""


class Standing:
    """Asks the app (``user_status``, where it gave one) and the store, which has the blocks of users."""

    def __init__(self, store: Store, user_status: UserStatusCheck | None) -> None:
        self._store = store
        self._user_status = user_status

    async def refusal(self, identity: Identity) -> Denial | None:
        """Why this user is no operator now: the app has disabled them or does not know them, does not answer, or
        another operator has blocked them. Never an offence: the token is genuine."""
        failure = await self._user_status.failure(identity) if self._user_status is not None else None
        if isinstance(failure, NoAnswer):
            return Denial(
                USER_STATUS_UNAVAILABLE, protection=Protection.ADMIN, retry_after_seconds=_RETRY_SECONDS, tokens=0
            )
        if failure is None and not await self._is_blocked(identity):
            return None
        return Denial(ADMIN_UNAUTHENTICATED, headers=HEADERS, reason=failure)

    async def _is_blocked(self, identity: Identity) -> bool:
        """Also if the store cannot tell, and the failure policy is to refuse then."""
        outcome = await self._store.admit(AdmitRequest(identity.subject, exempt=_AUTOMATIC))
        return not outcome.admitted
