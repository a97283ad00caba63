"""Both stores against a model that is too simple to be wrong: it keeps every event and recounts from the beginning."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Bucket, Burst, Charge, Limit, Rate, charges_of, network_bucket
from fraiseql_guard.stores import Adjustment, AdmitRequest, MemoryStore, Store
from fraiseql_guard.stores.limits import effective_charges, override_charges
from fraiseql_guard.stores.protocol import LONGEST_REPEAT_SECONDS, REPEAT_SECONDS
from fraiseql_guard.stores.redis.client import Question, Script, open_client
from fraiseql_guard.stores.redis.store import RedisStore
from tests.stores.conftest import ManualClock, ask
from tests.support.properties import examples
from tests.support.redis_server import RedisServer

SUBJECTS = (Subject("user", "alice"), Subject("address", "a:1::/64", "a::/48"))  # few, so that histories grow
KEY = Subject("key", "tenant:acme")
"""What limits are for where a deployment counts by something else."""
POLICIES = (PolicyName.DOS, PolicyName.BRUTE_FORCE, PolicyName.RATE_LIMIT_ABUSE)


@dataclass(frozen=True)
class Override:
    """An operator sets a subject's limit for a while; for 0 seconds: takes it back."""

    subject: Subject
    rate: Rate
    burst: int
    seconds: float


@dataclass
class Model:
    """Admission as the contract words it."""

    now: float = 0.0
    looks: list[tuple[Subject, Charge, float, bool]] = field(default_factory=list)  # and whether it was taken
    adjusted: set[int] = field(default_factory=set)  # the looks that are adjustments, by their identity
    offences: dict[tuple[Subject, PolicyName], list[tuple[float, int, int]]] = field(default_factory=dict)
    impositions: dict[tuple[Subject, PolicyName], list[float]] = field(default_factory=dict)
    sanctions: dict[tuple[Subject, PolicyName], float] = field(default_factory=dict)
    overrides: dict[Subject, tuple[Override, float]] = field(default_factory=dict)

    def override(self, override: Override) -> bool:
        """Whether there was one before."""
        _, until = self.overrides.pop(override.subject, (None, 0.0))
        if override.seconds:
            self.overrides[override.subject] = (override, self.now + override.seconds)
            full = {charge.key for charge in override_charges(override.rate, override.burst)}
            self.looks = [look for look in self.looks if look[0] != override.subject or look[1].key not in full]
        return until > self.now

    def charges(self, request: AdmitRequest) -> tuple[Charge, ...]:
        override, until = self.overrides.get(request.limit_subject or request.subject, (None, 0.0))
        if override is None or until <= self.now:
            return request.charges
        return effective_charges(request.charges, override.rate, override.burst)

    def used(self, subject: Subject, bucket: str, limit: Limit, capacity: int) -> float:
        """Tokens in use as this limit sees it: what came back meanwhile came at its rate, and no bucket holds less than
        nothing. A clock that is set back brings nothing back, and nothing is taken by it either."""
        used, at = 0.0, 0.0
        for look in self.looks:
            who, charge, when, taken = look
            if (who, charge.key) == (subject, bucket):
                came_back = max(0.0, when - at) * charge.limit.tokens_per_second
                if id(look) in self.adjusted:
                    # Full at most, empty at most; what was used of a larger bucket stays used.
                    used = max(0.0, used - came_back)
                    room = max(0.0, charge.capacity - used)
                    used += max(-used, min(charge.tokens, room))
                else:
                    used = min(charge.capacity, max(0.0, used - came_back)) + charge.tokens * taken
                at = when
        return min(capacity, max(0.0, used - max(0.0, self.now - at) * limit.tokens_per_second))

    def binding(self, request: AdmitRequest) -> set[PolicyName]:
        """The operator's or the longest; of equally long ones either may answer."""
        bound = [
            (policy is PolicyName.OPERATOR, expires, policy)
            for (subject, policy), expires in self.sanctions.items()
            if subject == request.subject and expires > self.now
            if policy is PolicyName.OPERATOR or policy not in request.exempt
        ]
        return {policy for operator, expires, policy in bound if (operator, expires) == max(bound)[:2]}

    def fits(self, request: AdmitRequest) -> bool:
        return all(
            self.used(owner(request, charge), charge.key, charge.limit, charge.capacity) + charge.tokens
            <= charge.capacity + 1e-6
            for charge in self.charges(request)
        )

    def wait(self, request: AdmitRequest) -> float:
        return max(
            math.inf
            if charge.tokens > charge.capacity
            else (
                self.used(owner(request, charge), charge.key, charge.limit, charge.capacity)
                + charge.tokens
                - charge.capacity
            )
            / charge.limit.tokens_per_second
            for charge in self.charges(request)
        )

    def offend(self, subject: Subject, escalation: Escalation, weight: int, seen: int, abuse: bool) -> float | None:
        key = (subject, escalation.policy)
        if self.sanctions.get(key, 0.0) > self.now:
            return None
        log = [one for one in self.offences.get(key, []) if one[0] > self.now - escalation.window_seconds]
        if not (abuse and log and self.now - log[-1][0] < 1):
            log.append((self.now, weight, seen))
        self.offences[key] = log
        if sum(one[1] for one in log) < escalation.offences:
            return None
        self.offences[key] = []
        before = self.impositions.setdefault(key, [])
        times = 0
        for position, when in enumerate(before):
            following = before[position + 1] if position + 1 < len(before) else self.now
            times = times + 1 if following - when < REPEAT_SECONDS else 0
        before.append(self.now)
        base = escalation.sanction_seconds
        length = max(base, min(base * 2**times, LONGEST_REPEAT_SECONDS))
        self.sanctions[key] = self.now + length
        return length

    def admit(self, request: AdmitRequest) -> tuple[bool, set[PolicyName], float | None]:
        if bound := self.binding(request):
            return False, bound, None
        fits = self.fits(request)
        self.looks += [(owner(request, charge), charge, self.now, fits) for charge in self.charges(request)]
        if not fits:
            if request.abuse is None or self.wait(request) <= request.patience_seconds:
                return False, set(), None
            return False, set(), self.offend(request.subject, request.abuse, 1, 1 + request.refused_before, abuse=True)
        if request.offence is None:
            return True, set(), None
        return (
            True,
            set(),
            self.offend(request.subject, request.offence, request.offences, request.offences, abuse=False),
        )

    def adjust(self, adjustment: Adjustment) -> None:
        for charge in adjustment.charges:
            if charge.tokens:  # else it is only looked at
                look = (adjustment.subject, charge, self.now, True)
                self.adjusted.add(id(look))
                self.looks.append(look)

    def lift(self, subject: Subject) -> int:
        ended = 0
        for policy in PolicyName:
            ended += self.sanctions.pop((subject, policy), 0.0) > self.now
            self.offences.pop((subject, policy), None)
            self.impositions.pop((subject, policy), None)
        return ended


