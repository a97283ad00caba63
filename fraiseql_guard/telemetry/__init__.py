"""Metrics, log lines and trace ids: how the guard tells an operator what it did."""

from __future__ import annotations

from dataclasses import dataclass

from fraiseql_guard.telemetry.log.event_log import EventLog
from fraiseql_guard.telemetry.metrics.exposition import CONTENT_TYPE
from fraiseql_guard.telemetry.metrics.labels import escape_label
from fraiseql_guard.telemetry.metrics.registry import Metrics
from fraiseql_guard.telemetry.trace import request_id, trace_id

__all__ = ["CONTENT_TYPE", "EventLog", "Metrics", "Telemetry", "escape_label", "request_id", "trace_id"]


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The two voices of one guard."""

    metrics: Metrics
    log: EventLog

    def close(self) -> None:
        """Write the last lines and take the metrics out of their registry."""
        self.log.close()
        self.metrics.close()
