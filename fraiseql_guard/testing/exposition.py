"""Reads Prometheus' text format, without changing the names of metrics."""

from __future__ import annotations

import re
from typing import NamedTuple

# prometheus_client's parser renames a counter without _total, such as fraiseql_graphql_queries_success.
_SAMPLE = re.compile(r"(?P<name>[a-z_A-Z]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'\b([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Sample(NamedTuple):
    """One line of an exposition: its labels and its value."""

    labels: dict[str, str]
    value: float


Samples = dict[str, list[Sample]]
"""Samples by the name of their metric."""


def samples_of(exposition: str) -> Samples:
    """All samples of an exposition; comments are left out."""
    found: Samples = {}
    for line in exposition.splitlines():
        if sample := _SAMPLE.fullmatch(line):
            labels = dict(_LABEL.findall(sample["labels"] or ""))
            found.setdefault(sample["name"], []).append(Sample(labels, float(sample["value"])))
    return found
