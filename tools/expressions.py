"""Every PromQL expression of the project, with the place where it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
RUNBOOKS = ROOT / "fraiseql_guard" / "operations" / "runbooks"
PAGES = ("README.md", "docs/**/*.md", "examples/**/*.md")

_BLOCK = re.compile(r"^[ ]*```promql\n(?P<text>.*?)^[ ]*```$", re.DOTALL | re.MULTILINE)


def every_expression() -> Iterator[tuple[str, str]]:
    """The place and the text of each: shipped rules, shipped dashboard, documentation."""
    yield from rule_expressions()
    yield from panel_expressions()
    yield from page_expressions()


def rule_expressions() -> Iterator[tuple[str, str]]:
    """Of the shipped rule files."""
    for path in sorted((RUNBOOKS / "alerts").glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield f"{path.name} {rule.get('alert') or rule['record']}", rule["expr"]


def panel_expressions() -> Iterator[tuple[str, str]]:
    """Of the shipped dashboard; its variables are put in as Grafana would."""
    for path in sorted((RUNBOOKS / "grafana").glob("*.json")):
        for panel in panels_of(json.loads(path.read_text(encoding="utf-8"))):
            for target in panel.get("targets", ()):
                yield f"{path.name} {panel['title']}", target["expr"].replace("$job", ".*").replace("$instance", ".*")


def panels_of(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, also those inside of rows."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def page_expressions() -> Iterator[tuple[str, str]]:
    """Of every promql block in the documentation; an empty line ends an expression."""
    for pattern in PAGES:
        for page in sorted(ROOT.glob(pattern)):
            for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
                for part in re.split(r"\n\s*\n", block["text"].strip()):
                    lines = [line for line in part.splitlines() if not line.strip().startswith("#")]
                    if expression := "\n".join(lines).strip():
                        yield str(page.relative_to(ROOT)), expression
