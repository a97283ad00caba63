"""``fraiseql-guard tune``: recommends the limits that fit the requests that were seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fraiseql_guard.cli.audit_documents import WITHOUT_NAME, verdict
from fraiseql_guard.cli.connect import AsOption, FleetConnection, UrlOption, ask
from fraiseql_guard.cli.errors import REFUSED, exit_on_error
from fraiseql_guard.cli.log_files import read_logs
from fraiseql_guard.cli.output import HOUR, ForOption, seconds_of
from fraiseql_guard.cli.render import print_command, print_json, print_line
from fraiseql_guard.cli.set_all import set_all
from fraiseql_guard.cli.targets import command_line
from fraiseql_guard.core.settings import CHANGEABLE, VARIABLES, Settings, name_of
from fraiseql_guard.graphql.cost.schema import load_schema
from fraiseql_guard.operations.document_audit import (
    UNREADABLE,
    AppOperations,
    AuditedOperation,
    audit_documents,
    operations_in,
)
from fraiseql_guard.operations.log_analysis.log_line import LogFilter, moment
from fraiseql_guard.operations.log_analysis.usage import LogUsage
from fraiseql_guard.operations.operator.interface import Switch
from fraiseql_guard.operations.operator.setting_overrides import setting_overrides
from fraiseql_guard.operations.operator.switches import control_of
from fraiseql_guard.operations.tuning.charts import svg
from fraiseql_guard.operations.tuning.report import as_json, as_text, fitting_costs
from fraiseql_guard.operations.tuning.reporting import report_of
from fraiseql_guard.operations.tuning.result import TuningResult, tuning_of

_REASON = "recommended by fraiseql-guard tune"


def tune(
    logs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[LOG...]",
            help="Logs, also compressed; - is standard input. Without one the running workers are asked.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[str, typer.Option(help="From a moment on: an age (10m, 2h) or a date.")] = "",
    until: Annotated[str, typer.Option(help="Up to a moment.")] = "",
    svg_folder: Annotated[
        Path | None, typer.Option("--svg", metavar="FOLDER", help="Write a picture of each limit there.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Set what is recommended on all workers, for a while.")
    ] = False,
    lasts: ForOption = HOUR,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Documents of a deploy, found as audit finds them: a manifest, a .graphql file, or a folder of an "
            "app's sources. Ends with 1 if the limits in force or the recommended ones would refuse one.",
        ),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="File with the schema (SDL); makes the costs of --check exact.")
    ] = None,
    acting_as: AsOption = None,
    url: UrlOption = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say for each limit what requests really ask for, what it refuses, and which value would fit.

    Reads logs, or asks the running workers (--url, or Redis). With --apply, what is recommended is set on all workers,
    all of it or nothing. With --check, documents are measured against it before they are deployed.
    """
    with exit_on_error():
        seconds = seconds_of(lasts)
        documents = operations_in([check]) if check is not None else AppOperations()
        settings, found = _from_logs(logs, since, until) if logs else _from_fleet(url, checks=check is not None)
        if svg_folder is not None:
            _write_pictures(found, svg_folder)
        refused = list(_refused(documents, settings, found.values, schema)) if check is not None else []
        if json_:
            print_json({**as_json(found), "refused": [_refused_as_json(*each) for each in refused]})
        else:
            _print(found, lasts=lasts, url=url, applies=apply)
            _print_refused(refused, checked=len(documents.operations))
        if apply:
            _apply(found, seconds, lasts=lasts, url=url, acting_as=acting_as, quiet=json_)
    if refused or not found.requests:
        raise typer.Exit(REFUSED)


# --- what was seen ----------------------------------------------------------------------------------------------------


def _from_logs(logs: Sequence[Path], since: str, until: str) -> tuple[Settings, TuningResult]:
    """The settings of this environment, and the result of tuning them by the logs."""
    now = datetime.now(UTC)
    wanted = LogFilter(since=moment(since, now) if since else "", until=moment(until, now) if until else "")
    usage = LogUsage()
    read_logs(logs, lambda lines: usage.read(lines, wanted))
    notes = []
    if usage.without:
        notes.append(
            f"{usage.without:,} lines of answered requests carry no measures: they are of other paths, of an older "
            f"version, or {name_of('log_measures')} is false"
        )
    if not usage.measured:
        notes.append(
            f"no line of {usage.lines:,} carries measures. They stand in http.request lines: "
            f"{name_of('access_log')} must be all or sampled, and {name_of('log_measures')} true"
        )
    settings = Settings.load()
    return settings, tuning_of(report_of([usage.table]), settings, notes)


