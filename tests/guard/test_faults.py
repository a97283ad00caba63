"""Whatever of ours breaks, and whichever protections enforce: a request gets no more than if nothing had broken."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fraiseql_guard import AuthMiddleware, Guard, QueryLimitMiddleware, QueryTimeoutMiddleware, RateLimitMiddleware
from fraiseql_guard.asgi.logins import logins
from fraiseql_guard.checks.lockouts import Lockout
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName, Protection
from fraiseql_guard.identity.tokens import TokenVerifier
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.stores.protocol import AdmitRequest
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET, Guarded
from tests.support.asgi import EchoApp, Reply, graphql, request

MODED = ("rate_limit", "auth", "query_limits", "timeout")
DEEP = "{a{b{c{d{e{f{g{h{i{j{k{l}}}}}}}}}}}}"
FORGED = make_token("x" * 40, sub="alice")
ALICE, MALLORY = make_token(SECRET, sub="alice"), make_token(SECRET, sub="mallory")
UNKNOWN_KEY = make_token("y" * 40, sub="alice")
REQUESTS: Mapping[str, Callable[[Any], Any]] = {
    "good": lambda guard: graphql(guard, "{me{id}}", token=ALICE),
    "no token": lambda guard: graphql(guard, "{me{id}}"),
    "forged": lambda guard: graphql(guard, "{me{id}}", token=FORGED),
    "disabled": lambda guard: graphql(guard, "{me{id}}", token=MALLORY),
    "public": lambda guard: graphql(guard, "mutation{login{token}}"),
    "too deep": lambda guard: graphql(guard, DEEP, token=ALICE),
    "no JSON": lambda guard: request(guard, body=b"not json", token=ALICE),
    "another method": lambda guard: request(guard, "PUT", body=b"x", token=ALICE),
    "page": lambda guard: request(guard, "GET", "/page"),
    "page with a token": lambda guard: request(guard, "GET", "/page", token=MALLORY),
    "blocked network": lambda guard: graphql(guard, "{me{id}}", token=ALICE, client=("198.51.100.7", 1)),
    "blocked document": lambda guard: graphql(guard, "query Export{me{id}}", token=ALICE),
    "metrics": lambda guard: request(guard, "GET", "/metrics", client=("198.51.100.9", 1)),
    "admin": lambda guard: request(guard, "GET", "/admin/blocks", token="x" * 40),
}


async def user_status(identity: Any) -> str:
    return "disabled" if identity.user_id == "mallory" else "active"


class Broken:
    """Stands for a part of ours, and breaks whatever it is asked."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if name in ("decide", "fetch_keys", "check_user", "admit", "remembered", "learn", "verify", "read_body"):
            return self.breaks
        return getattr(self._real, name)

    def breaks(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug of ours")


def replace_check(number: int, kind: str) -> Callable[[Guarded], None]:
    def break_it(guard: Guarded) -> None:
        checks = list(getattr(guard.guard.runtime, kind))
        if number < len(checks):
            checks[number] = Broken(checks[number])
            object.__setattr__(guard.guard.runtime, kind, tuple(checks))

    return break_it


def replace_part(name: str) -> Callable[[Guarded], None]:
    def break_it(guard: Guarded) -> None:
        part = getattr(guard.guard.runtime, name)
        if part is not None:
            object.__setattr__(guard.guard.runtime, name, Broken(part))

    return break_it


def break_store(guard: Guarded) -> None:
    async def admit(request: AdmitRequest) -> Any:
        raise RuntimeError("a bug of the store's")

    object.__setattr__(guard.guard.runtime.store, "admit", admit)


def break_recorder(guard: Guarded) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug of the recorder's")

    recorder = guard.guard.runtime.recorder
    for name in ("refused", "would_refuse", "imposed", "account", "authenticated", "fault", "refused_by_app"):
        setattr(recorder, name, breaks)


PARTS: Mapping[str, Callable[[Guarded], None]] = {
    **{f"head check {number}": replace_check(number, "head_checks") for number in range(5)},
    **{f"body check {number}": replace_check(number, "body_checks") for number in range(6)},
    "token check": replace_part("token_check"),
    "async authentication": replace_part("async_authentication"),
    "admission": replace_part("admission"),
    "heads": lambda guard: (
        setattr(guard.guard.runtime.head_cache, "learn", Broken(None).breaks)
        if hasattr(guard.guard.runtime.head_cache, "__dict__")
        else replace_part("head_cache")(guard)
    ),
    "store": break_store,
    "recorder": break_recorder,
}
MOUNTS: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    **{
        "+".join(name for name, mode in zip(MODED, modes, strict=True) if mode == "enforce") or "nothing": (
            Guard,
            {f"mode_{name}": mode for name, mode in zip(MODED, modes, strict=True)},
        )
        for modes in itertools.product(("enforce", "monitor"), repeat=len(MODED))
    },
    "AuthMiddleware": (AuthMiddleware, {}),
    "RateLimitMiddleware": (RateLimitMiddleware, {}),
    "QueryLimitMiddleware": (QueryLimitMiddleware, {}),
    "QueryTimeoutMiddleware": (QueryTimeoutMiddleware, {}),
}
ENFORCES_NOTHING = {"nothing"}


