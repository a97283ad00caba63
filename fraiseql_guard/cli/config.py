"""``fraiseql-guard config``: every setting, its value and where that came from."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fraiseql_guard.cli.support import told
from fraiseql_guard.secret import Secret
from fraiseql_guard.settings import VARIABLES, Settings, warnings


def config(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every setting: its effective value, where that came from, and what it does. Secrets are never shown."""
    with told():
        settings = Settings.load()
    rows = [_row(settings, option) for option in settings.sources]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    for sentence in warnings():
        print(f"warning: {sentence}", file=sys.stderr)


def _row(settings: Settings, option: str) -> dict[str, Any]:
    variable = next(each for each in VARIABLES if each.option == option)
    return {
        "variable": variable.name,
        "option": option,
        "value": _shown(getattr(settings, option)),
        "source": settings.sources[option],
        "default": variable.default,
        "accepts": variable.form.accepts,
        "documentation": variable.doc,
    }


def _shown(value: object) -> str | int | float | bool | None:
    """A value in the form in which it could be given again; a secret as stars."""
    if isinstance(value, Secret):
        return "****"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, tuple | list):
        return ",".join(str(each) for each in value)
    return value if isinstance(value, int | float | bool) or value is None else str(value)


def _print_table(rows: list[dict[str, Any]]) -> None:
    """Aligned on a terminal; one tab-separated line a setting in a pipe, so that grep and cut work."""
    if not sys.stdout.isatty():
        for row in rows:
            print(row["variable"], _text(row["value"]), row["source"], row["documentation"], sep="\t")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("variable", no_wrap=True)
    table.add_column("value", overflow="fold", max_width=40)
    table.add_column("source")
    table.add_column("documentation", overflow="fold")
    for row in rows:
        table.add_row(row["variable"], _text(row["value"]), row["source"], row["documentation"])
    Console().print(table)


def _text(value: object) -> str:
    if value is None or value == "":
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
