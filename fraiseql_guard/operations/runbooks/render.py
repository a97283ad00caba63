"""Writes the recordings and alerts as rule files for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from fraiseql_guard.operations.runbooks.alerts import RUNBOOK_ALERTS
from fraiseql_guard.operations.runbooks.chosen_labels import BY, alert_labels, named_by, summed_by
from fraiseql_guard.operations.runbooks.model import Alert, Recording, Runbook
from fraiseql_guard.operations.runbooks.own_alerts import OWN_ALERTS
from fraiseql_guard.operations.runbooks.recordings import RECORDINGS

ALERTS: Final[tuple[Alert, ...]] = (*RUNBOOK_ALERTS, *OWN_ALERTS)
"""The alerts of the runbooks, and those of the guard itself."""
RUNBOOK_URL: Final = "docs/runbooks"
"""The address of the runbooks, unless the operator gives another."""
RECORDING_FILE: Final = "fraiseql-recording.yml"
OPERATOR_FILE: Final = "prometheus-rule.yaml"

_RECORDING: Final = RECORDING_FILE.removesuffix(".yml")
_SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# A window in brackets, or an offset. The scale multiplies only these: numbers elsewhere are thresholds.
_WINDOW: Final = re.compile(r"(?P<before>\[|\boffset )(?P<number>\d+)(?P<unit>[smhd])(?P<after>\]?)")
_HEADER: Final = (
    "# Written by `fraiseql-guard alerts`; change the tables in fraiseql_guard/operations/runbooks, not this file.\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The choices of an operator. ``scale`` multiplies windows and holds, but no threshold. ``by`` are the labels that
    everything is summed by, ``labels`` those that every alert carries.

    ValueError if the scale is no positive number.
    """

    runbook_url: str = RUNBOOK_URL
    scale: float = 1.0
    by: tuple[str, ...] = BY
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"--scale={self.scale:g} is no positive number. Accepted: for example 0.05 for a drill")


DEFAULTS: Final = Choices()


def rule_files(choices: Choices = DEFAULTS) -> dict[str, str]:
    """The text of every rule file by its file name."""
    return {f"{name}.yml": _HEADER + _yaml({"groups": [group]}) for name, group in _groups(choices).items()}


def prometheus_rule(choices: Choices = DEFAULTS, *, metadata_labels: Mapping[str, str] | None = None) -> str:
    """All rules as a PrometheusRule, the resource of the Prometheus Operator. A Prometheus selects it by
    ``metadata_labels`` (its ``ruleSelector``)."""
    labels = dict(metadata_labels or {})
    return _HEADER + _yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "fraiseql-guard", **({"labels": labels} if labels else {})},
            "spec": {"groups": list(_groups(choices).values())},
        }
    )


def write_files(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write ``texts`` by file name into a folder, which is created if it is missing. Returns the files' paths.
    OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in texts.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def write_rule_files(folder: Path, choices: Choices = DEFAULTS) -> list[Path]:
    """Write :func:`rule_files` into a folder. Returns the files' paths. OSError."""
    return write_files(folder, rule_files(choices))


def _groups(choices: Choices) -> dict[str, dict[str, Any]]:
    """By file name: the group of recording rules, and a group of alerts for each runbook."""
    recorded = [_recorded(each, choices) for each in RECORDINGS]
    groups = {_RECORDING: {"name": _RECORDING, "rules": recorded}}
    for runbook in Runbook:
        rules = [_alert(each, choices) for each in ALERTS if each.runbook is runbook]
        groups[runbook.value] = {"name": f"fraiseql-{runbook.value}", "rules": rules}
    return groups


def scaled(expression: str, scale: float) -> str:
    """An expression with its windows and offsets multiplied by ``scale``."""
    return _WINDOW.sub(lambda at: f"{at['before']}{_duration(at, scale)}{at['after']}", expression)


def duration(text: str, scale: float = 1.0) -> str:
    """A duration such as ``5m`` multiplied by ``scale``, in Prometheus' form; at least 1 ms unless it is zero."""
    found = re.fullmatch(r"(?P<number>\d+)(?P<unit>[smhd])", text)
    if found is None:
        raise ValueError(f"{text!r} is no duration. Accepted: for example 5m")
    return _duration(found, scale)


def _duration(found: re.Match[str], scale: float) -> str:
    # Prometheus takes whole milliseconds.
    milliseconds = round(int(found["number"]) * _SECONDS[found["unit"]] * 1000 * scale)
    # Unscaled durations stay as the tables write them (5m, not 300s).
    if scale == 1:
        return f"{found['number']}{found['unit']}"
    if milliseconds % 1000:
        return f"{milliseconds}ms"
    return f"{milliseconds // 1000}s"


def _text(template: str, scale: float) -> str:
    return _WINDOW.sub(lambda at: _duration(at, scale), template)


def _recorded(recording: Recording, choices: Choices) -> dict[str, Any]:
    return {"record": recording.name, "expr": summed_by(scaled(recording.expression, choices.scale), choices.by)}


def _alert(alert: Alert, choices: Choices) -> dict[str, Any]:
    scale, by = choices.scale, choices.by
    return {
        "alert": alert.name,
        "expr": summed_by(scaled(alert.expression, scale), by),
        "for": duration(alert.hold, scale),
        "labels": alert_labels(alert.severity.value, alert.runbook.value, choices.labels),
        "annotations": {
            "summary": named_by(_text(alert.summary, scale), by),
            "description": named_by(_text(alert.description, scale), by),
            "runbook_url": f"{choices.runbook_url.rstrip('/')}/{alert.runbook.value}.md",
        },
    }


def _yaml(document: Mapping[str, Any]) -> str:
    # Keys keep their order (group, then rules), as in Prometheus' own examples.
    return yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)
