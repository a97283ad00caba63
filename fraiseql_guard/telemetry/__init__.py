"""Metrics, log lines and trace ids: how the guard tells an operator what it did.

Other rooms take ``EventLog`` and ``Metrics`` from here, and everything else from the part that it belongs to:

* ``recorder``: turns what happened into metrics and log lines. Only this part emits signals; it uses all the others.
* ``metrics``, ``log``: the two outputs.
* ``process``, ``database``: what the guard measures of its process, and what the app reports of its database.
* ``trace``, ``spans``: request ids, trace ids, and the spans of OpenTelemetry.
"""

from fraiseql_guard.telemetry.log.event_log import EventLog
from fraiseql_guard.telemetry.metrics.registry import Metrics

__all__ = ["EventLog", "Metrics"]
