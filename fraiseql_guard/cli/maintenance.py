"""``gc``, ``clear-caches`` and ``actions``: what every worker does at once, and what operators have done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fraiseql_guard.cli.connect import AsOption, UrlOption, ask
from fraiseql_guard.cli.durations import local_time
from fraiseql_guard.cli.errors import told
from fraiseql_guard.cli.output import tell
from fraiseql_guard.cli.render import JsonOption, print_json, print_rows


def gc(acting_as: AsOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Make every worker collect its garbage now."""
    with told():
        done = ask(url, lambda to: to.operator.collect_garbage(actor=to.actor), acting_as=acting_as)
    tell(done, as_json=as_json)


def clear_caches(acting_as: AsOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Make every worker forget its remembered documents, tokens and refusals, and the app's registered caches."""
    with told():
        done = ask(url, lambda to: to.operator.clear_caches(actor=to.actor), acting_as=acting_as)
    tell(done, as_json=as_json)


def actions(
    count: Annotated[int, typer.Option("--last", min=1, max=1000, help="How many.")] = 50,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what operators have done lately, the newest first."""
    with told():
        found = ask(url, lambda to: to.operator.actions(count))
    if as_json:
        print_json(found)
        return
    rows = [(local_time(each.at), each.actor, each.event, _fields(each.fields)) for each in found]
    print_rows(("at", "who", "what", "with"), rows, none="No operator has done anything lately.")


def _fields(fields: Mapping[str, Any]) -> str:
    """What says something: the actor stands in a column of its own."""
    said = {name: value for name, value in fields.items() if name != "actor" and value not in (None, "", False)}
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in said.items()
    )
