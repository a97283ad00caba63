"""Names of metrics that the rules read and the guard does not emit: those of Prometheus and of other exporters."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.signals import Metric, MetricKind, Source

FOREIGN: Final[tuple[Metric, ...]] = (
    Metric(
        "up", MetricKind.GAUGE, "1 for a target that Prometheus could scrape (of its own making).", source=Source.HOST
    ),
    Metric(
        "pg_stat_database_blks_hit",
        MetricKind.COUNTER,
        "Blocks that PostgreSQL found in its cache (postgres_exporter).",
        ("datid", "datname"),
        source=Source.NODE,
    ),
    Metric(
        "pg_stat_database_blks_read",
        MetricKind.COUNTER,
        "Blocks that PostgreSQL read from outside its cache (postgres_exporter).",
        ("datid", "datname"),
        source=Source.NODE,
    ),
)
