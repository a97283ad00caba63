"""Writes the dashboard for Grafana's import, from the rows in panels.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from fraiseql_guard.operations.runbooks.chosen_labels import legend_by, selected_by
from fraiseql_guard.operations.runbooks.model import Panel, PanelRow, Runbook
from fraiseql_guard.operations.runbooks.panels import ROWS
from fraiseql_guard.operations.runbooks.render import ALERTS, DEFAULTS, Choices, scaled

_COLUMNS: Final = 24
_HEIGHT: Final = 8
_GUIDE_HEIGHT: Final = 2
_MAX_PANELS_IN_LINE: Final = 4
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_RED, _GREEN = "red", "green"


def dashboard(choices: Choices = DEFAULTS) -> dict[str, Any]:
    """The dashboard as JSON data, for the same choices as the rules (``choices.labels`` are not used)."""
    base = choices.runbook_url.rstrip("/")
    return {
        # With a fixed uid an import replaces an older dashboard, and links to it stay valid.
        "uid": "fraiseql-ops",
        "title": "FraiseQL operations",
        "description": "One row for each operational runbook. Written by `fraiseql-guard dashboard`.",
        "tags": ["fraiseql", "graphql"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        # One crosshair over all panels, so that moments can be compared.
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "links": [_link(runbook, base) for runbook in Runbook],
        "annotations": {"list": [_firing_alerts()]},
        "templating": {"list": [_data_source(), *_variables(choices.by)]},
        "panels": list(_laid_out(base, choices)),
    }


def render_dashboard(choices: Choices = DEFAULTS, *, folder_uid: str | None = None) -> str:
    """The dashboard as a file for Grafana's import. With ``folder_uid`` (empty for the first folder) it is the body of
    a request to Grafana's HTTP API, ``POST /api/dashboards/db``, which replaces an older dashboard."""
    shown: dict[str, Any] = dashboard(choices)
    if folder_uid is not None:
        # Grafana's API finds the dashboard by its uid; a null id and overwrite replace an older one.
        shown = {"dashboard": {"id": None, **shown}, "folderUid": folder_uid, "overwrite": True}
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"


def _laid_out(base: str, choices: Choices) -> Iterator[dict[str, Any]]:
    """The rows and panels with their places. Ids count up, so that a change of one panel changes few other lines."""
    top, number = 0, 1
    for row in ROWS:
        yield _row(row, number, top)
        number, top = number + 1, top + 1
        # Below the row's title, a link to its runbook.
        if row.runbook is not None and not row.title:
            yield _guide(row.runbook, base, number, top)
            number, top = number + 1, top + _GUIDE_HEIGHT
        # Panels side by side, in lines that fill the width.
        for line in _lines(row.panels):
            width = _COLUMNS // len(line)
            for column, panel in enumerate(line):
                place = {"h": _HEIGHT, "w": width, "x": column * width, "y": top}
                yield {**_panel(panel, number, place, choices), "links": _links(row, base)}
                number += 1
            top += _HEIGHT


def _lines(panels: tuple[Panel, ...]) -> list[tuple[Panel, ...]]:
    """The panels in as few lines as possible, of equal length where their number allows it."""
    # Ceiling division: as few lines as possible, then as few panels in each as that allows.
    count = -(-len(panels) // _MAX_PANELS_IN_LINE)
    size = -(-len(panels) // count)
    return [panels[start : start + size] for start in range(0, len(panels), size)]


def _row(row: PanelRow, number: int, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": row.title or (row.runbook.spoken if row.runbook else "Overview"),
        "collapsed": False,
        "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": top},
        "panels": [],
    }


def _guide(runbook: Runbook, base: str, number: int, top: int) -> dict[str, Any]:
    """A line of text that links to the runbook and names its alerts, because Grafana shows no links on a row itself."""
    alerts = ", ".join(f"`{alert.name}`" for alert in ALERTS if alert.runbook is runbook)
    text = f"[**Runbook: {runbook.spoken}**]({base}/{runbook.value}.md) · alerts: {alerts}"
    return {
        "id": number,
        "type": "text",
        "title": "",
        "description": f"What to do when an alert of this row fires: {runbook.spoken}.",
        "gridPos": {"h": _GUIDE_HEIGHT, "w": _COLUMNS, "x": 0, "y": top},
        "transparent": True,
        "options": {"mode": "markdown", "content": text},
    }


def _links(row: PanelRow, base: str) -> list[dict[str, Any]]:
    return [_link(row.runbook, base)] if row.runbook else []


def _panel(panel: Panel, number: int, place: dict[str, int], choices: Choices) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            {
                # Grafana calls the queries of a panel A, B, C.
                "refId": chr(ord("A") + position),
                "datasource": _SOURCE,
                "expr": selected_by(scaled(query.expression, choices.scale), choices.by),
                "legendFormat": legend_by(query.legend, choices.by),
                # A ranking or a single number shows this moment; only a time series needs the range.
                "instant": panel.kind != "timeseries",
                "range": panel.kind == "timeseries",
            }
            for position, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    # Most numbers are bad above their threshold; a hit rate is bad below.
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
    "timeseries": {
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": _REDUCED,
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "showPercentChange": False,
        "textMode": "value_and_name",
        "wideLayout": True,
    },
    "bargauge": {
        "reduceOptions": _REDUCED,
        "orientation": "horizontal",
        "displayMode": "basic",
        "valueMode": "color",
        "namePlacement": "auto",
        "showUnfilled": True,
        "sizing": "auto",
        "minVizWidth": 8,
        "minVizHeight": 16,
        "maxVizHeight": 300,
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
    },
}


def _link(runbook: Runbook, base: str) -> dict[str, Any]:
    return {
        "type": "link",
        "icon": "doc",
        "title": f"Runbook: {runbook.spoken}",
        "tooltip": f"What to do: {runbook.spoken}",
        "url": f"{base}/{runbook.value}.md",
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
        "targetBlank": True,
        "tags": [],
    }


def _firing_alerts() -> dict[str, Any]:
    return {
        "name": "Firing alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": _RED,
        # Only alerts of these rules carry the label runbook.
        "target": {"expr": 'ALERTS{alertstate="firing", runbook!=""}', "interval": "60s", "refId": "Anno"},
        "titleFormat": "{{alertname}}",
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variables(by: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """A variable for each label. It offers the label's values under the choices in the variables before it."""
    chosen: list[str] = []
    for label in (*by, "instance"):
        yield _variable(label, ", ".join(chosen))
        chosen.append(f'{label}=~"${label}"')


def _variable(label: str, chosen: str) -> dict[str, Any]:
    return {
        "name": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {
            # A series that every instance has from its start.
            "query": f"label_values(fraiseql_response_time_seconds_count{{{chosen}}}, {label})",
            "refId": label,
        },
        # Refreshed when the time range changes, since instances come and go.
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        # One expression instead of a list of all values, which may be long.
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
