"""``fraiseql-guard demo``: sends good and bad requests to a guarded GraphQL app in this process, and shows the answers.

It opens no port and needs no configuration: the requests go to the app directly, and the store is memory.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import httpx
import typer
from graphql import build_schema, graphql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fraiseql_guard.asgi.guard import Guard
from fraiseql_guard.cli.errors import REFUSED
from fraiseql_guard.cli.render import JsonOption, print_json, print_line
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import REFUSALS
from fraiseql_guard.testing import make_token

_SCHEMA: Final = """
type Query { me: User! users(limit: Int = 10): [User!]! slow(seconds: Float!): Boolean! }
type User { name: String! friend: User! }
"""
_RATE, _FORGERIES = 6, 3
_OPTIONS: Final[Mapping[str, Any]] = {
    "rate_limit_authenticated": f"{_RATE}/minute",
    "rate_limit_burst": 0,
    "max_query_depth": 5,
    "query_timeout": 0.5,
    "brute_force_offences": _FORGERIES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """Some requests of one caller. ``token`` is good, forged or none; ``ends`` is the expected status of the last
    answer."""

    title: str
    document: str
    address: str
    ends: int
    token: str = "good"  # noqa: S105 - a word, not a secret
    times: int = 1


_ME: Final = "{ me { name } }"
_ACTS: Final = (
    _Act(title="an ordinary query", document=_ME, address="198.51.100.1", ends=200),
    _Act(title="no token", document=_ME, address="198.51.100.2", token="none", ends=401),  # noqa: S106
    _Act(title="forged tokens, again and again", document=_ME, address="203.0.113.66", token="forged", ends=403,  # noqa: S106
         times=_FORGERIES + 1),
    _Act(title="a query too deep", document="{ me" + " { friend" * 6 + " { name }" + " }" * 6 + " }",
         address="198.51.100.3", ends=400),
    _Act(title="a query too expensive", document="{ users(limit: 900) { friend { friend { name } } } }",
         address="198.51.100.4", ends=400),
    _Act(title="one user too fast", document=_ME, address="198.51.100.5", ends=429, times=_RATE + 2),
    _Act(title="a query too slow", document="{ slow(seconds: 20) }", address="198.51.100.6", ends=504),
)  # fmt: skip


class _Root:
    """The values that the schema's fields resolve to."""

    name = "Ada"

    @property
    def friend(self) -> _Root:
        return self

    me = friend

    def users(self, _info: Any, limit: int) -> Sequence[_Root]:
        return [self] * limit

    async def slow(self, _info: Any, seconds: float) -> bool:
        await asyncio.sleep(seconds)
        return True


def demo(as_json: JsonOption = False) -> None:
    """Ask a small guarded app well and badly, in this process, and show what comes back and what was counted."""
    with tempfile.TemporaryDirectory(prefix="fraiseql-guard-demo-") as folder:
        played, counted = asyncio.run(_play(Path(folder)))
    if as_json:
        print_json({"acts": played, "refusals": counted})
    else:
        _show(played, counted)
    raise typer.Exit(0 if all(act["as_expected"] for act in played) else REFUSED)


async def _play(folder: Path) -> tuple[list[dict[str, Any]], dict[str, float]]:
    secret = secrets.token_urlsafe(48)
    # The variables of the environment are not read.
    settings = Settings.load({}, **_OPTIONS, jwt_secret=secret, log_file=folder / "app.log")
    guard = Guard(_app(), settings=settings)
    # One after the other, in the order of the table, with a caller for each act: no act's limit meets another.
    played = [await _act(guard, act, f"caller-{number}", secret) for number, act in enumerate(_ACTS)]
    counted = _counted(guard)
    await guard.aclose()
    return played, counted


def _counted(guard: Guard) -> dict[str, float]:
    """The number of refusals by code. Series that are still 0 are left out."""
    samples = chain.from_iterable(family.samples for family in guard.registry.collect())
    return {each.labels["code"]: each.value for each in samples if each.name == REFUSALS.name and each.value}


async def _act(guard: Guard, act: _Act, user: str, secret: str) -> dict[str, Any]:
    # A forged token is signed with another key.
    key = {"good": secret, "forged": secrets.token_urlsafe(48)}.get(act.token)
    headers = {} if key is None else {"Authorization": f"Bearer {make_token(key, sub=user, expires_in_seconds=600)}"}
    # ASGITransport calls the app in this process, with the address that the act names as its peer.
    transport = httpx.ASGITransport(app=guard, client=(act.address, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://demo", headers=headers) as client:
        answers = [await client.post("/graphql", json={"query": act.document}) for _ in range(act.times)]
    return {
        "title": act.title,
        "document": act.document,
        "statuses": [answer.status_code for answer in answers],
        "answer": answers[-1].json(),
        "as_expected": answers[-1].status_code == act.ends,
    }


def _show(played: Sequence[Mapping[str, Any]], counted: Mapping[str, float]) -> None:
    for act in played:
        print_line("")
        print_line(f"{act['title']}: {act['document']}")
        print_line(f"  {_times(act['statuses'])}  {_said(act['answer'])}")
    print_line("")
    print_line(f"counted in {REFUSALS.name}: " + ", ".join(f"{code} {value:g}" for code, value in counted.items()))
    good = all(act["as_expected"] for act in played)
    print_line("everything came back as promised" if good else "NOT EVERYTHING CAME BACK AS PROMISED")


def _times(statuses: Sequence[int]) -> str:
    """The statuses, each once with its number: ``200``, ``401 (3 times)``."""
    counts = Counter(statuses).items()
    return ", ".join(f"{status} ({count} times)" if count > 1 else str(status) for status, count in counts)


def _said(answer: Mapping[str, Any]) -> str:
    if "errors" not in answer:
        return json.dumps(answer)
    error = answer["errors"][0]
    numbers = [f"{name} {error['extensions'][name]:g}" for name in ("limit", "actual") if name in error["extensions"]]
    return " ".join([error["extensions"]["code"], *numbers, "-", error["message"]])


def _app() -> Starlette:
    schema = build_schema(_SCHEMA)

    async def answer(request: Request) -> Response:
        asked = await request.json()
        result = await graphql(schema, asked["query"], root_value=_Root(), variable_values=asked.get("variables"))
        return JSONResponse(result.formatted)

    return Starlette(routes=[Route("/graphql", answer, methods=["POST"])])