def owner(request: AdmitRequest, charge: Charge) -> Subject:
    """Whose bucket a charge takes from."""
    return request.subject if charge.own else request.limit_subject or request.subject


WINDOWS = (
    Rate((Limit(4, 10), Limit(9, 60))),
    Rate((Limit(7, 60), Limit(20, 600))),
    Rate((Limit(3, 1), Limit(5, 30), Limit(11, 600))),
    Rate((Limit(6, 20), Limit(3, 600))),  # the longer one holds less than the shorter
)


def bills_of(rate: Rate, tokens: int, network: str) -> tuple[Charge, ...]:
    """What a rate of several windows charges: with a network, its buckets as well, which hold twice as much."""
    own = [replace(charge, tokens=tokens) for charge in charges_of(rate, "default", Burst(2))]
    wide = [
        replace(charge, limit=charge.limit.times(2), bucket=network_bucket(charge.key, network))
        for charge in (own if network else ())
    ]
    return (*own, *wide)


def some_charges(tokens: st.SearchStrategy[int]) -> st.SearchStrategy[Charge]:
    return st.builds(
        Charge,
        policy=st.sampled_from(["default", "graphql"]),
        limit=st.sampled_from([Limit(7, 60), Limit(7, 60), Limit(2, 600), Limit(40, 20)]),  # changed at run time
        burst=st.sampled_from([3, 3, 0]),
        tokens=tokens,
    )


def requests(windows: st.SearchStrategy[int]) -> st.SearchStrategy[AdmitRequest]:
    charges = some_charges(st.integers(1, 6))
    budget = st.builds(Charge, st.just("budget"), st.just(Limit(30, 60)), tokens=st.integers(1, 9), fixed=st.just(True))
    several = st.builds(bills_of, st.sampled_from(WINDOWS), st.integers(1, 6), st.sampled_from(["", "a::/48"]))
    bills = st.builds(
        lambda ordinary, fixed: (*ordinary, *fixed),
        st.lists(charges, max_size=2, unique_by=lambda charge: charge.key) | several,
        st.lists(budget, max_size=1),
    )
    beside = st.builds(
        Charge,
        st.just("beside"),
        st.just(Limit(9, 60)),
        tokens=st.integers(1, 6),
        fixed=st.just(True),
        own=st.just(True),
    )
    own = st.builds(Escalation, st.sampled_from(POLICIES[:2]), st.just(3), windows, st.sampled_from([40, 3000]))
    abuse = st.builds(Escalation, st.just(PolicyName.RATE_LIMIT_ABUSE), st.just(2), windows, st.just(50))
    return st.builds(
        AdmitRequest,
        subject=st.sampled_from(SUBJECTS),
        charges=bills,
        abuse=st.none() | abuse,
        offence=st.none() | own,
        offences=st.integers(1, 4),
        exempt=st.sampled_from([frozenset(), frozenset(POLICIES[:1]), frozenset(POLICIES)]),
        refused_before=st.integers(0, 3),
        patience_seconds=st.sampled_from([0.0, 0.0, 2.1, 31.7]),  # no wait that the rates above can bring
    ) | st.builds(
        AdmitRequest,
        subject=st.sampled_from(SUBJECTS),
        charges=st.builds(lambda bill, own: (*bill, *own), bills, st.lists(beside, max_size=1)),
        abuse=st.none() | abuse,
        offence=st.none() | own,
        patience_seconds=st.sampled_from([0.0, 0.0, 2.1, 31.7]),
        limit_subject=st.sampled_from([KEY, SUBJECTS[1]]),
    )


