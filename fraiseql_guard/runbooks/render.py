"""Rules as the files that Prometheus reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from fraiseql_guard.runbooks.alerts import CONTRACT_ALERTS
from fraiseql_guard.runbooks.model import Alert, Recording, Runbook
from fraiseql_guard.runbooks.own_alerts import OWN_ALERTS
from fraiseql_guard.runbooks.recordings import RECORDINGS

ALERTS: Final[tuple[Alert, ...]] = (*CONTRACT_ALERTS, *OWN_ALERTS)
"""Every alert that is shipped."""
RUNBOOK_URL: Final = "docs/runbooks"
"""Where the texts are, unless the operator says where they are published."""
RECORDING_FILE: Final = "fraiseql-recording.yml"

_SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WINDOW: Final = re.compile(r"(?P<before>\[|\boffset )(?P<number>\d+)(?P<unit>[smhd])(?P<after>\]?)")
_HEADER: Final = "# Written by `fraiseql-guard alerts`; change the tables in fraiseql_guard/runbooks, not this file.\n"


def rule_files(*, runbook_url: str = RUNBOOK_URL, scale: float = 1.0) -> dict[str, str]:
    """The text of every file by its name. ``scale`` shortens (or lengthens) windows and holds, never a threshold.

    ValueError if the scale is no positive number.
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"--scale={scale:g} is no positive number. Accepted: for example 0.05 for a drill, or 1")
    base = runbook_url.rstrip("/")
    files = {RECORDING_FILE: _group("fraiseql-recording", [_recorded(each, scale) for each in RECORDINGS])}
    for runbook in Runbook:
        rules = [_alert(each, base, scale) for each in ALERTS if each.runbook is runbook]
        files[f"{runbook.value}.yml"] = _group(f"fraiseql-{runbook.value}", rules)
    return files


def write_rule_files(folder: Path, *, runbook_url: str = RUNBOOK_URL, scale: float = 1.0) -> list[Path]:
    """Write all files into a folder, which is made if need be; their paths. OSError if that cannot be done."""
    texts = rule_files(runbook_url=runbook_url, scale=scale)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in texts.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def scaled(expression: str, scale: float) -> str:
    """An expression with its windows and offsets made shorter or longer."""
    return _WINDOW.sub(lambda at: f"{at['before']}{_duration(at, scale)}{at['after']}", expression)


def duration(text: str, scale: float = 1.0) -> str:
    """A duration such as ``5m``, scaled, in Prometheus' form: at least a millisecond unless it is zero."""
    found = re.fullmatch(r"(?P<number>\d+)(?P<unit>[smhd])", text)
    if found is None:
        raise ValueError(f"{text!r} is no duration. Accepted: for example 5m")
    return _duration(found, scale)


def _duration(found: re.Match[str], scale: float) -> str:
    milliseconds = round(int(found["number"]) * _SECONDS[found["unit"]] * 1000 * scale)
    if scale == 1:
        return f"{found['number']}{found['unit']}"
    if milliseconds % 1000:
        return f"{milliseconds}ms"
    return f"{milliseconds // 1000}s"


def _text(template: str, scale: float) -> str:
    return _WINDOW.sub(lambda at: _duration(at, scale), template)


def _recorded(recording: Recording, scale: float) -> dict[str, Any]:
    return {"record": recording.name, "expr": scaled(recording.expression, scale)}


def _alert(alert: Alert, base: str, scale: float) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": scaled(alert.expression, scale),
        "for": duration(alert.hold, scale),
        "labels": {"severity": alert.severity.value, "runbook": alert.runbook.value},
        "annotations": {
            "summary": _text(alert.summary, scale),
            "description": _text(alert.description, scale),
            "runbook_url": f"{base}/{alert.runbook.value}.md",
        },
    }


def _group(name: str, rules: Iterable[Mapping[str, Any]]) -> str:
    document = {"groups": [{"name": name, "rules": list(rules)}]}
    return _HEADER + yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)
