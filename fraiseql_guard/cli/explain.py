"""``fraiseql-guard explain``: where the cost of a document comes from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fraiseql_guard.cli.support import ERROR, REFUSED
from fraiseql_guard.explain import as_json as explanation_as_json
from fraiseql_guard.explain import explain as explain_document
from fraiseql_guard.explain import render as render_explanation
from fraiseql_guard.settings import Settings


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
        raise typer.Exit(ERROR) from None
    print(json.dumps(explanation_as_json(found), indent=2) if as_json else render_explanation(found))
    raise typer.Exit(REFUSED if found.refusal else 0)
