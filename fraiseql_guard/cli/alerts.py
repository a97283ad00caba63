"""``fraiseql-guard alerts`` and ``dashboard``: the files that Prometheus and Grafana read."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.render import print_line
from fraiseql_guard.operations.runbooks.chosen_labels import BY, parse_by, parse_labels
from fraiseql_guard.operations.runbooks.dashboard import render_dashboard
from fraiseql_guard.operations.runbooks.render import (
    OPERATOR_FILE,
    RUNBOOK_URL,
    Choices,
    prometheus_rule,
    rule_files,
    write_files,
)

_UrlOption = Annotated[str, typer.Option("--runbook-url", help="Where the runbooks are published, for the links.")]
_ScaleOption = Annotated[
    float, typer.Option("--scale", help="Factor for windows and waiting times (a drill: 0.05); thresholds stay.")
]
_ByOption = Annotated[
    str,
    typer.Option("--by", metavar="LABELS", help="Labels of your targets that everything is summed by: job,namespace."),
]


_BY = ",".join(BY)


class Format(StrEnum):
    """The program that reads the rules."""

    PROMETHEUS = "prometheus"
    OPERATOR = "prometheus-operator"


def alerts(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the rule files.")],
    runbook_url: _UrlOption = RUNBOOK_URL,
    scale: _ScaleOption = 1.0,
    by: _ByOption = _BY,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME=VALUE", help="A label of every alert, such as team=shop. Repeatable."),
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="Rule files for Prometheus, or a PrometheusRule for the Prometheus Operator."),
    ] = Format.PROMETHEUS,
    metadata_label: Annotated[
        list[str] | None,
        typer.Option("--metadata-label", metavar="NAME=VALUE", help="A label of the PrometheusRule. Repeatable."),
    ] = None,
) -> None:
    """Write the alerts and recording rules for Prometheus (its rule_files), one file for each runbook.

    With --format prometheus-operator they are one PrometheusRule.
    """
    with exit_on_error():
        choices = Choices(runbook_url=runbook_url, scale=scale, by=parse_by(by), labels=parse_labels(label or ()))
        # Read before the format is known, so that a wrong label is an error in both.
        metadata = parse_metadata(metadata_label or ())
        for path in write_files(out, _texts(form, choices, metadata)):
            print_line(str(path))


def _texts(form: Format, choices: Choices, metadata: Mapping[str, str]) -> Mapping[str, str]:
    """The texts of the files, by file name. ValueError for --metadata-label without a Kubernetes resource."""
    if form is Format.OPERATOR:
        return {OPERATOR_FILE: prometheus_rule(choices, metadata_labels=metadata)}
    if metadata:
        raise ValueError(f"--metadata-label is of a PrometheusRule: give it with --format {Format.OPERATOR.value}")
    return rule_files(choices)


def dashboard(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File for Grafana's import, or for its HTTP API.")],
    runbook_url: _UrlOption = RUNBOOK_URL,
    scale: _ScaleOption = 1.0,
    by: _ByOption = _BY,
    api: Annotated[
        bool, typer.Option("--api", help="Write what Grafana's HTTP API takes (POST /api/dashboards/db).")
    ] = False,
    folder_uid: Annotated[
        str, typer.Option("--folder-uid", help="With --api: the folder in Grafana; without one, its first.")
    ] = "",
) -> None:
    """Write the dashboard for Grafana. It needs the recording rules of `fraiseql-guard alerts`."""
    with exit_on_error():
        # A file for Grafana's import has no place for a folder; silence would look like success.
        if folder_uid and not api:
            raise ValueError("--folder-uid is of Grafana's HTTP API: give it with --api")
        choices = Choices(runbook_url=runbook_url, scale=scale, by=parse_by(by))
        text = render_dashboard(choices, folder_uid=folder_uid if api else None)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
        print_line(str(out))


def parse_metadata(texts: list[str] | tuple[()]) -> dict[str, str]:
    """The values of --metadata-label, as labels of a Kubernetes resource. ValueError for a text that is no label."""
    # partition gives name, "=" and value: every second part is kept.
    found = dict(text.partition("=")[::2] for text in texts)
    # A label needs all three parts: a name, "=", and a value.
    if wrong := next((text for text in texts if not all(text.partition("="))), None):
        raise ValueError(f"--metadata-label {wrong!r} is no label. Accepted: for example release=prometheus")
    return found
