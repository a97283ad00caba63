"""Metrics of Prometheus and other exporters that our rules read. They are no part of the vocabulary."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.signals import Kind, Metric, Source

FOREIGN: Final[tuple[Metric, ...]] = (
    Metric("up", Kind.GAUGE, "1 for a target that Prometheus could scrape (of its own making).", source=Source.HOST),
    Metric(
        "pg_stat_database_blks_hit",
        Kind.COUNTER,
        "Blocks that PostgreSQL found in its cache (postgres_exporter).",
        ("datid", "datname"),
        source=Source.NODE,
    ),
    Metric(
        "pg_stat_database_blks_read",
        Kind.COUNTER,
        "Blocks that PostgreSQL read from outside its cache (postgres_exporter).",
        ("datid", "datname"),
        source=Source.NODE,
    ),
)
