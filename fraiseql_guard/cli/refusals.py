"""``fraiseql-guard why``: explains why a request was refused, and what would help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer

from fraiseql_guard.cli.connect import UrlOption, ask
from fraiseql_guard.cli.durations import local_time
from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.render import JsonOption, print_facts, print_json, print_list
from fraiseql_guard.operations.operator.shared_values import Refusal

_HEADERS: Final = ("at", "request", "code", "status", "user", "address", "endpoint")


def why(
    request_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[REQUEST_ID]",
            help="From the X-Request-ID header or the refusal's body; without one, the last refusals are listed.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option("--last", min=1, max=1000, help="How many to list.")] = 20,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a request was refused and what would help, while it is among the recent ones."""
    with exit_on_error():
        if request_id is None:
            found_all = ask(url, lambda fleet: fleet.operator.refusals(count))
            print_list(found_all, _HEADERS, _row, none="No recent refusals.", as_json=as_json)
            return
        found = ask(url, lambda fleet: fleet.operator.why(request_id))
    if as_json:
        print_json(found)
        return
    print_facts(_facts(found))


def _row(each: Refusal) -> Sequence[object]:
    return local_time(each.at), each.request_id, each.code, each.status, each.user_id, each.ip_address, each.endpoint


def _facts(found: Refusal) -> Iterator[tuple[str, object]]:
    """The facts of a refusal with their labels, the most important first. Unknown facts are left out."""
    verb = "refused" if found.enforced else "would have been refused (monitor mode)"
    yield "what", f"{found.method} {found.endpoint} {verb}: {found.status} {found.code} ({found.protection})"
    yield "why", found.detail or found.message
    # Some refusals have only a limit, some only the request's number.
    if numbers := [f"{each:g}" for each in (found.actual, found.limit) if each is not None]:
        yield "numbers", " of ".join(numbers)
    yield "when", local_time(found.at)
    yield "who", f"{found.user_id} at {found.ip_address}"
    further = {
        "counted by": found.limit_key,
        "path": found.path,
        "operation": found.operation,
        "rule": found.rule,
        "document": found.query_hash,
        "trace": found.trace_id,
        "worker": found.worker,
        "retry after": None if found.retry_after_seconds is None else f"{found.retry_after_seconds:g} s",
        "what helps": found.remedy,
    }
    yield from ((label, value) for label, value in further.items() if value)