async def mounted(guarded: Any, mount: str) -> Guarded:
    middleware, options = MOUNTS[mount]
    common: dict[str, Any] = {"jwt_secret": SECRET, "public_operations": "login", "user_status": user_status}
    if middleware is Guard:
        common |= {"admin_tokens": f"oncall={'t' * 40}", "cost_budgets": "default=100000"}
    guard = guarded(EchoApp(), middleware, **common, **options)
    store = guard.guard.runtime.store
    await store.overrides.put(Override(OverrideKind.BLOCK, "198.51.100.0/29", 600))
    await store.overrides.put(Override(OverrideKind.OPERATION, "Export", 600))
    await guard.guard.runtime.control.refresh()
    return guard


async def outcomes(guard: Guarded) -> dict[str, tuple[bool, bool]]:
    """Of each request: whether it reached the app, and as which user."""
    found = {}
    for name, ask in REQUESTS.items():
        before = len(guard.app.scopes)
        reply: Reply = await ask(guard)
        reached = len(guard.app.scopes) > before or (reply.status == 200 and name in ("metrics", "admin"))
        known = reached and bool(guard.app.scopes) and "user" in guard.app.scopes[-1]
        found[name] = (reached, known and guard.app.scopes[-1]["user"].is_authenticated)
        assert reply.status, name
    return found


@pytest.mark.parametrize("mount", MOUNTS)
async def test_no_fault_gives_a_request_more_than_it_would_have_had(guarded: Any, mount: str) -> None:
    sound = await outcomes(await mounted(guarded, mount))
    for part, break_it in PARTS.items():
        guard = await mounted(guarded, mount)
        break_it(guard)
        for name, (reached, known) in (await outcomes(guard)).items():
            assert not reached or sound[name][0], f"{name} passes once the {part} breaks"
            assert not known or sound[name][1], f"{name} is somebody once the {part} breaks"
        if mount in ENFORCES_NOTHING or part == "recorder":
            continue
        if part in ("store", "admission") and mount != "QueryTimeoutMiddleware":
            again = await graphql(guard, "{me{id}}", token=ALICE)
            assert (again.status, again.code) == (503, "GUARD_FAULT"), f"unchecked requests pass once the {part} breaks"


@pytest.mark.parametrize("part", PARTS)
async def test_where_nothing_is_enforced_no_fault_refuses(guarded: Any, part: str) -> None:
    guard = await mounted(guarded, "nothing")
    PARTS[part](guard)
    broken = [check for check in guard.guard.runtime.head_checks if isinstance(check, Broken)]
    always = any(check.protection in (Protection.METRICS, Protection.ADMIN) for check in broken)
    assert (await graphql(guard, "{me{id}}", token=ALICE)).status == (503 if always else 200)
    assert (await request(guard, "GET", "/admin/blocks", token="x" * 40)).status in (401, 503)


