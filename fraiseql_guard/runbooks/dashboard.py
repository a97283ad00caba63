"""The dashboard as Grafana imports it, made from the rows in panels.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from fraiseql_guard.runbooks.model import Panel, Row, Runbook
from fraiseql_guard.runbooks.panels import ROWS
from fraiseql_guard.runbooks.render import RUNBOOK_URL, scaled

_COLUMNS: Final = 24
_HEIGHT: Final = 8
_MAX_PANELS_IN_LINE: Final = 4
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_RED, _GREEN = "red", "green"


def dashboard(*, runbook_url: str = RUNBOOK_URL, scale: float = 1.0) -> dict[str, Any]:
    """The whole dashboard. ``scale`` as for the rules; ``runbook_url`` is where its links lead."""
    base = runbook_url.rstrip("/")
    return {
        "uid": "fraiseql-ops",
        "title": "FraiseQL operations",
        "description": "One row for each operational runbook. Written by `fraiseql-guard dashboard`.",
        "tags": ["fraiseql", "graphql"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "links": [_link(runbook, base) for runbook in Runbook],
        "annotations": {"list": [_firing_alerts()]},
        "templating": {"list": [_data_source(), _variable("job"), _variable("instance", 'job=~"$job"')]},
        "panels": list(_laid_out(base, scale)),
    }


def render_dashboard(*, runbook_url: str = RUNBOOK_URL, scale: float = 1.0) -> str:
    """The dashboard's file."""
    return json.dumps(dashboard(runbook_url=runbook_url, scale=scale), indent=2, ensure_ascii=False) + "\n"


def _laid_out(base: str, scale: float) -> Iterator[dict[str, Any]]:
    """Rows and panels with their places; ids count up, so that a change moves few of them."""
    top, number = 0, 1
    for row in ROWS:
        yield _row(row, base, number, top)
        number, top = number + 1, top + 1
        for line in _lines(row.panels):
            width = _COLUMNS // len(line)
            for column, panel in enumerate(line):
                place = {"h": _HEIGHT, "w": width, "x": column * width, "y": top}
                yield _panel(panel, number, place, scale)
                number += 1
            top += _HEIGHT


def _lines(panels: tuple[Panel, ...]) -> list[tuple[Panel, ...]]:
    """As few lines as possible, equally long if that can be."""
    count = -(-len(panels) // _MAX_PANELS_IN_LINE)
    size = -(-len(panels) // count)
    return [panels[start : start + size] for start in range(0, len(panels), size)]


def _row(row: Row, base: str, number: int, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": row.runbook.spoken if row.runbook else "Overview",
        "collapsed": False,
        "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": top},
        "panels": [],
        **({"links": [_link(row.runbook, base)]} if row.runbook else {}),
    }


def _panel(panel: Panel, number: int, place: dict[str, int], scale: float) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "datasource": _SOURCE,
                "expr": scaled(query.expression, scale),
                "legendFormat": query.legend,
                "instant": panel.kind != "timeseries",
                "range": panel.kind == "timeseries",
            }
            for position, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    below, above = (_RED, _GREEN) if panel.good_above else (_GREEN, _RED)
    steps: list[dict[str, Any]] = [{"color": below, "value": None}]
    if panel.threshold is not None:
        steps.append({"color": above, "value": panel.threshold})
    drawn = "off" if panel.threshold is None else "dashed"
    return {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
        **({"custom": {"fillOpacity": 10, "thresholdsStyle": {"mode": drawn}}} if panel.kind == "timeseries" else {}),
    }


_REDUCED: Final = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    "stat": {"reduceOptions": _REDUCED, "colorMode": "value", "textMode": "value_and_name"},
    "bargauge": {"reduceOptions": _REDUCED, "orientation": "horizontal", "displayMode": "basic"},
}


def _link(runbook: Runbook, base: str) -> dict[str, Any]:
    return {
        "type": "link",
        "icon": "doc",
        "title": runbook.spoken,
        "url": f"{base}/{runbook.value}.md",
        "targetBlank": True,
        "tags": [],
    }


def _firing_alerts() -> dict[str, Any]:
    return {
        "name": "Firing alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": _RED,
        "expr": 'ALERTS{alertstate="firing", runbook!=""}',
        "titleFormat": "{{alertname}}",
        "step": "60s",
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(label: str, chosen: str = "") -> dict[str, Any]:
    return {
        "name": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {
            "query": f"label_values(fraiseql_response_time_seconds_count{{{chosen}}}, {label})",
            "refId": label,
        },
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
