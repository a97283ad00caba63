"""``fraiseql-guard rules``: checks a table of rules, and lists the one in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fraiseql_guard.cli.config import configured_rows
from fraiseql_guard.cli.connect import UrlOption
from fraiseql_guard.cli.errors import REFUSED, exit_on_error
from fraiseql_guard.cli.render import JsonOption, print_json, print_line, print_list, warn
from fraiseql_guard.core.rule_checks import problems_of, refuse_two_sources, warnings_about
from fraiseql_guard.core.rule_forms import RulesError, read_rules, rules_in_file
from fraiseql_guard.core.rules import Rules, as_written
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.graphql.cost.schema import load_schema
from fraiseql_guard.graphql.cost.schema_table import SchemaTable

_MATCH, _NAME = "match", "name"

rules = typer.Typer(help="Rules: what holds for some requests alone.", no_args_is_help=True)


@rules.command("check")
def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="YAML of rules; else those of this environment.", show_default=False),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="File with the schema (SDL): root fields that it lacks are named.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check rules before they are put in force. Ends with 0 if they can be used, 1 if not. What is most likely a slip
    is told as a warning."""
    with exit_on_error():
        settings = Settings.load()
        table = load_schema(schema)
        found, problems = _read(file, settings)
        problems += problems_of(found, settings)
        slips = warnings_about(found, settings, None if table is None else _root_fields(table))
    if as_json:
        print_json({"rules": len(found.entries), "problems": problems, "warnings": slips})
    else:
        for sentence in problems:
            print_line(sentence)
        for sentence in slips:
            warn(f"warning: {sentence}")
        if not problems:
            print_line(f"{len(found.entries)} rules, and nothing is wrong with them")
    raise typer.Exit(REFUSED if problems else 0)


@rules.command("list")
def list_rules(
    fleet: Annotated[bool, typer.Option("--fleet", help="With what operators have set for all workers.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the rules in force, in their order: of this environment, of the fleet, or of a worker."""
    with exit_on_error():
        rows = configured_rows(fleet=fleet, url=url)
        text = next((str(row["value"] or "") for row in rows if row["option"] == "rules"), "")
        found = [as_written(rule) for rule in read_rules(text).entries]
    print_list(found, ("name", "matches", "holds"), _row, none="There are no rules.", as_json=as_json)


def _read(file: Path | None, settings: Settings) -> tuple[Rules, list[str]]:
    """The rules of a file, or of the environment without one, and sentences about mistakes in their form."""
    path = file or settings.rules_file
    if file is None:
        refuse_two_sources(settings)
    if path is None and not settings.rules:
        raise ValueError(f"which rules? Name a file, or set {name_of('rules_file')} or {name_of('rules')}")
    if path is None:
        return settings.rules, []
    try:
        return rules_in_file(path.read_bytes()), []
    except RulesError as error:
        return Rules(), [f"{path}: {problem}" for problem in error.problems]
    except ValueError as error:
        return Rules(), [f"{path}: {'it is not UTF-8 text' if isinstance(error, UnicodeDecodeError) else error}"]


def _root_fields(table: SchemaTable) -> frozenset[str]:
    return frozenset().union(*(table.fields.get(name, {}) for name in table.roots.values()))


def _row(rule: Mapping[str, Any]) -> Sequence[object]:
    effects = {key: value for key, value in rule.items() if key not in (_NAME, _MATCH)}
    return rule[_NAME], _words(rule[_MATCH]), _words(effects) or "the settings"


def _words(mapping: Mapping[str, Any]) -> str:
    return " ".join(
        f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}" for key, value in mapping.items()
    )