async def test_a_fault_is_told_in_the_name_of_what_refuses(guarded: Any) -> None:
    guard = await mounted(guarded, "auth")
    replace_check(0, "body_checks")(guard)  # that measures, for the query limits
    assert (await graphql(guard, "{me{id}}", token=ALICE)).code == "GUARD_FAULT"
    refusals = "fraiseql_guard_refusals_total"
    assert guard.metric(refusals, code="GUARD_FAULT", protection="auth") == 1
    assert guard.metric(refusals, code="GUARD_FAULT") == 1


# --- what one protection decides leans on no other -------------------------------------------------------------------


@pytest.mark.parametrize("middleware", [AuthMiddleware, QueryLimitMiddleware, RateLimitMiddleware, Guard])
async def test_any_protection_that_sanctions_enforces_an_operators_block(guarded: Any, middleware: Any) -> None:
    guard = guarded(EchoApp(), middleware, jwt_secret=SECRET)
    assert (await graphql(guard, "{me{id}}", token=ALICE)).status == 200
    await guard.guard.runtime.operator.block(Target(ip_address="203.0.113.7"), duration_seconds=60)
    await guard.guard.runtime.control.refresh()
    assert (await graphql(guard, "{me{id}}", token=ALICE)).code == "BLOCKED"
    await guard.guard.runtime.operator.lift(Target(ip_address="203.0.113.7"))
    await guard.guard.runtime.control.refresh()
    subject = Subject("user", '[null,null,"alice"]')
    await guard.guard.runtime.store.sanctions.impose(Sanction(subject, PolicyName.OPERATOR, 600))
    blocked = (await graphql(guard, "{me{id}}", token=ALICE)).status == 403
    assert blocked is (middleware in (AuthMiddleware, Guard))  # the others know no users


@pytest.mark.parametrize("policy", [PolicyName.DOS, PolicyName.RATE_LIMIT_ABUSE, PolicyName.BRUTE_FORCE])
async def test_a_block_that_another_protection_is_in_charge_of_opens_nothing(guarded: Any, policy: PolicyName) -> None:
    """Others on the same store may have imposed it."""
    guard = guarded(EchoApp(), AuthMiddleware, jwt_secret=SECRET)
    await guard.guard.runtime.store.sanctions.impose(Sanction(Subject("address", "203.0.113.7"), policy, 600))
    for number in range(40):
        token = make_token("x" * 40, sub=f"u{number}")
        assert (await graphql(guard, "{me{id}}", token=token)).status in (401, 403)
    assert guard.app.bodies == []
    assert (await graphql(guard, "{me{id}}", token=ALICE)).status in (200, 403)


@pytest.mark.parametrize(("policy", "monitored"), [(PolicyName.BRUTE_FORCE, "auth"), (PolicyName.DOS, "query_limits")])
async def test_a_block_that_is_not_enforced_frees_nobody_of_the_rate(
    guarded: Any, policy: PolicyName, monitored: str
) -> None:
    guard = guarded(
        jwt_secret=SECRET, rate_limit_default="5/hour", rate_limit_burst=0, **{f"mode_{monitored}": "monitor"},
        auth_required=False,
    )  # fmt: skip
    await guard.guard.runtime.store.sanctions.impose(Sanction(Subject("address", "203.0.113.7"), policy, 600))
    token = FORGED if monitored == "auth" else None
    statuses = [(await graphql(guard, "{me{id}}", token=token)).status for _ in range(12)]
    assert statuses == [200] * 5 + [429] * 7


async def test_guesses_at_the_operators_door_are_slowed_and_blocked_without_any_key(guarded: Any) -> None:
    guard = guarded(admin_tokens=f"oncall={'t' * 40}", rate_limit_default="1000/hour", brute_force_offences=3)
    statuses = [(await request(guard, "GET", "/admin/blocks", token="x" * 40)).status for _ in range(6)]
    assert statuses == [401] * 3 + [403] * 3
    assert (await request(guard, "GET", "/admin/blocks", token="t" * 40)).status == 200
    assert (await request(guard, "GET", "/page")).status == 200


