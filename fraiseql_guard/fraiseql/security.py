"""FraiseQL's own security events, in the guard's log and metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from fraiseql.audit import SecurityEvent, SecurityEventType, SecurityLogger

from fraiseql_guard.core.request import current
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.telemetry.recorder import RequestRecorder

_FAILURES: Final[Mapping[SecurityEventType, FailureReason]] = {
    SecurityEventType.AUTH_FAILURE: FailureReason.INVALID_TOKEN,
    SecurityEventType.AUTH_TOKEN_INVALID: FailureReason.INVALID_TOKEN,
    SecurityEventType.AUTH_TOKEN_EXPIRED: FailureReason.TOKEN_EXPIRED,
    SecurityEventType.AUTHZ_DENIED: FailureReason.INSUFFICIENT_PERMISSIONS,
    SecurityEventType.AUTHZ_FIELD_DENIED: FailureReason.INSUFFICIENT_PERMISSIONS,
    SecurityEventType.AUTHZ_PERMISSION_DENIED: FailureReason.INSUFFICIENT_PERMISSIONS,
    SecurityEventType.AUTHZ_ROLE_DENIED: FailureReason.INSUFFICIENT_PERMISSIONS,
}
_TOLD_ALREADY: Final = frozenset({SecurityEventType.QUERY_TIMEOUT, SecurityEventType.AUTH_SUCCESS})
"""A stopped statement is told with its table, a success with every request that comes with a good token."""


class BridgedSecurityLogger(SecurityLogger):
    """Takes FraiseQL's events over. By itself FraiseQL writes them into ``security_events.log`` in the working
    directory; handlers that the app has put on its logger ``fraiseql.security`` still get them."""

    def __init__(self, recorder: Callable[[], RequestRecorder]) -> None:
        super().__init__(log_to_file=False, log_to_stdout=False)
        self._recorder = recorder

    def log_event(self, event: SecurityEvent) -> None:
        """Never raises for what our own log does."""
        if logging.getLogger("fraiseql.security").hasHandlers():
            super().log_event(event)
        if event.event_type in _TOLD_ALREADY:
            return
        fields: dict[str, Any] = {
            "user_id": event.user_id,
            "ip_address": event.ip_address,
            "type": event.event_type.value,
            "severity": event.severity.value,
            "reason": event.reason,
            "resource": event.resource,
        }
        ctx = current()
        if ctx is not None:  # what the guard knows was verified
            del fields["user_id"], fields["ip_address"]
        recorder = self._recorder()
        try:
            recorder.database.host_security(ctx, fields, _FAILURES.get(event.event_type))
        except Exception as error:  # noqa: BLE001 - signals are no reason to fail a request
            recorder.fault("host_security", error)
