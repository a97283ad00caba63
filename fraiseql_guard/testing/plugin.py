"""Pytest fixtures for tests of guarded apps: ``guard``, with its clock and its settings.

pytest finds them once the package is installed. No guard is made or imported unless a test uses a fixture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fraiseql_guard.asgi.middleware import Middleware
    from fraiseql_guard.testing.clock import ManualClock
    from fraiseql_guard.testing.probe import GuardProbe

MakeGuard = Callable[..., "GuardProbe"]
"""``guard(app, **options)`` mounts Guard, or the class given as ``middleware``, and returns its probe."""


@pytest.fixture
def guard_clock() -> ManualClock:
    """The clock of the guards of this test. It begins at the present time, so that tokens made by the real clock are
    valid, and stands still until ``guard_clock.advance(seconds)``."""
    from fraiseql_guard.testing.clock import ManualClock

    return ManualClock(time.time())


@pytest.fixture
def guard_settings() -> Mapping[str, Any]:
    """Options of every guard of this test; override this fixture with your app's. The variables of the environment are
    ignored, so that a developer's settings do not change a test."""
    return {}


@pytest.fixture
def guard(
    guard_clock: ManualClock,
    guard_settings: Mapping[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeGuard]:
    """Mounts a guard: ``probe = guard(app, rate_limit_default="1/minute")``. It runs on ``guard_clock``, keeps its
    limits in memory, and writes its log lines to a file that ``probe.events()`` reads."""
    from fraiseql_guard.asgi.guard import Guard
    from fraiseql_guard.core.settings import VARIABLES
    from fraiseql_guard.testing.probe import GuardProbe

    for row in VARIABLES:
        for name in (row.name, f"{row.name}_FILE"):
            monkeypatch.delenv(name, raising=False)
    made: list[GuardProbe] = []

    def mount(app: Any, *, middleware: type[Middleware] = Guard, **options: Any) -> GuardProbe:
        given = {"environment": "test", "clock": guard_clock, **guard_settings, **options}
        made.append(GuardProbe(app, tmp_path / f"guard-{len(made)}.log", middleware=middleware, **given))
        return made[-1]

    yield mount
    for probe in made:
        probe.close()