def _from_fleet(url: str | None, *, checks: bool) -> tuple[Settings, TuningResult]:
    """The settings, and the workers' result. With ``checks`` the settings are those in force on the workers, because
    documents are measured by them."""

    async def look(fleet: FleetConnection) -> tuple[Settings, TuningResult]:
        found = await fleet.operator.limits_advice()
        if not checks:
            return Settings.load(), found
        rows = await fleet.operator.config() if url is not None else ()
        configured = {str(row["option"]): row["value"] for row in rows}
        return _in_force(configured, await fleet.operator.switches()), found

    return ask(url, look)


def _in_force(configured: Mapping[str, object], switches: Sequence[Switch]) -> Settings:
    """This environment's settings, with the workers' configured values and the operators' overrides in their place."""
    given: dict[str, Any] = {
        option: value for option, value in configured.items() if option in CHANGEABLE and value not in (None, "")
    }
    return setting_overrides(control_of(switches)).applied_to(Settings.load().override(**given))


# --- what is printed --------------------------------------------------------------------------------------------------


def _print(found: TuningResult, *, lasts: str, url: str | None, applies: bool) -> None:
    for line in as_text(found):
        print_line(line)
    print_line("")
    if not found.values:
        print_line("Nothing to change: each limit is as recommended, or too little was seen.")
    elif not applies:
        print_line("To apply it for a while, all or nothing: the same with --apply. One by one:")
        for variable, value in found.values.items():
            print_command(f"   {command_line('set', variable, value, '--for', lasts, url=url)}")
        print_line("To keep it, set where the workers are started:")
        for variable, value in found.values.items():
            print_command(f"   {variable}={value}")
    if found.costs.value:
        print_command(f"   {fitting_costs(found.costs)}")


def _write_pictures(found: TuningResult, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for each in found.limits:
        name = f"{each.option}_{each.tier}" if each.tier else each.option
        # A tier's name comes from a token.
        safe = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)
        (folder / f"{safe}.svg").write_text(svg(each), encoding="utf-8")


# --- documents of a deploy --------------------------------------------------------------------------------------------


def _refused(
    documents: AppOperations, settings: Settings, values: Mapping[str, str], schema: Path | None
) -> Iterator[tuple[str, AuditedOperation]]:
    """Each operation that is refused or cannot be read, with the name of the limits that refuse it: those in force, or
    the recommended ones."""
    table = load_schema(schema)
    passing: set[tuple[str, str, str]] = set()
    for each in audit_documents(documents, settings, schema=table).operations:
        if each.passes:
            passing.add(_identity(each))
        else:
            yield "in force", each
    recommended = settings.override(**_by_option(values)) if values else settings
    for each in audit_documents(documents, recommended, schema=table).operations:
        if not each.passes and _identity(each) in passing:
            yield "recommended", each


def _identity(each: AuditedOperation) -> tuple[str, str, str]:
    return each.operation, each.place, each.query_hash


def _refused_as_json(limits: str, each: AuditedOperation) -> Mapping[str, object]:
    return {
        "name": each.operation,
        "where": each.place,
        "limits": limits,
        "code": each.code,
        "detail": each.detail,
        "limit": each.limit,
        "actual": each.actual,
    }


def _by_option(values: Mapping[str, str]) -> Mapping[str, str]:
    options = {row.name: row.option for row in VARIABLES}
    return {options[variable]: value for variable, value in values.items()}


def _print_refused(refused: Sequence[tuple[str, AuditedOperation]], *, checked: int) -> None:
    for limits, each in refused:
        name = each.operation or WITHOUT_NAME
        if each.code == UNREADABLE:
            print_line(f"cannot be read: {name} in {each.place}: {each.detail}")
        else:
            print_line(f"refused by the limits {limits}: {name} in {each.place}: {verdict(each)}")
    if checked and not refused:
        print_line(f"All {checked} documents pass, with the limits in force and with the recommended ones.")


# --- applying it ------------------------------------------------------------------------------------------------------


def _apply(
    found: TuningResult, seconds: float, *, lasts: str, url: str | None, acting_as: str | None, quiet: bool
) -> None:
    """Set all recommended values on all workers, or none of them, and print the outcome."""
    say: Callable[[str], None] = (lambda _: None) if quiet else print_line
    if not found.values:
        say("Nothing was set.")
        return
    # Checked here first: values that contradict each other never leave this machine.
    Settings.load().override(**_by_option(found.values))
    ask(url, lambda fleet: set_all(fleet, found.values, seconds, reason=_REASON), acting_as=acting_as)
    for variable, value in found.values.items():
        say(f"Set {variable} to {value} on all workers for {lasts}. Undo: "
            f"{command_line('set', '--clear', variable, url=url)}")  # fmt: skip
