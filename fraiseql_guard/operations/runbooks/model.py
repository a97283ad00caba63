"""The rows of the tables of rules and panels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Runbook(StrEnum):
    """The five runbooks of the contract, and ours about the guard itself. The value is the text's file name."""

    RATE_LIMITING = "rate-limiting-triggered"
    AUTHENTICATION = "authentication-failures"
    QUERY_DOS = "graphql-query-dos"
    DATABASE = "database-performance-degradation"
    MEMORY = "high-memory-usage"
    GUARD = "the-guard-itself"

    @property
    def spoken(self) -> str:
        """The runbook's name for people."""
        words = self.value.replace("-", " ").replace("graphql", "GraphQL").replace(" dos", " DoS")
        return words[0].upper() + words[1:]


class Severity(StrEnum):
    """How urgent: critical wakes the engineer on call, warning waits for the morning, info is to be known."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that Prometheus computes once for alerts and dashboard. Its name has no window, because that can be
    scaled."""

    name: str
    expression: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition that fires once it has held for ``hold``.

    ``summary`` and ``description`` are Prometheus templates; a window in brackets (``[5m]``) is scaled with those of
    the expression and printed without its brackets.
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
    """A chart of one or several expressions. ``threshold`` is that of the alert, drawn as a line."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    threshold: float | None = None
    good_above: bool = False
    about: str = ""
    kind: str = "timeseries"
    """timeseries, stat, table or bargauge, as Grafana calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelRow:
    """The panels of one runbook; without a runbook, the overview.

    ``title`` is that of a further row of the same runbook.
    """

    runbook: Runbook | None
    panels: tuple[Panel, ...]
    title: str = ""
