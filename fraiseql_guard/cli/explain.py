"""``fraiseql-guard explain``: where the cost of a document comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fraiseql_guard.cli.connect import UrlOption
from fraiseql_guard.cli.errors import REFUSED, exit_on_error
from fraiseql_guard.cli.query_text import text_of, text_of_line
from fraiseql_guard.cli.render import print_json, print_text
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.operations.explain import as_json as explanation_as_json
from fraiseql_guard.operations.explain import explain as explain_document
from fraiseql_guard.operations.explain import render as render_explanation
from fraiseql_guard.operations.explained_rule import RequestHead
from fraiseql_guard.operations.fleet.rules_file import with_rules


def explain(
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="[QUERY.graphql|HASH]",
            help="File with the document; - reads it as input. Or a query_hash, or its first 12 digits or more.",
            show_default=False,
        ),
    ] = None,
    schema: Annotated[Path | None, typer.Option(help="File with the schema (SDL); makes the costs exact.")] = None,
    variables: Annotated[str, typer.Option(help="The request's variables, as a JSON object.")] = "{}",
    log: Annotated[
        str | None, typer.Option(metavar="LINE", help="A log line with a query_hash; - reads lines as input.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help=f"Where to look for a hash first; else {name_of('trusted_documents_file')}."),
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="Path that it is sent to, for rules; else the first GraphQL path.")
    ] = None,
    method: Annotated[str, typer.Option(help="Method that it is sent with, for rules.")] = "POST",
    tier: Annotated[str | None, typer.Option(help="Tier of the caller, for rules.")] = None,
    url: UrlOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print where the cost of a document comes from, and its verdict. Ends with 0 if accepted, 1 if refused.

    A hash is looked up in the manifest, then in the documents that the fleet trusts; with --url also in what that
    worker remembers.
    """
    with exit_on_error():
        given = _variables(variables)
        # Exactly one of the two must be given.
        if (query is None) == (log is None):
            raise ValueError("which document? A file, a query_hash, or --log LINE: one of them")
        text = (
            text_of(query, url=url, manifest=manifest)
            if query is not None
            else text_of_line(str(log), url=url, manifest=manifest)
        )
        settings = with_rules(Settings.load())
        head = RequestHead(path or settings.graphql_paths[0], method.upper(), tier)
        found = explain_document(text, settings, schema=schema, variables=given, head=head)
    print_json(explanation_as_json(found)) if as_json else print_text(render_explanation(found))
    raise typer.Exit(REFUSED if found.refusal else 0)


def _variables(text: str) -> dict[str, Any]:
    """The value of --variables. ValueError if it is no JSON object."""
    given = json.loads(text)
    if not isinstance(given, dict):
        raise ValueError(f"--variables={text} is no JSON object. Accepted: for example '{{\"first\": 20}}'")
    return given
