"""Functions that make the most common panels: charts of one expression, and rankings."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.operations.runbooks.model import Panel, Query

# Selectors of recorded series, which are summed by job, and of an instance's own series.
JOB: Final = 'job=~"$job"'
PODS: Final = 'job=~"$job", instance=~"$instance"'


def one(title: str, expression: str, legend: str = "{{job}}", **options: object) -> Panel:
    """A panel of one expression; ``options`` are further fields of Panel."""
    return Panel(title=title, queries=(Query(expression, legend),), **options)  # type: ignore[arg-type]


def top(title: str, label: str, expression: str, about: str) -> Panel:
    """A panel that ranks the values of a label."""
    return Panel(
        title=title, queries=(Query(expression, f"{{{{{label}}}}}"),), unit="reqps", kind="bargauge", about=about
    )
