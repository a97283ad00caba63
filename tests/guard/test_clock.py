"""A guard that is given a clock: time passes for all of it when a test says so, and for nothing else."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import OrderedDict, deque
from functools import partial
from pathlib import Path
from types import CellType, FunctionType, MappingProxyType, MethodType
from typing import Any

import pytest

from fraiseql_guard import Guard, RateLimitMiddleware
from fraiseql_guard.core.settings import SettingsError
from fraiseql_guard.core.watched_file import LOOK_AGAIN_SECONDS
from fraiseql_guard.testing import ManualClock, make_token
from tests.support.asgi import EchoApp, graphql, request

CONTAINERS = (dict, list, tuple, set, frozenset, deque, OrderedDict, MappingProxyType, partial, MethodType, CellType)


@pytest.mark.parametrize("middleware", [Guard, RateLimitMiddleware])
async def test_a_limit_refills_when_time_passes(guarded, clock, middleware) -> None:
    guard = guarded(EchoApp(), middleware, clock=clock, rate_limit_default="1/minute", rate_limit_burst=0)
    assert [(await request(guard, "GET", "/page")).status for _ in range(3)] == [200, 429, 429]
    guard.advance(60)
    assert [(await request(guard, "GET", "/page")).status for _ in range(3)] == [200, 429, 429]


async def test_a_refusal_names_a_moment_of_the_clock(guarded) -> None:
    guard = guarded(clock=ManualClock(1_000.0), rate_limit_default="1/minute", rate_limit_burst=0)
    assert (await graphql(guard, "{me{id}}")).header("x-ratelimit-reset") == "1060"


async def test_a_sanction_ends_when_its_time_is_over(guarded, clock, secret) -> None:
    guard = guarded(clock=clock, jwt_secret=secret, brute_force_offences=2, brute_force_block_seconds=300)
    forged = make_token("x" * 40, sub="alice")
    assert [(await graphql(guard, "{me{id}}", token=forged)).status for _ in range(3)] == [401, 401, 403]
    guard.advance(299)
    assert (await graphql(guard, "{me{id}}", token=forged)).status == 403
    guard.advance(2)
    assert (await graphql(guard, "{me{id}}", token=forged)).status == 401


async def test_a_token_is_good_as_long_as_the_clock_says(guarded, secret) -> None:
    clock = ManualClock()
    guard = guarded(clock=clock, jwt_secret=secret)
    token = make_token(secret, sub="alice", expires_in_seconds=600, clock=clock)
    assert (await graphql(guard, "{me{id}}", token=token)).status == 200
    guard.advance(601)
    assert (await graphql(guard, "{me{id}}", token=token)).status == 401


async def test_a_secret_in_a_file_is_read_again_when_time_passes(guarded, clock, secret, monkeypatch, tmp_path) -> None:
    path, later = tmp_path / "secret", "another-hmac-secret-of-more-than-thirty-two-bytes"
    path.write_text(secret)
    monkeypatch.setenv("FRAISEQL_JWT_SECRET_FILE", str(path))
    guard = guarded(clock=clock)
    path.write_text(later)
    assert (await graphql(guard, "{me{id}}", token=make_token(later, sub="alice"))).status == 401
    guard.advance(LOOK_AGAIN_SECONDS)
    assert (await graphql(guard, "{me{id}}", token=make_token(later, sub="alice"))).status == 200


async def test_log_lines_carry_the_time_of_the_clock(guarded) -> None:
    guard = guarded(clock=ManualClock(0.0))
    await request(guard, "GET", "/page")
    assert {line["timestamp"][:16] for line in guard.lines()} == {"1970-01-01T00:00"}


async def test_a_deadline_does_not_wait_for_the_clock(guarded, clock) -> None:
    guard = guarded(EchoApp(seconds=30), clock=clock, query_timeout=0.05)
    assert (await graphql(guard, "{me{id}}")).code == "QUERY_TIMEOUT"


async def test_guards_that_become_one_have_one_clock(clock, tmp_path) -> None:
    options = {"rate_limit_default": "1/minute", "rate_limit_burst": 0, "log_file": tmp_path / "log"}
    guard = Guard(RateLimitMiddleware(EchoApp(), clock=clock, **options))
    assert [(await request(guard, "GET", "/page")).status for _ in range(2)] == [200, 429]
    clock.advance(60)
    assert (await request(guard, "GET", "/page")).status == 200
    await guard.aclose()


def test_guards_that_become_one_cannot_have_two_clocks() -> None:
    with pytest.raises(SettingsError, match="two different clock objects"):
        Guard(RateLimitMiddleware(EchoApp(), clock=ManualClock()), clock=ManualClock())


def test_a_guard_that_is_flushed_has_told_everything(guarded) -> None:
    guard = guarded()
    asyncio.run(request(guard, "GET", "/page"))
    assert "http.request" not in {line["event"] for line in guard.written_lines()}
    guard.guard.flush()
    assert "http.request" in {line["event"] for line in guard.written_lines()}


# --- no part is forgotten --------------------------------------------------------------------------------------------


def is_ours(each: object) -> bool:
    return type(each).__module__.startswith("fraiseql_guard")


def held_by(each: object) -> list[object]:
    """What an object refers to; of a function only what it was made with."""
    if isinstance(each, FunctionType):
        return [*(each.__closure__ or ())]
    found = gc.get_referents(each)
    return [*found, *vars(each).values()] if hasattr(each, "__dict__") and is_ours(each) else found


def parts_with_a_real_clock(guard: Guard) -> set[str]:
    """The classes of ours of which an object in or behind a guard holds a clock of the process."""
    seen: dict[int, object] = {id(guard): guard}
    waiting: list[object] = [guard]
    found: set[str] = set()
    while waiting:
        each = waiting.pop()
        for other in held_by(each):
            if is_ours(each) and (other is time.time or other is time.monotonic):
                found.add(type(each).__name__)
            follow = is_ours(other) or isinstance(other, (*CONTAINERS, FunctionType))
            if follow and not isinstance(other, type) and id(other) not in seen:
                seen[id(other)] = other
                waiting.append(other)
    return found


async def user_status(_: object) -> str:
    return "active"


async def api_keys(_: str) -> None:
    """Knows none."""


def everything(folder: Path, **more: Any) -> Guard:
    """A guard with all parts that there are, but Redis."""
    for name, text in {
        "documents": '{"n": "{me{id}}"}',
        "allowed": "[]",
        "keys": "[]",
        "overrides": "{}",
        "secret": "s" * 32,
    }.items():
        (folder / name).write_text(text)
    return Guard(
        EchoApp(), jwks_url="http://127.0.0.1:1/", user_status=user_status, admin_tokens=f"oncall={'t' * 32}",
        apq=True, trusted_documents="allow", trusted_documents_file=folder / "documents",
        api_keys=api_keys, api_keys_file=folder / "keys", allow_list_file=folder / "allowed",
        overrides_file=folder / "overrides", log_file=folder / "log", **more,
    )  # fmt: skip


def test_all_parts_read_the_clock_that_a_guard_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAISEQL_JWT_SECRET_FILE", str(tmp_path / "secret"))
    real = parts_with_a_real_clock(everything(tmp_path))
    assert {
        "MemoryStore",
        "TokenVerifier",
        "EventLog",
        "OverridesWatch",
        "JwksUrl",
        "HeartbeatTask",
        "ApiKeyVerifier",
        "ApiKeyQuestions",
    } <= real
    still = parts_with_a_real_clock(everything(tmp_path, clock=ManualClock()))
    assert still == {"FileSink"}  # which looks whether its file was moved
