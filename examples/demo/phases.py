"""The parts of the demo. Each has callers of its own, so that none spends another's limits."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import httpx

from examples.demo.blogs import Blog
from examples.demo.stage import ExpectationError, Stage, eventually, expect, require
from fraiseql_guard.core import signals
from fraiseql_guard.core.signals import Code, FailureReason, PolicyName

RATE_PER_MINUTE = 20
BURST = 5
BRUTE_FORCE_OFFENCES = 5
QUERY_TIMEOUT_SECONDS = 2  # a whole number: FraiseQL reads the same variable

# Addresses for documentation (RFC 5737).
OFFICE = "198.51.100.7"
BURST_CLIENT = "198.51.100.20"
CLUMSY_CLIENT = "198.51.100.30"
CURIOUS_CLIENT = "198.51.100.40"
ATTACKER = "203.0.113.66"


async def ordinary(stage: Stage, blog: Blog) -> None:
    """What the app is there for."""
    watch = stage.phase("Ordinary requests")
    token = stage.token("ada")
    answers = []
    for document in blog.ordinary:
        stage.say("sent", document)
        answers.append(await stage.ask(document, address=OFFICE, token=token))
        stage.show(answers[-1:])
        expect(answers[-1])
    remaining = answers[-1].headers.get("x-ratelimit-remaining", "")
    require(remaining.isdecimal(), f"X-RateLimit-Remaining should be a number and is {remaining!r}")
    stage.say("headers", f"X-RateLimit-Remaining: {remaining}; RateLimit: {answers[-1].headers.get('ratelimit')}")
    await watch.metric(signals.AUTH_SUCCESS, len(answers))
    await watch.metric(signals.QUERIES_SUCCESS, len(answers))
    await watch.line(signals.HTTP_REQUEST, user_id="ada", ip_address=OFFICE, status=200)


async def burst(stage: Stage, blog: Blog) -> None:
    """A user who is too fast."""
    watch = stage.phase(f"A burst over the limit ({RATE_PER_MINUTE}/minute and {BURST} more at once)")
    capacity, token, began = RATE_PER_MINUTE + BURST, stage.token("bob"), time.monotonic()
    sent = capacity + 15
    stage.say("sent", f"{sent} requests of one user, one after the other")
    answers = [await stage.ask(blog.ordinary[0], address=BURST_CLIENT, token=token) for _ in range(sent)]
    refilled = math.ceil((time.monotonic() - began) * RATE_PER_MINUTE / 60)
    stage.show(answers)
    admitted = [answer for answer in answers if answer.is_success]
    refused = [answer for answer in answers if not answer.is_success]
    for answer in admitted:
        expect(answer)
    for answer in refused:
        expect(answer, signals.RATE_LIMITED)
        require(int(answer.headers.get("retry-after", "0")) >= 1, "a 429 should say Retry-After in seconds")
    require(
        capacity <= len(admitted) <= capacity + refilled,
        f"{capacity} to {capacity + refilled} requests should have been admitted and {len(admitted)} were",
    )
    require(bool(refused), "some of the burst should have been refused")
    stage.say("headers", f"Retry-After: {refused[-1].headers['retry-after']}")
    await watch.metric(signals.RATE_LIMIT_EXCEEDED, len(refused), user_id="bob", ip_address=BURST_CLIENT)
    await watch.metric(signals.REFUSALS, len(refused), code=signals.RATE_LIMITED.name)
    await watch.line(signals.RATE_LIMIT, user_id="bob", ip_address=BURST_CLIENT)


async def bad_tokens(stage: Stage, blog: Blog) -> None:
    """Callers without a good token, and why."""
    watch = stage.phase("Missing, bad and expired tokens")
    attempts = {
        FailureReason.MISSING_TOKEN: None,
        FailureReason.INVALID_TOKEN: "not-a-token",
        FailureReason.INVALID_SIGNATURE: stage.forged_token("ada"),
        FailureReason.TOKEN_EXPIRED: stage.token("ada", expires_in_seconds=-60),
    }
    for reason, token in attempts.items():
        stage.say("sent", reason.value.replace("_", " "))
        answer = await stage.ask(blog.ordinary[0], address=CLUMSY_CLIENT, token=token)
        stage.show([answer])
        expect(answer, signals.UNAUTHENTICATED)
        challenge = answer.headers.get("www-authenticate", "")
        require(challenge.startswith("Bearer"), f"WWW-Authenticate should ask for a bearer token and is {challenge!r}")
    for reason in attempts:
        await watch.metric(signals.AUTH_FAILURE_REASONS, 1, failure_reason=reason.value)
    signature = FailureReason.INVALID_SIGNATURE.value
    await watch.line(signals.AUTH_FAILURE, failure_reason=signature, ip_address=CLUMSY_CLIENT)
    await watch.line(signals.TOKEN_EXPIRED, ip_address=CLUMSY_CLIENT)


async def brute_force(stage: Stage, blog: Blog) -> None:
    """An attacker tries tokens until the address is blocked; a colleague at that address goes on working."""
    watch = stage.phase(f"A brute force from one address (blocked after {BRUTE_FORCE_OFFENCES} failures)")
    answers: list[httpx.Response] = []
    while not answers or answers[-1].status_code != signals.BLOCKED.status:
        answers.append(await stage.ask(blog.ordinary[0], address=ATTACKER, token=stage.forged_token("root")))
        if len(answers) > 2 * BRUTE_FORCE_OFFENCES:
            raise ExpectationError(f"{len(answers)} failures did not bring a block: {answers[-1].text[:300]}")
    stage.say("sent", f"{len(answers)} forged tokens from {ATTACKER}")
    stage.show(answers)
    for answer in answers[:-1]:
        expect(answer, signals.UNAUTHENTICATED)
    expect(answers[-1], signals.BLOCKED)
    require(
        len(answers) >= BRUTE_FORCE_OFFENCES, f"the block came after {len(answers) - 1} failures, which is too early"
    )
    require(int(answers[-1].headers.get("retry-after", "0")) >= 1, "a block should say Retry-After in seconds")
    await watch.metric(signals.SANCTIONS, 1, policy=PolicyName.BRUTE_FORCE.value)
    await watch.metric(signals.REFUSALS, 1, code=signals.BLOCKED.name)
    await watch.line(signals.BRUTE_FORCE_DETECTED, ip_address=ATTACKER)

    stage.say("sent", f"a valid token from {ATTACKER} (an office behind one address)")
    valid = await stage.ask(blog.ordinary[0], address=ATTACKER, token=stage.token("carol"))
    stage.show([valid])
    expect(valid)


async def deep(stage: Stage, blog: Blog) -> None:
    """A document that goes too deep."""
    await _over_a_limit(stage, "A query that is too deep", blog.deep, signals.QUERY_TOO_DEEP, user="dora")


async def expensive(stage: Stage, blog: Blog) -> None:
    """A document that asks for too much."""
    await _over_a_limit(stage, "A query that is too expensive", blog.expensive, signals.QUERY_TOO_COMPLEX, user="edgar")


async def _over_a_limit(stage: Stage, title: str, document: str, code: Code, *, user: str) -> None:
    watch = stage.phase(title)
    stage.say("sent", document)
    answer = await stage.ask(document, address=CURIOUS_CLIENT, token=stage.token(user))
    stage.show([answer])
    expect(answer, code)
    numbers = answer.json()["errors"][0]["extensions"]
    require(numbers["actual"] > numbers["limit"], f"the refusal should say by how much: {numbers}")
    await watch.metric(signals.REFUSALS, 1, code=code.name)
    await watch.metric(signals.QUERY_COMPLEXITY_EXCEEDED, 1)
    await watch.line(signals.EXPENSIVE_QUERY, user_id=user)


async def slow(stage: Stage, blog: Blog, working: Callable[[], Awaitable[int]] | None) -> None:
    """A query past its deadline; ``working`` counts the statements of PostgreSQL that are busy with it."""
    watch = stage.phase(f"A query past its deadline ({QUERY_TIMEOUT_SECONDS} s)")
    stage.say("sent", blog.slow)
    began = time.monotonic()
    asking = asyncio.create_task(stage.ask(blog.slow, address=CURIOUS_CLIENT, token=stage.token("frank")))
    if working is not None:
        await _expect_working(stage, working, asking)
    answer = await asking
    stage.show([answer])
    stage.say("took", f"{time.monotonic() - began:.1f} s")
    expect(answer, signals.QUERY_TIMEOUT)
    if working is not None:

        async def has_stopped() -> bool:
            return await working() == 0

        require(await eventually(has_stopped), "PostgreSQL still works on a query that was given up")
        stage.say("database", "pg_stat_activity: 0 statements at work on it")
    await watch.metric(signals.QUERIES_ERRORS, 1)
    await watch.metric(signals.ERRORS, 1, error_code=signals.QUERY_TIMEOUT.name)
    await watch.metric(signals.REFUSALS, 1, code=signals.QUERY_TIMEOUT.name)
    await watch.line(signals.DB_QUERY_TIMEOUT, user_id="frank")


async def _expect_working(stage: Stage, working: Callable[[], Awaitable[int]], asking: asyncio.Task[object]) -> None:
    async def has_begun() -> bool:
        return asking.done() or await working() > 0

    await eventually(has_begun)
    require(not asking.done(), "PostgreSQL should have begun with the query before it was answered")
    stage.say("database", "pg_stat_activity: 1 statement at work on it")