def steps(
    pauses: st.SearchStrategy[float],
    windows: st.SearchStrategy[int],
    override_seconds: list[float],
    *,
    clock_is_set_back: bool = False,
) -> st.SearchStrategy[list[object]]:
    overrides = st.builds(
        Override,
        st.sampled_from((*SUBJECTS, KEY)),
        st.sampled_from([Rate.of(2, 60), Rate.of(50, 60), Rate.of(9, 10), *WINDOWS]),
        st.sampled_from([0, 4]),
        st.sampled_from(override_seconds),
    )
    adjustments = st.builds(
        Adjustment,
        st.sampled_from((*SUBJECTS, KEY)),
        st.lists(some_charges(st.integers(-6, 12)), min_size=1, max_size=2, unique_by=lambda charge: charge.key).map(
            tuple
        ),
    )
    asked = requests(windows) | requests(windows) | requests(windows)
    step = asked | adjustments | pauses | st.sampled_from(SUBJECTS)
    if clock_is_set_back:
        # By a server's clock a sanction ends later then, or is in force again: how long is not what is compared here.
        step = step.filter(lambda step: not isinstance(step, AdmitRequest) or step.abuse is step.offence is None)
        return st.lists(step | overrides, min_size=12, max_size=40)
    imposed = st.builds(Sanction, st.sampled_from(SUBJECTS), st.sampled_from(PolicyName), st.sampled_from([45.0, 85.0]))
    return st.lists(step | imposed | overrides, min_size=12, max_size=40)


async def compare(
    store: Store, model: Model, script: list[object], advance: Callable[[float], Awaitable[None]]
) -> None:
    for step in script:
        if isinstance(step, float):
            model.now += step
            await advance(step)
        elif isinstance(step, Subject):
            assert await store.sanctions.lift(step) == model.lift(step)
        elif isinstance(step, Sanction):
            model.sanctions[step.subject, step.policy] = model.now + step.expires_in_seconds
            await store.sanctions.impose(step)
        elif isinstance(step, Override):
            was_there = model.override(step)
            if step.seconds:
                await store.limits.set(step.subject, step.rate, step.burst, step.seconds)
            else:
                assert await store.limits.clear(step.subject) is was_there
        elif isinstance(step, Adjustment):
            model.adjust(step)
            _compare_buckets(model, step.subject, await store.adjust(step))
        elif isinstance(step, AdmitRequest):
            await _compare_request(store, model, step)
    listed = {(one.subject, one.policy) for one in await store.sanctions.all()}
    assert listed == {key for key, expires in model.sanctions.items() if expires > model.now}


def _compare_buckets(model: Model, subject: Subject, buckets: tuple[Bucket, ...]) -> None:
    for bucket in buckets:
        charge = bucket.charge
        used = model.used(subject, charge.key, charge.limit, charge.capacity)
        assert 0 <= bucket.remaining <= charge.capacity
        assert bucket.remaining == pytest.approx(charge.capacity - used, abs=1e-5)


async def _compare_request(store: Store, model: Model, request: AdmitRequest) -> None:
    admitted, bound, imposed = model.admit(request)
    result = await store.admit(request)
    assert result.admitted is admitted
    assert result.sanction.policy in bound if result.sanction else not bound
    assert (result.imposed.sanction.expires_in_seconds if result.imposed else None) == imposed
    for bucket in result.buckets:
        charge = bucket.charge
        used = model.used(owner(request, charge), charge.key, charge.limit, charge.capacity)
        assert bucket.remaining == pytest.approx(charge.capacity - used, abs=1e-5)
        short = used + charge.tokens - charge.capacity
        never = charge.tokens > charge.capacity
        wait = 0.0 if admitted else math.inf if never else max(0.0, short / charge.limit.tokens_per_second)
        assert bucket.retry_after_seconds == pytest.approx(wait, abs=1e-4)


