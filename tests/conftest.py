"""A guard in front of an app, with its log in a file and its metrics at hand."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from fraiseql_guard import Guard
from fraiseql_guard.testing import GuardProbe, ManualClock
from tests.support.asgi import EchoApp
from tests.support.properties import forget_the_modules, register_profiles
from tests.support.waiting import until

register_profiles()

# What a shell starts in the background ignores interrupts, and so does all that it starts in its turn: servers, drills
# and commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SECRET = "an-hmac-secret-of-at-least-thirty-two-bytes"

WAIT_LONGEST = (
    "tests/drills/test_drills.py",
    "tests/live/test_watching.py",
    "tests/live/test_runbooks_index.py",
    "tests/cli/test_actions.py",
    "tests/drills/test_commands.py",
    "tests/live/test_redis_faults.py",
    "tests/live/test_redis_faults_processes.py",
    "tests/live/test_fraiseql_database.py",
    "tests/live/test_fraiseql.py",
    "tests/live/test_fraiseql_subscriptions.py",
    "tests/live/test_fraiseql_sockets.py",
    "tests/live/test_sockets_numbers.py",
    "tests/audit/test_guarded_socket_clients.py",
    "tests/audit/test_socket_clients.py",
    "tests/telemetry/metrics/test_multiprocess.py",
    "tests/cli/test_looks.py",
    "tests/browser/test_console.py",
    "tests/live/test_http_servers.py",
    "tests/docs/test_walks.py",
    "tests/examples/test_deploy_running.py",
    "tests/live/test_proxies.py",
    "tests/guard/test_fleet.py",
    "tests/guard/test_innocent.py",
)
"""Files that wait for servers, alerts and limits to run out. Started first, they wait beside those that compute."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put WAIT_LONGEST first, in its order; a file stays together, for its fixtures start once."""
    if settings.get_current_profile_name() != "fuzz":
        forget_the_modules()
    places = {path: place for place, path in enumerate(WAIT_LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


class Guarded(GuardProbe):
    """A guard under test, and what the guard's own tests look at beside what every test may."""

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """The log lines so far, all or those of one event."""
        return self.events(event)

    async def heard(self) -> None:
        """Until what operators have told the store holds here."""
        control = self.guard.runtime.control
        control.ensure_polling()
        latest = await self.store.overrides.read(-1)
        await until(lambda: control.in_force.version == latest.version)

    @property
    def store(self) -> Any:
        """Where the limits are counted: what another worker of the fleet would write to."""
        return self.guard.runtime.store


@pytest.fixture(autouse=True)
def _no_variables_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The environment of a fresh machine; what a guard logs goes to a file, not between pytest's dots."""
    for name in list(os.environ):
        if name.startswith("FRAISEQL_") or name in ("WEB_CONCURRENCY", "PROMETHEUS_MULTIPROC_DIR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FRAISEQL_GUARD_LOG_FILE", str(tmp_path_factory.getbasetemp() / "guards.log"))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Callable[..., Guarded]]:
    """Mount a guard: ``guarded(app, middleware=Guard, **options)``."""
    made: list[Guarded] = []

    def mount(app: Any = None, middleware: Any = Guard, **options: Any) -> Guarded:
        app = app if app is not None else EchoApp()
        path = tmp_path / f"guard-{len(made)}.log"
        made.append(Guarded(app, path, middleware=middleware, **options))
        return made[-1]

    yield mount
    for each in made:
        each.close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock for ``guarded(app, clock=clock)`` that begins now, so that tokens made without it are valid, and stands
    still until ``guard.advance(seconds)``."""
    return ManualClock(time.time())


@pytest.fixture
def secret() -> str:
    """A key to sign tokens with."""
    return SECRET
