"""The vocabulary: every metric, log event, refusal code and label value, written once.

Collectors, log lines, refusals, documentation and alerts are built from these tables; nothing else in the package
spells one of these names. Read a name from here, whichever file of the package it stands in.
"""

# ruff: noqa: F403 - a name that stands in one file of this package is not listed here again
from typing import Final

from fraiseql_guard.core.signals.codes import *
from fraiseql_guard.core.signals.events import *
from fraiseql_guard.core.signals.events import REQUEST_EVENTS, Event
from fraiseql_guard.core.signals.guard_metrics import *
from fraiseql_guard.core.signals.guard_metrics import GUARD_METRICS
from fraiseql_guard.core.signals.label_values import *
from fraiseql_guard.core.signals.metric import *
from fraiseql_guard.core.signals.metric import Metric
from fraiseql_guard.core.signals.operator_events import *
from fraiseql_guard.core.signals.operator_events import OPERATOR_EVENTS
from fraiseql_guard.core.signals.runbook_metrics import *
from fraiseql_guard.core.signals.runbook_metrics import RUNBOOK_METRICS

METRICS: Final[tuple[Metric, ...]] = (*RUNBOOK_METRICS, *GUARD_METRICS)
EVENTS: Final[tuple[Event, ...]] = (*REQUEST_EVENTS, *OPERATOR_EVENTS)
