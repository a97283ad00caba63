"""Fixtures of pytest for apps that are guarded: ``guard`` and what it goes by.

Installed with the package. Nothing is made, read or imported of a guard unless a test asks for a fixture.
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
"""``guard(app, **options)``; ``middleware=`` mounts another one than Guard."""


@pytest.fixture
def guard_clock() -> ManualClock:
    """The clock of the guards of this test. It begins now, so that tokens made without it are valid, and stands still
    until ``guard_clock.advance(seconds)``."""
    from fraiseql_guard.testing.clock import ManualClock

    return ManualClock(time.time())


@pytest.fixture
def guard_settings() -> Mapping[str, Any]:
    """Options of every guard of this test; override this fixture with those of your app. Variables of the environment
    play no part: what a developer has set does not decide about a test."""
    return {}


@pytest.fixture
def guard(
    guard_clock: ManualClock,
    guard_settings: Mapping[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeGuard]:
    """Mounts a guard: ``probe = guard(app, rate_limit_default="1/minute")``. It goes by ``guard_clock``, keeps its
    limits in memory, and writes its log lines where ``probe.events()`` reads them."""
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
