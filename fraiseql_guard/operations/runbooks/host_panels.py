"""Panels about the database of the app, and the process in which it runs."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.operations.runbooks.model import Panel, PanelRow, Query, Runbook
from fraiseql_guard.operations.runbooks.panel_forms import JOB, PODS, one

DATABASE: Final = PanelRow(
    runbook=Runbook.DATABASE,
    panels=(
        one(
            "Mean time of a statement",
            f"fraiseql:db_query_duration:mean{{{JOB}}}",
            unit="s",
            threshold=5,
            about="The panel of the slowest tables shows whether one table is slow, or all are.",
        ),
        one(
            "Pool in use",
            f"fraiseql:db_connections:ratio{{{PODS}}}",
            "{{instance}}",
            unit="percentunit",
            threshold=0.9,
            about="Requests that wait for a connection, or are refused because none is free, count as used: 100 % "
            "is full, for any size.",
        ),
        Panel(
            title="Connections",
            queries=tuple(
                # The legend is the last word of the metric's name: active, idle, total, waiting.
                Query(f"sum by (job) ({name}{{{PODS}}})", name.rpartition("_")[2])
                for name in (
                    "fraiseql_db_connections_active",
                    "fraiseql_db_connections_idle",
                    "fraiseql_db_connections_total",
                    "fraiseql_guard_db_connections_waiting",
                )
            ),
            about="Of all instances together: in use, open and unused, the most there may be, and callers that wait.",
        ),
        one(
            "Slowest tables, mean",
            # Seconds divided by statements: a mean of means would give rare tables the same weight as frequent ones.
            f"topk(10, sum by (table_name) (rate(fraiseql_db_query_duration_seconds_sum{{{PODS}}}[5m]))"
            f" / sum by (table_name) (rate(fraiseql_db_query_duration_seconds_count{{{PODS}}}[5m])))",
            "{{table_name}}",
            unit="s",
            kind="bargauge",
            about="A missing index shows as one table above all others.",
        ),
        one(
            "PostgreSQL's cache",
            "fraiseql:db_cache_hit:ratio",
            "{{datname}}",
            unit="percentunit",
            threshold=0.95,
            about="Below 95 % the data no longer fits into memory. Needs postgres_exporter.",
        ),
        one(
            "Statements by type",
            f"sum by (query_type) (rate(fraiseql_db_queries_total{{{PODS}}}[5m]))",
            "{{query_type}}",
            unit="ops",
            about="SQL statements that have ended, a second.",
        ),
    ),
)

MEMORY: Final = PanelRow(
    runbook=Runbook.MEMORY,
    panels=(
        one(
            "Memory in use, of what is allowed",
            f"fraiseql_guard_memory_usage_ratio{{{PODS}}}",
            "{{instance}}",
            unit="percentunit",
            threshold=0.8,
            about="Of the container's limit, else of the machine's memory. At 100 % the process is killed.",
        ),
        one(
            "Resident memory",
            f"sum by (instance) (process_resident_memory_bytes{{{PODS}}})",
            "{{instance}}",
            unit="bytes",
            about="All workers of an instance together.",
        ),
        one(
            "Growth in half an hour",
            f"fraiseql:resident_memory:growth{{{PODS}}}",
            "{{instance}}",
            unit="bytes",
            threshold=10 * 1024 * 1024,
            about="More than 10 MiB again and again is a leak; once is a cache that fills.",
        ),
        one(
            "Processors in use",
            f"fraiseql:cpu:rate{{{PODS}}}",
            "{{instance}}",
            about="1 is one busy processor; the workers of an instance are added up. A worker uses one at most.",
        ),
        one(
            "Garbage collections",
            f"fraiseql:gc_collections:rate{{{PODS}}}",
            "{{instance}}",
            unit="ops",
            threshold=10,
            about="All generations. More than 10 a second: the app makes many objects and keeps them for a while.",
        ),
    ),
)