def moves(seconds: st.SearchStrategy[float]) -> st.SearchStrategy[float]:
    return seconds.map(lambda x: round(x * 4) / 4)


FORWARDS = moves(st.floats(0.25, 90))
FORWARDS_AND_BACK = moves(st.floats(0.25, 90) | st.floats(0.25, 90) | st.sampled_from([-0.5, -70.0, -900.0]))
BEGINNING = 1_000_000
TIMEOUT_SECONDS = 30
"""Generous: the model is not about time, and a machine at work on other things may take its time."""


@examples(300)
@given(
    steps(FORWARDS, st.sampled_from([20, 100]), [0.0, 40.0, 1e6])
    | steps(FORWARDS_AND_BACK, st.just(20), [0.0, 1e6], clock_is_set_back=True)
)
def test_memory_agrees_with_the_model(script: list[object]):
    clock = ManualClock()
    clock.advance(BEGINNING)

    async def advance(seconds: float) -> None:
        clock.advance(seconds)

    asyncio.run(compare(MemoryStore(clock=clock), Model(now=clock.now), script, advance))


class ClockedStore(RedisStore):
    """The store on a real Redis, whose scripts read the time from a key: a server's own clock cannot be moved."""

    CLOCK = "fg:{clock}"

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_seconds=TIMEOUT_SECONDS)
        for name, script in self.keys.scripts.items():
            self.keys.scripts[name] = Script.of(
                script.text.replace("redis.call('TIME')", f"redis.call('LRANGE', '{self.CLOCK}', 0, 1)")
            )
        self._client = open_client(url, tuple(self.keys.scripts.values()))
        self.keys.send = self._send
        self.now = 0.0

    def _send(self, key: str, question: Question) -> Awaitable[Any]:
        asked = ("LRANGE", self.CLOCK, 0, 1) if question == ("TIME",) else question
        return self._client.call(key, asked, timeout_seconds=TIMEOUT_SECONDS)

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        await ask(self, "DEL", self.CLOCK)
        await ask(self, "RPUSH", self.CLOCK, int(self.now), int(self.now % 1 * 1_000_000))


@pytest.mark.redis
@examples(100, allow=[HealthCheck.function_scoped_fixture])
# An override ends by the server's own clock, which cannot be moved: here none does.
@given(
    script=steps(FORWARDS, st.sampled_from([20, 100]), [0.0, 1e6])
    | steps(FORWARDS_AND_BACK, st.just(20), [0.0, 1e6], clock_is_set_back=True)
)
def test_redis_agrees_with_the_model(redis_session: RedisServer, script: list[object]):
    async def run() -> None:
        async with aclosing(ClockedStore(redis_session.url)) as store:
            await ask(store, "FLUSHALL")
            await store.advance(BEGINNING)
            await compare(store, Model(now=BEGINNING), script, store.advance)

    asyncio.run(run())


async def refused_until_blocked(store: Store, step: Callable[[float], Awaitable[None]]) -> list[bool]:
    """A caller who is refused twice, with the clock set back by an hour in between: whether it was blocked."""
    charge = Charge("default", Limit(1, 3600))
    abuse = Escalation(PolicyName.RATE_LIMIT_ABUSE, offences=3, window_seconds=60, sanction_seconds=50)
    results = [await store.admit(AdmitRequest(SUBJECTS[0], (charge,), abuse=abuse)) for _ in range(2)]
    told = results[1].buckets[0].retry_after_seconds
    for seconds in (-3600.0, 2.0, 2.0):
        await step(seconds)
        results.append(await store.admit(AdmitRequest(SUBJECTS[0], (charge,), abuse=abuse)))
        assert results[-1].buckets[0].retry_after_seconds <= told
    await step(3600)
    assert (await store.admit(AdmitRequest(SUBJECTS[0], (charge,)))).admitted
    return [result.imposed is not None for result in results]


OFFENCES = [False, False, False, False, True]  # one is admitted, and two are refused in what is one second


async def test_memory_whose_clock_is_set_back_counts_on():
    clock = ManualClock()
    clock.advance(BEGINNING)

    async def step(seconds: float) -> None:
        clock.advance(seconds)

    assert await refused_until_blocked(MemoryStore(clock=clock), step) == OFFENCES


@pytest.mark.redis
async def test_redis_whose_clock_is_set_back_counts_on(redis_session: RedisServer):
    async with aclosing(ClockedStore(redis_session.url)) as store:
        await ask(store, "FLUSHALL")
        await store.advance(BEGINNING)
        assert await refused_until_blocked(store, store.advance) == OFFENCES
