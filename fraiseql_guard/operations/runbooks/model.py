"""The types of the rows in the tables of recordings, alerts and panels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Runbook(StrEnum):
    """The five runbooks of the contract, and that of the guard itself. The value is the name of the runbook's file."""

    RATE_LIMITING = "rate-limiting-triggered"
    AUTHENTICATION = "authentication-failures"
    QUERY_DOS = "graphql-query-dos"
    DATABASE = "database-performance-degradation"
    MEMORY = "high-memory-usage"
    GUARD = "the-guard-itself"

    @property
    def spoken(self) -> str:
        """The name of the runbook as people write it."""
        words = self.value.replace("-", " ").replace("graphql", "GraphQL").replace(" dos", " DoS")
        return words[0].upper() + words[1:]


class Severity(StrEnum):
    """How urgent an alert is: critical wakes the engineer on call, warning waits for the morning, info only informs."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that Prometheus computes once for alerts and dashboard. Its name does not tell the window, which may be
    scaled."""

    name: str
    expression: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition that fires once it has held for ``hold``.

    ``summary`` and ``description`` are Prometheus templates. A window in brackets (``[5m]``) in them is scaled like
    those of the expression, and written without the brackets.
    """

    name: str
    runbook: Runbook
    expression: str
    hold: str
    severity: Severity
    summary: str
    description: str


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel, and the legend of its series."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A chart of one or several expressions. ``threshold`` is the threshold of an alert, which is drawn as a line."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    threshold: float | None = None
    good_above: bool = False
    about: str = ""
    kind: str = "timeseries"
    """Grafana's name of the kind: timeseries, stat, table or bargauge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelRow:
    """A row of panels of one runbook; the overview has none.

    ``title`` is set for a further row of the same runbook.
    """

    runbook: Runbook | None
    panels: tuple[Panel, ...]
    title: str = ""
