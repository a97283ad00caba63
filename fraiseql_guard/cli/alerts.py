"""``fraiseql-guard alerts`` and ``dashboard``: the files that Prometheus and Grafana read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fraiseql_guard.cli.render import print_line
from fraiseql_guard.cli.support import told
from fraiseql_guard.runbooks.dashboard import render_dashboard
from fraiseql_guard.runbooks.render import RUNBOOK_URL, write_rule_files

_UrlOption = Annotated[str, typer.Option("--runbook-url", help="Where the runbooks are published, for the links.")]
_ScaleOption = Annotated[
    float, typer.Option("--scale", help="Factor for windows and waiting times (a drill: 0.05); thresholds stay.")
]


def alerts(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the rule files.")],
    runbook_url: _UrlOption = RUNBOOK_URL,
    scale: _ScaleOption = 1.0,
) -> None:
    """Write the alerts and recording rules for Prometheus (its rule_files), one file for each runbook."""
    with told():
        for path in write_rule_files(out, runbook_url=runbook_url, scale=scale):
            print_line(str(path))


def dashboard(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File for Grafana's import.")],
    runbook_url: _UrlOption = RUNBOOK_URL,
    scale: _ScaleOption = 1.0,
) -> None:
    """Write the dashboard for Grafana. It needs the recording rules of `fraiseql-guard alerts`."""
    with told():
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(render_dashboard(runbook_url=runbook_url, scale=scale), encoding="utf-8")
        print_line(str(out))
