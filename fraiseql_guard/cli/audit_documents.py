"""``fraiseql-guard audit``: measures every operation of an app, for people and for CI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from fraiseql_guard.cli.errors import REFUSED, exit_on_error
from fraiseql_guard.cli.render import JsonOption, print_json, print_rows, warn
from fraiseql_guard.core.amounts import amount
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.operations.document_audit import AuditedOperation, DocumentAudit, audit_documents, operations_in

_SHOWN: Final[Mapping[str, str]] = {
    "depth": "max_query_depth",
    "complexity": "max_query_complexity",
    "list": "max_list_size",
    "aliases": "max_aliases",
    "tokens": "max_tokens",
}
"""The option of the limit behind the numbers of each column, by the column's title."""
WITHOUT_NAME: Final = "(without a name)"
_COLUMNS: Final = ("operation", "kind", *_SHOWN, "verdict", "where")


def audit(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Folders of an app's sources, .graphql files, or manifests (.json) of Relay, Apollo or codegen.",
            exists=False,
        ),
    ],
    schema: Annotated[Path | None, typer.Option(help="File with the schema (SDL); makes the costs exact.")] = None,
    variables: Annotated[
        Path | None,
        typer.Option(help='JSON file with variables by operation, {"AllUsers": {"first": 100}}: sizes of lists.'),
    ] = None,
    over: Annotated[bool, typer.Option("--over", help="Print only what would be refused, or cannot be read.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure all documents of an app by the limits of this environment. Ends with 0 if all would pass, 1 if one would
    be refused or cannot be read.

    Documents are found in manifests, .graphql files, tagged texts (gql`...`, graphql(`...`), /* GraphQL */ `...`, gql
    in Python) and what Relay's compiler has written. Fragments may stand in other files.
    """
    with exit_on_error():
        settings, given = Settings.load(), _variables(variables)
        found = audit_documents(operations_in(paths), settings, schema=schema, variables=given)
    shown = [each for each in found.operations if not (over and each.passes)]
    if as_json:
        print_json(
            {"files": found.files, "refused": found.refused, "unreadable": found.unreadable, "operations": shown}
        )
    else:
        print_rows(_COLUMNS, list(map(_row, shown)), none="All would pass.")
        _summarize(found, exact=schema is not None)
    raise typer.Exit(0 if not found.refused and not found.unreadable else REFUSED)


def _variables(path: Path | None) -> Mapping[str, Mapping[str, Any]]:
    """The variables of each operation in the file of --variables; {} without a file. ValueError if it is no object of
    objects."""
    if path is None:
        return {}
    try:
        given = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict) or not all(isinstance(each, dict) for each in given.values()):
        raise ValueError(f'--variables {path}: it is no JSON object of objects, {{"AllUsers": {{"first": 100}}}}')
    return given


def _row(each: AuditedOperation) -> tuple[object, ...]:
    numbers = (f"{each.limits[option]:.0f}" if option in each.limits else None for option in _SHOWN.values())
    return (each.operation or WITHOUT_NAME, each.kind, *numbers, verdict(each), each.place)


def verdict(each: AuditedOperation) -> str:
    """The guard's answer to an operation, in a few words: that it passes, or the code of its refusal."""
    if each.passes:
        return "passes"
    if each.limit is not None and each.actual is not None:
        return f"{each.code}: {each.actual:.0f} of {each.limit:.0f}{f' at {each.path}' if each.path else ''}"
    return f"{each.code}: {each.detail}"


def _summarize(found: DocumentAudit, *, exact: bool) -> None:
    """Print the result on standard error, and how near the largest operations come to the limits."""
    operations = len(found.operations) - found.unreadable
    verdict = f"{found.refused:,} would be refused" if found.refused else "all would pass"
    unread = f"; {amount(found.unreadable, 'document')} cannot be read" if found.unreadable else ""
    warn(f"{amount(operations, 'operation')} in {amount(found.files, 'file')}: {verdict}{unread}.")
    for column, option in _SHOWN.items():
        if option in found.largest:
            actual, limit, name = found.largest[option]
            warn(f"largest {column}: {actual:,.0f} of {limit:,.0f} ({name})")
    if not exact:
        warn("Without --schema the sizes of lists are guesses.")
