"""How long apps may work, and what becomes of their work when the client leaves, by kind and mode."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fraiseql_guard.asgi.timeout_policy import TimeoutPolicy, timeout_policies
from fraiseql_guard.core.settings import Mode, Settings


def settings_of(**options) -> Settings:
    return Settings.load({}, **options)


SETTINGS = settings_of(query_timeout=10, mutation_timeout=20)


def request(kind: str | None = "query", *, operation: bool = True, express_seconds: float | None = None):
    measured = SimpleNamespace(kind=kind) if kind else None
    return SimpleNamespace(operation=operation, measured=measured, express_seconds=express_seconds, rule=None)


@pytest.mark.parametrize(
    ("ctx", "settings", "expected"),
    [
        (request(), SETTINGS, TimeoutPolicy(10, stop_on_leave=True, binding=True)),
        (request("subscription"), SETTINGS, TimeoutPolicy(10, stop_on_leave=True, binding=True)),
        (request("mutation"), SETTINGS, TimeoutPolicy(20, binding=True)),
        (request(None), SETTINGS, TimeoutPolicy(20, binding=True)),
        (request("mutation"), settings_of(query_timeout=10), TimeoutPolicy(10, binding=True)),
        (request("mutation"), settings_of(query_timeout=10, cancel_mutations=True), TimeoutPolicy(10, True, True)),
        (request(express_seconds=1.0), SETTINGS, TimeoutPolicy(1.0, stop_on_leave=True, binding=True)),
        (request(express_seconds=11.0), SETTINGS, TimeoutPolicy(10, stop_on_leave=True, binding=True)),
        (request(operation=False), SETTINGS, TimeoutPolicy()),
        (request(operation=False), settings_of(request_timeout=5), TimeoutPolicy(5, binding=True)),
    ],
)
def test_each_kind_has_its_own(ctx, settings, expected) -> None:
    assert timeout_policies(settings, Mode.ENFORCE).of(ctx) == expected


@pytest.mark.parametrize("ctx", [request(), request("mutation"), request(operation=False), request(express_seconds=1)])
def test_in_monitor_mode_nothing_is_stopped_and_without_it_nothing_is_timed(ctx) -> None:
    settings = settings_of(query_timeout=10, request_timeout=5, cancel_mutations=True)
    watched = timeout_policies(settings, Mode.MONITOR).of(ctx)
    assert watched == TimeoutPolicy(timeout_policies(settings, Mode.ENFORCE).of(ctx).timeout_seconds)
    assert timeout_policies(settings, Mode.OFF).of(ctx) == TimeoutPolicy()
