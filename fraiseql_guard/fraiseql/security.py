"""Records FraiseQL's own security events in the guard's log and metrics."""

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
_RECORDED_ELSEWHERE: Final = frozenset({SecurityEventType.QUERY_TIMEOUT, SecurityEventType.AUTH_SUCCESS})
"""Events that the guard records itself: a stopped statement (with its table), a verified token."""


class BridgedSecurityLogger(SecurityLogger):
    """Records FraiseQL's events through the guard. FraiseQL by itself writes them to ``security_events.log`` in the
    working directory. Handlers that the app has added to the logger ``fraiseql.security`` still get them."""

    def __init__(self, recorder: Callable[[], RequestRecorder]) -> None:
        super().__init__(log_to_file=False, log_to_stdout=False)
        self._recorder = recorder

    def log_event(self, event: SecurityEvent) -> None:
        """Record an event. An exception in the guard's recording is counted as a fault, and never raised."""
        # Without handlers, Python's last resort would print every event to standard error.
        if logging.getLogger("fraiseql.security").hasHandlers():
            super().log_event(event)
        if event.event_type in _RECORDED_ELSEWHERE:
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
        if ctx is not None:  # the guard knows its verified user and address itself
            del fields["user_id"], fields["ip_address"]
        recorder = self._recorder()
        try:
            recorder.database.host_security(ctx, fields, _FAILURES.get(event.event_type))
        except Exception as error:  # noqa: BLE001 - signals are no reason to fail a request
            recorder.fault("host_security", error)
