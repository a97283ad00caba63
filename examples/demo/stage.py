"""The demo's tools: ask as a user, watch a metric or the log move, and stop at the first broken expectation."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from examples.process import ExampleServer, Labels, Samples, sum_of
from fraiseql_guard.core.signals import Code, Event, Metric
from fraiseql_guard.testing import make_token

PATIENCE_SECONDS = 10.0
"""How long a signal may take to appear. It takes milliseconds; a busy machine takes longer."""


class ExpectationError(Exception):
    """What came back is not what the guard promises."""


class Stage:
    """One guarded server, and a printed record of what is done to it."""

    def __init__(self, server: ExampleServer, secret: str, console: Console, client: httpx.AsyncClient) -> None:
        self.server = server
        self._secret = secret
        self._console = console
        self._client = client

    def token(self, user: str, *, expires_in_seconds: int = 600) -> str:
        """A token that the server accepts, unless it has expired."""
        return make_token(self._secret, sub=user, expires_in_seconds=expires_in_seconds)

    def forged_token(self, user: str) -> str:
        """A token with a good form and a signature by another key."""
        return make_token(secrets.token_urlsafe(48), sub=user, expires_in_seconds=600)

    async def ask(self, document: str, *, address: str, token: str | None = None) -> httpx.Response:
        """Send a document as a client at ``address`` behind the (trusted) proxy that we play."""
        headers = {"X-Forwarded-For": address}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self._client.post("/graphql", json={"query": document}, headers=headers)

    def phase(self, title: str) -> Watch:
        """Begin a part: from now on the difference counts."""
        self._console.print()
        self._console.print(Text(title, style="bold"))
        return Watch(self)

    def say(self, label: str, text: str, style: str = "") -> None:
        """Print one line of the record."""
        self._console.print(Text.assemble((f"  {label:<10}", "dim"), (text, style)), soft_wrap=True)

    def show(self, answers: Sequence[httpx.Response]) -> None:
        """Print what came back, equal answers together."""
        for text, times in Counter(describe(answer) for answer in answers).items():
            style = "green" if text.startswith("2") else "yellow"
            self.say("came back", f"{times} x {text}" if times > 1 else text, style)


class Watch:
    """What moves from its beginning on."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._samples = stage.server.samples()
        self._lines = len(stage.server.log_lines())

    async def metric(self, metric: Metric, by: float, **labels: str) -> None:
        """Expect a metric to move by exactly so much, and show its series that moved."""
        name = metric.name
        after = self._samples

        def has_moved() -> bool:
            nonlocal after
            after = self._stage.server.samples()
            return sum_of(after, name, **labels) - sum_of(self._samples, name, **labels) == by

        if not await eventually(has_moved):
            seen = sum_of(after, name, **labels) - sum_of(self._samples, name, **labels)
            raise ExpectationError(f"{name} {labels or ''} should have moved by {by:g} and moved by {seen:g}")
        for key, difference in sorted(self._differences(after, name, labels), key=lambda pair: sorted(pair[0])):
            shown = ",".join(f'{label}="{value}"' for label, value in sorted(key))
            self._stage.say("metric", f"{name}{{{shown}}} +{difference:g}" if shown else f"{name} +{difference:g}")

    async def line(self, event: Event, **context: Any) -> None:
        """Expect a line of that event whose context has those values, and show it."""
        found: list[dict[str, Any]] = []

        def is_written() -> bool:
            lines = self._stage.server.log_lines()[self._lines :]
            found[:] = [line for line in lines if line["event"] == event.name and _has(line["context"], context)]
            return bool(found)

        if not await eventually(is_written):
            raise ExpectationError(f"no line {event.name} with {context} was written")
        self._stage.say("log", json.dumps(found[0], separators=(",", ":")), "cyan")

    def _differences(self, after: Samples, name: str, labels: dict[str, str]) -> list[tuple[Labels, float]]:
        changed = [(key, value - self._samples.get((name, key), 0)) for (n, key), value in after.items() if n == name]
        return [(key, value) for key, value in changed if value and set(labels.items()) <= key]


def describe(answer: httpx.Response) -> str:
    """Status, and of a refusal its code and numbers, without what differs from request to request."""
    body = answer.json()
    if answer.is_success:
        return f"{answer.status_code} {answer.text if len(answer.text) < 100 else answer.text[:97] + '...'}"
    extensions = body["errors"][0]["extensions"]
    numbers = [f"{name} {extensions[name]:g}" for name in ("limit", "actual") if extensions.get(name) is not None]
    return ", ".join([f"{answer.status_code} {extensions['code']}", *numbers])


def expect(answer: httpx.Response, code: Code | None = None) -> None:
    """Expect success, or a refusal with that code, its status and the request's id."""
    body = answer.json()
    if code is None:
        if answer.status_code != httpx.codes.OK or body.get("errors"):
            raise ExpectationError(f"expected 200 without errors, got {answer.status_code} {answer.text[:300]}")
        return
    extensions = (body.get("errors") or [{}])[0].get("extensions", {})
    if answer.status_code != code.status or extensions.get("code") != code.name or not extensions.get("requestId"):
        raise ExpectationError(
            f"expected {code.status} {code.name} with a requestId, got {answer.status_code} {answer.text[:300]}"
        )


def require(condition: bool, sentence: str) -> None:
    """Expect anything else."""
    if not condition:
        raise ExpectationError(sentence)


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    """Whether the condition comes true within our patience."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        result = condition()
        if result if isinstance(result, bool) else await result:
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)


def _has(context: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(context.get(name) == value for name, value in wanted.items())
