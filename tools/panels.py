"""Every panel of the dashboard, evaluated by a live Prometheus as Grafana would: what it shows, and which are empty.

    python -m tools.panels http://127.0.0.1:9090 [DASHBOARD.json]

prints each panel with its series, and ends with 1 if one is empty.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tools.expressions import RUNBOOKS

_PLACEHOLDER: Final = re.compile(r"\{\{\w+\}\}")
DASHBOARD: Final = RUNBOOKS / "grafana" / "fraiseql-ops.json"


@dataclass(frozen=True, slots=True)
class Curve:
    """One series of a panel: its legend, and (moment, value) pairs that are numbers."""

    legend: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel as it would be drawn. ``place`` is Grafana's: x, y, w and h of 24 columns; ``threshold`` the alert's."""

    title: str
    row: str
    unit: str
    kind: str
    expressions: tuple[str, ...]
    curves: tuple[Curve, ...]
    place: Mapping[str, int]
    threshold: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not any(curve.points for curve in self.curves)


def drawn(
    dashboard: Mapping[str, Any],
    prometheus_url: str,
    *,
    job: str = ".*",
    seconds: float = 300.0,
    step_seconds: float = 5.0,
) -> Iterator[Drawn]:
    """All panels, in order. ValueError with the expression if Prometheus refuses one."""
    row = ""
    with httpx.Client(base_url=prometheus_url, timeout=30, trust_env=False) as client:
        for panel in dashboard["panels"]:
            if panel["type"] == "row":
                row = panel["title"]
            if not panel.get("targets"):  # a row, or a text
                continue
            given = [(each["expr"].replace("$job", job), each["legendFormat"]) for each in panel["targets"]]
            expressions = [(text.replace("$instance", ".*"), legend) for text, legend in given]
            curves = [
                curve
                for text, legend in expressions
                for curve in _curves(client, text, legend, seconds=seconds, step_seconds=step_seconds)
            ]
            defaults = panel["fieldConfig"]["defaults"]
            yield Drawn(
                title=panel["title"],
                row=row,
                unit=defaults["unit"],
                kind=panel["type"],
                expressions=tuple(text for text, _ in expressions),
                curves=tuple(curves),
                place=panel.get("gridPos", {}),
                threshold=_threshold(defaults),
            )


def _threshold(defaults: Mapping[str, Any]) -> float | None:
    values = [step["value"] for step in defaults.get("thresholds", {}).get("steps", ()) if step["value"] is not None]
    return float(values[0]) if values else None


def _curves(
    client: httpx.Client, expression: str, legend: str, *, seconds: float, step_seconds: float
) -> Iterator[Curve]:
    now = time.time()
    asked = {"query": expression, "start": now - seconds, "end": now, "step": step_seconds}
    answer = client.get("/api/v1/query_range", params=asked).json()
    if answer["status"] != "success":
        raise ValueError(f"{expression}: {answer['error']}")
    for series in answer["data"]["result"]:
        points = ((float(moment), float(value)) for moment, value in series["values"])
        name = legend
        for label, value in series["metric"].items():
            name = name.replace(f"{{{{{label}}}}}", value)
        name = _PLACEHOLDER.sub("", name) or "-"  # a label that a series lacks is empty
        yield Curve(name, tuple(point for point in points if math.isfinite(point[1])))


def main(arguments: list[str]) -> int:
    """Print every panel; 1 if one is empty, 2 without an address."""
    if not arguments:
        print("usage: python -m tools.panels PROMETHEUS_URL [DASHBOARD.json]", file=sys.stderr)
        return 2
    path = Path(arguments[1]) if len(arguments) > 1 else DASHBOARD
    empty = 0
    for panel in drawn(json.loads(path.read_text(encoding="utf-8")), arguments[0]):
        empty += panel.is_empty
        print(f"{'EMPTY' if panel.is_empty else 'ok':<6}{panel.row}: {panel.title}")
        for curve in panel.curves:
            if curve.points:
                print(f"        {curve.points[-1][1]:>12.4g}  {curve.legend}")
    return int(bool(empty))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