async def test_a_rate_that_is_only_watched_keeps_no_offence_from_being_counted(guarded: Any) -> None:
    guard = guarded(
        jwt_secret=SECRET, mode_rate_limit="monitor", rate_limit_default="1/hour", rate_limit_burst=0,
        brute_force_offences=4,
    )  # fmt: skip
    for _ in range(3):
        await request(guard, "GET", "/page")  # the bucket is empty
    statuses = [(await graphql(guard, "{me{id}}", token=FORGED)).status for _ in range(6)]
    assert statuses == [401] * 4 + [403] * 2


# --- answers and logins ----------------------------------------------------------------------------------------------


async def test_an_edit_that_breaks_takes_no_other_back(guarded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"errors": [{"message": 'Cannot query "x". Did you mean "secretField"?'}]}
    guard = guarded(EchoApp(answer=answer), cost_in_response=True)

    def broken(ctx: Any, body: bytes) -> bytes:
        raise RuntimeError("ours")

    object.__setattr__(guard.guard.runtime, "edits", (guard.guard.runtime.edits[0], broken))
    reply = await graphql(guard, "{x}")
    assert b"secretField" not in reply.body
    assert json.loads(reply.body)["errors"]


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
@pytest.mark.parametrize("broken", ["store", "login", "imposed", "fault"])
async def test_what_breaks_around_a_login_weakens_no_lockout(guarded: Any, mode: str, broken: str) -> None:
    found: list[Lockout | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reports = logins(scope)
        found.append(await reports.locked("alice"))
        found.append(await reports.failed("alice"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guard = guarded(app, jwt_secret=SECRET, auth_required=False, lockout_offences=2, mode_auth=mode)
    if broken == "store":
        break_store(guard)
    else:
        recorder = guard.guard.runtime.recorder
        setattr(recorder, broken, Broken(None).breaks)
        if broken == "fault":
            recorder.login = Broken(None).breaks
    for _ in range(4):
        await request(guard, "POST", "/login")
    if mode == "monitor":
        assert found == [None] * len(found)
    elif broken == "store":
        assert found == [] or all(isinstance(each, Lockout) for each in found)
    else:
        assert [each is not None for each in found] == [False, False, False, True, True, True, True, True]
        assert all(each is None or each.retry_after_seconds > 100 for each in found)


async def test_a_verifier_that_raises_lets_nobody_in(guarded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, *_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.setattr(TokenVerifier, "verify", broken)
    guard = guarded(EchoApp(), AuthMiddleware, jwt_secret=SECRET)
    assert (await graphql(guard, "{me{id}}", token=ALICE)).code == "GUARD_FAULT"


# --- what could not be measured --------------------------------------------------------------------------------------

UNMEASURED = json.dumps({"query": "mutation{" + " ".join(f"x{n}:delete" for n in range(2_500)) + "}"}).encode()


@pytest.mark.parametrize("middleware", [Guard, RateLimitMiddleware])
async def test_what_was_not_measured_pays_like_a_query_and_like_a_mutation(guarded: Any, middleware: Any) -> None:
    guard = guarded(
        EchoApp(), middleware, mode_query_limits="monitor", rate_limit_default="100/hour", rate_limit_burst=0,
        rate_limit_graphql_mutation="3/hour", rate_limit_graphql_query="5/hour",
    )  # fmt: skip
    assert [(await request(guard, body=UNMEASURED)).status for _ in range(5)] == [200] * 3 + [429] * 2
    assert [(await graphql(guard, "{me{id}}")).status for _ in range(3)] == [200] * 2 + [429]
    assert (await request(guard, "GET", "/page")).status == 200


@pytest.mark.parametrize("middleware", [Guard, RateLimitMiddleware])
async def test_what_was_not_measured_is_not_free_of_the_budget(guarded: Any, middleware: Any) -> None:
    guard = guarded(EchoApp(), middleware, mode_query_limits="monitor", cost_budgets="default=2500")
    assert [(await request(guard, body=UNMEASURED)).status for _ in range(4)] == [200] * 2 + [429] * 2
    small = guarded(EchoApp(), middleware, mode_query_limits="monitor", cost_budgets="default=10")
    assert [(await request(small, body=UNMEASURED)).status for _ in range(2)] == [200, 429]
