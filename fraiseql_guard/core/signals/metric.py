"""One row of the metrics' tables: a metric family, its type, and what feeds it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """Prometheus metric type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """What feeds a metric."""

    GUARD = "guard"  # the middlewares themselves
    HOST = "host"  # the application's database pool, statements and caches, through an integration
    PROCESS = "process"  # prometheus_client's process, platform and GC collectors
    NODE = "node"  # node_exporter on the machine; never exported by us


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    ``closed`` holds the label tuples that exist from the start at 0, so that ``increase()`` sees the first event.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    closed: tuple[tuple[str, ...], ...] = ()
    source: Source = Source.GUARD
