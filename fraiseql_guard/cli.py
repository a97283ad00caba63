"""The ``fraiseql-guard`` command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fraiseql_guard.explain import as_json as explanation_as_json
from fraiseql_guard.explain import explain as explain_document
from fraiseql_guard.explain import render as render_explanation
from fraiseql_guard.graphql.documents import (
    ManifestForm,
    TrustedDocument,
    document_of,
    parse_manifest,
    read_manifest,
    write_manifest,
)
from fraiseql_guard.secret import Secret
from fraiseql_guard.settings import VARIABLES, Settings, SettingsError, name_of, warnings

app = typer.Typer(
    help="Protections and operational signals for GraphQL on ASGI.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
_ERROR = 2


@app.callback(invoke_without_command=True)
def main(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
) -> None:
    """Protections and operational signals for GraphQL on ASGI."""
    if show_version:
        print(version("fraiseql-guard"))
        raise typer.Exit


@app.command()
def config(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every setting: its effective value, where that came from, and what it does. Secrets are never shown."""
    try:
        settings = Settings.load()
    except SettingsError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(_ERROR) from None
    rows = [_row(settings, option) for option in settings.sources]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    for sentence in warnings():
        print(f"warning: {sentence}", file=sys.stderr)


@app.command()
def explain(
    query: Annotated[str, typer.Argument(metavar="QUERY.graphql", help="File with the document; - reads it as input.")],
    schema: Annotated[Path | None, typer.Option(help="File with the schema (SDL); makes the costs exact.")] = None,
    variables: Annotated[str, typer.Option(help="The request's variables, as a JSON object.")] = "{}",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print where the cost of a document comes from, and its verdict. Ends with 0 if accepted, 1 if refused."""
    try:
        text = sys.stdin.read() if query == "-" else Path(query).read_text(encoding="utf-8")
        given = json.loads(variables)
        if not isinstance(given, dict):
            raise TypeError(f"--variables={variables} is no JSON object. Accepted: for example '{{\"first\": 20}}'")
        found = explain_document(text, Settings.load(), schema=schema, variables=given)
    except (OSError, ValueError, TypeError) as error:  # a SettingsError is a ValueError
        print(error, file=sys.stderr)
        raise typer.Exit(_ERROR) from None
    print(json.dumps(explanation_as_json(found), indent=2) if as_json else render_explanation(found))
    raise typer.Exit(1 if found.refusal else 0)


documents = typer.Typer(help="The trusted documents in a manifest.", no_args_is_help=True)
app.add_typer(documents, name="documents")
_ManifestOption = Annotated[
    Path | None, typer.Option(help=f"The manifest; else {name_of('trusted_documents_file')}.", show_default=False)
]


@documents.command("add")
def add_documents(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files with one GraphQL document each.")],
    manifest: _ManifestOption = None,
    form: Annotated[ManifestForm, typer.Option(help="Form of a manifest that is new.")] = ManifestForm.APOLLO,
) -> None:
    """Trust documents: put them into the manifest under the SHA-256 of their text."""
    with _told():
        place = _manifest_place(manifest)
        known = read_manifest(place, new=form)
        found = [_document_in(file) for file in files]
        write_manifest(place, known.with_documents(found))
    for each in found:
        print(each.id, each.type, each.name or "-", sep="\t")


@documents.command("list")
def list_documents(manifest: _ManifestOption = None) -> None:
    """Print the documents of the manifest: id, type and name, one on a line."""
    with _told():
        known = parse_manifest(_manifest_place(manifest).read_bytes())
    for id_, each in sorted(known.documents.items()):
        print(id_, each.type or "-", each.name or "-", sep="\t")


@documents.command("remove")
def remove_documents(
    names: Annotated[list[str], typer.Argument(metavar="FILE|ID...", help="Files with documents, or their ids.")],
    manifest: _ManifestOption = None,
) -> None:
    """Trust documents no longer: take them out of the manifest."""
    with _told():
        place = _manifest_place(manifest)
        known = parse_manifest(place.read_bytes())
        ids = [_document_in(Path(name)).id if Path(name).is_file() else name for name in names]
        if missing := [name for name, id_ in zip(names, ids, strict=True) if id_ not in known.documents]:
            raise ValueError(f"{place} has no {missing[0]}")
        write_manifest(place, known.without(ids))


@contextmanager
def _told() -> Iterator[None]:
    """What cannot be done is said in a line, and ends the command with 2."""
    try:
        yield
    except (OSError, ValueError) as error:  # a SettingsError is a ValueError
        print(error, file=sys.stderr)
        raise typer.Exit(_ERROR) from None


def _manifest_place(given: Path | None) -> Path:
    place = given or Settings.load().trusted_documents_file
    if place is None:
        raise ValueError(f"which manifest? Give --manifest PATH, or set {name_of('trusted_documents_file')}")
    return place


def _document_in(file: Path) -> TrustedDocument:
    try:
        return document_of(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


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


if __name__ == "__main__":
    app()
