"""``fraiseql-guard config``: every setting, its value and where that came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from fraiseql_guard.cli.connect import FleetConnection, UrlOption, ask
from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.render import JsonOption, print_json, print_rows, warn
from fraiseql_guard.core.settings import Settings, warnings
from fraiseql_guard.core.surroundings import warnings_of
from fraiseql_guard.identity.claims import any_audience
from fraiseql_guard.operations.fleet.rules_file import with_rules
from fraiseql_guard.operations.operator import configuration
from fraiseql_guard.operations.operator.setting_overrides import setting_overrides
from fraiseql_guard.operations.operator.switches import control_of


def config(
    fleet: Annotated[bool, typer.Option("--fleet", help="With what operators have set for all workers.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print every setting: its effective value, where that came from, and what it does. Secrets are never shown.
    Without --fleet or --url no worker is asked: it is what this environment says."""
    # Without a fleet it is what this environment would configure.
    here, sentences = url is None and not fleet, []
    with exit_on_error():
        rows = configured_rows(fleet=fleet, url=url)
        if here:
            # Warnings about this environment make no sense for another machine's settings.
            settings = Settings.load()
            sentences = [*warnings(), *warnings_of(settings), *filter(None, [any_audience(settings)])]
    if as_json:
        print_json(rows)
    else:
        _print_table(rows)
    for sentence in sentences:
        warn(f"warning: {sentence}")


def configured_rows(*, fleet: bool, url: str | None) -> Sequence[Mapping[str, Any]]:
    """A row for each setting of this environment; with ``fleet`` with the operators' overrides, with ``url`` of that
    worker."""
    if url is None and not fleet:
        return configuration.rows(with_rules(Settings.load()))
    rows = ask(url, _fleet_rows)
    # Through Redis the configured values are this environment's.
    return rows if url is not None else [_with_file(row) for row in rows]


def _with_file(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if row["option"] != "rules" or row["source"] == "override":
        return row
    settings = with_rules(Settings.load())
    return {**row, "value": configuration.shown(settings.rules), "source": settings.sources["rules"]}


async def _fleet_rows(fleet: FleetConnection) -> Sequence[Mapping[str, Any]]:
    """The settings that the other side was started with, with the operators' overrides in their place."""
    rows, switches = await fleet.operator.config(), await fleet.operator.switches()
    # Read as a worker reads them, so that of two overrides of one setting the same one counts.
    held = setting_overrides(control_of(switches)).options
    return [
        {**row, "value": held[row["option"]], "source": "override"} if row["option"] in held else row for row in rows
    ]


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the settings: aligned on a terminal, in a pipe one tab-separated line each, for grep and cut."""
    cells = [(row["variable"], _text(row["value"]), row["source"], row["documentation"]) for row in rows]
    print_rows(("variable", "value", "source", "documentation"), cells, none="No setting is known.")


def _text(value: object) -> str:
    if value is None or value == "":
        return "-"
    # As the variable is written: true, not True.
    return str(value).lower() if isinstance(value, bool) else str(value)
