"""``gc``, ``clear-caches`` and ``actions``: commands to every worker, and the list of what operators have done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from fraiseql_guard.cli.connect import AsOption, UrlOption, ask
from fraiseql_guard.cli.durations import local_time
from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.output import print_done
from fraiseql_guard.cli.render import JsonOption, print_list
from fraiseql_guard.operations.operator.shared_values import Action


def gc(acting_as: AsOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Make every worker collect its garbage now."""
    with exit_on_error():
        done = ask(url, lambda fleet: fleet.operator.collect_garbage(actor=fleet.actor), acting_as=acting_as)
    print_done(done, as_json=as_json)


def clear_caches(acting_as: AsOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Make every worker forget its remembered documents, tokens and refusals, and the app's registered caches."""
    with exit_on_error():
        done = ask(url, lambda fleet: fleet.operator.clear_caches(actor=fleet.actor), acting_as=acting_as)
    print_done(done, as_json=as_json)


def actions(
    count: Annotated[int, typer.Option("--last", min=1, max=1000, help="How many.")] = 50,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what operators have done lately, the newest first."""
    with exit_on_error():
        found = ask(url, lambda fleet: fleet.operator.actions(count))
    none = "No operator has done anything lately."
    print_list(found, ("at", "who", "what", "with"), _row, none=none, as_json=as_json)


def _row(each: Action) -> Sequence[object]:
    return local_time(each.at), each.actor, each.event, _fields(each.fields)


def _fields(fields: Mapping[str, Any]) -> str:
    """The fields of an action that are not empty; the actor has a column of its own."""
    # False is left out like an empty field; 0 equals False and is left out as well.
    said = {name: value for name, value in fields.items() if name != "actor" and value not in (None, "", False)}
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in said.items()
    )
