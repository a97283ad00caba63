"""A guard under test, with its log lines and metrics, as an operator sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from fraiseql_guard.asgi.guard import Guard
from fraiseql_guard.asgi.middleware import Middleware
from fraiseql_guard.testing.clock import ManualClock
from fraiseql_guard.testing.exposition import Samples, samples_of


class GuardProbe:
    """Mounts ``middleware(app, **options)`` with the log file ``log_path``. Call the probe like the app.

    ``guard`` is the middleware itself, ``app`` the protected app.
    """

    def __init__(self, app: ASGIApp, log_path: Path, *, middleware: type[Middleware] = Guard, **options: Any) -> None:
        self.app: Any = app
        self.log_path = log_path
        self.guard: Any = middleware(app, log_file=log_path, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        await self.guard(scope, receive, send)

    def flush(self) -> None:
        """Write all deferred metrics and log lines now."""
        self.guard.flush()

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """The log lines so far, as parsed JSON: all, or only those of one event (``security.rate_limit``)."""
        self.flush()
        return [line for line in self.written_lines() if event is None or line["event"] == event]

    def written_lines(self) -> list[dict[str, Any]]:
        """The log lines in the file, as parsed JSON, without those that are still deferred (see :meth:`flush`)."""
        if not self.log_path.exists():
            return []
        return [json.loads(line) for line in self.log_path.read_text(encoding="utf-8").splitlines()]

    def exposition(self) -> str:
        """The text that Prometheus would scrape."""
        text: str = self.guard.recorder.metrics.render().decode()
        return text

    def metrics(self) -> Samples:
        """The parsed :attr:`exposition`: the samples by name, each with its labels."""
        return samples_of(self.exposition())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 without any sample."""
        return sum(each.value for each in self.metrics().get(name, ()) if labels.items() <= each.labels.items())

    @property
    def clock(self) -> ManualClock:
        """The ManualClock that the guard was given; TypeError if it runs on the real time."""
        clock = self.guard.mount_options.clock
        if not isinstance(clock, ManualClock):
            raise TypeError("this guard goes by the real time: give it a clock, Guard(app, clock=ManualClock())")
        return clock

    def advance(self, seconds: float) -> None:
        """Move the guard's clock by ``seconds`` (ManualClock.advance)."""
        self.clock.advance(seconds)

    async def reset(self) -> None:
        """Begin anew (Guard.reset): all buckets are full, and only operators' blocks are in force."""
        await self.guard.reset()

    def close(self) -> None:
        """Close the log. Connections to Redis end with their event loop."""
        self.guard.recorder.log.close()
