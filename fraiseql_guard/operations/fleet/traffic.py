"""Keeps statistics of the last five minutes of one process: series for charts, and counts of callers.

A request costs a few additions, and the memory is bounded. Each process publishes its statistics with its heartbeat;
views of the fleet add them up.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.operations.operator.records import CallerCounts, Seen

STEP_SECONDS: Final = 5.0
"""Length of a step of the series."""
STEPS: Final = 60
"""Number of steps that are kept: five minutes."""
WINDOW_SECONDS: Final = 30.0
"""Callers are counted in windows of this length. The last ten make up five minutes, give or take one window."""
_WINDOWS: Final = 10
_MAX_CALLERS: Final = 1_000
_RING: Final = 1_000
_SERVER_ERROR: Final = 500

REQUESTS: Final = "requests"
REFUSALS: Final = "refusals"
WOULD_REFUSE: Final = "would_refuse"
QUERIES: Final = "queries"
ERRORS: Final = "errors"
SECONDS: Final = "seconds"
"""The series of the seconds that all requests of a step took together."""
_BY_PROTECTION: Final[Mapping[Protection, str]] = {each: f"{REFUSALS}:{each.value}" for each in Protection}
SERIES: Final = (REQUESTS, REFUSALS, WOULD_REFUSE, QUERIES, ERRORS, SECONDS, *_BY_PROTECTION.values())
"""Names of the series. ``refusals:rate_limit`` counts the refusals of one protection."""


@dataclass(slots=True)
class _CallerTraffic:
    """Counts of one caller in one window. ``shown`` is the caller's user id or address."""

    group: str
    shown: str
    requests: int = 0
    refusals: int = 0
    by_code: dict[str, int] = field(default_factory=dict)

    @property
    def weight(self) -> tuple[int, int]:
        return self.refusals, self.requests


_Key = tuple[str, str]
_Window = dict[_Key, _CallerTraffic]


def _nothing() -> None:
    pass


class TrafficStats:
    """Counts the requests of this process. ``clock`` counts seconds and never goes back. Not thread-safe."""

    __slots__ = (
        "_callers",
        "_clock",
        "_current",
        "_past",
        "_ring",
        "_series",
        "_step_ends",
        "_window_ends",
        "_windows",
        "before_looking",
        "keys",
    )

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        now = clock()
        self._series: dict[str, deque[float]] = {name: deque([0.0] * STEPS, maxlen=STEPS) for name in SERIES}
        self._current: dict[str, float] = dict.fromkeys(SERIES, 0.0)
        self._step_ends = now + STEP_SECONDS
        self._callers: _Window = {}  # of the current window
        self._windows: deque[_Window] = deque(maxlen=_WINDOWS - 1)
        self._past: _Window = {}  # the windows before it, added up
        self._window_ends = now + WINDOW_SECONDS
        self._ring: deque[tuple[str, Subject]] = deque(maxlen=_RING)
        self.before_looking: Callable[[], None] = _nothing
        """Called before numbers are read, to add deferred counts to them."""
        self.keys: Counter[str] = Counter()
        """Number of authenticated requests by the name of the key."""

    def note(self, ctx: RequestContext, seconds: float, times: int = 1) -> None:
        """Count a request that has ended after ``seconds``, answered or refused, or ``times`` requests like it that
        took ``seconds`` in all."""
        now = self._clock()
        # The first request after a step ends it, so that no timer is needed.
        if now >= self._step_ends:
            self._end_step(now)
        # The step's series.
        current, subject = self._current, ctx.subject
        current[REQUESTS] += times
        current[SECONDS] += seconds
        if ctx.operation:
            current[QUERIES] += times
        if ctx.status >= _SERVER_ERROR:
            current[ERRORS] += times
        if times == 1:
            self._ring.append((ctx.address, subject))
        else:
            # No more than the ring holds, however many requests are counted at once.
            self._ring.extend([(ctx.address, subject)] * min(times, _RING))
        # The caller's counts in this window.
        key = subject.key
        caller = self._callers.get(key) or self._new(key, ctx)
        caller.requests += times
        # Its refusal, enforced or not.
        denial = ctx.denial
        if denial is not None:
            current[REFUSALS] += times
            current[_BY_PROTECTION[denial.owner]] += times
            caller.refusals += times
            caller.by_code[denial.code.name] = caller.by_code.get(denial.code.name, 0) + times
        elif ctx.would_refuse:
            current[WOULD_REFUSE] += times
        if ctx.identity is not None:
            self.keys[ctx.identity.key] += times

    def series(self) -> Mapping[str, list[float]]:
        """All series by name: five minutes in steps of STEP_SECONDS, oldest first, without the current step."""
        self.before_looking()
        now = self._clock()
        if now >= self._step_ends:
            self._end_step(now)
        return {name: [round(value, 3) for value in values] for name, values in self._series.items()}

    def callers(self, count: int) -> list[CallerCounts]:
        """The callers with the most refusals and those with the most requests, ``count`` of each at most."""
        self.before_looking()
        together = _added((self._past, self._callers))
        # Both lists are needed, since an attacker need not be the busiest caller.
        most = nlargest(count, ((key, each) for key, each in together.items() if each.refusals), _weight)
        busiest = nlargest(count, together.items(), lambda item: item[1].requests)
        return [
            CallerCounts(
                kind=kind,
                name=name,
                group=each.group,
                shown=each.shown,
                requests=each.requests,
                refusals=each.refusals,
                by_code=each.by_code,
            )
            for (kind, name), each in dict((*most, *busiest)).items()
        ]

    def seen(self, count: int) -> Seen:
        """The number of the last requests, at most 1,000, and the counts of their most frequent addresses and users, at
        most ``count`` of each."""
        self.before_looking()
        addresses = Counter(address for address, _ in self._ring)
        users = Counter(subject.name for _, subject in self._ring if subject.kind == "user")
        return Seen(
            requests=len(self._ring),
            addresses=dict(addresses.most_common(count)),
            users=dict(users.most_common(count)),
        )

    def last_requests(self) -> Iterable[tuple[str, Subject]]:
        """The addresses and subjects of the last requests of this process, at most 1,000."""
        self.before_looking()
        return tuple(self._ring)

    def _new(self, key: _Key, ctx: RequestContext) -> _CallerTraffic:
        """Add a caller to the current window. If that is full, only its busier half stays: a flood of addresses with
        one request each pushes out its own, and sorting is rare."""
        if len(self._callers) >= _MAX_CALLERS:
            self._callers = _busiest(self._callers, _MAX_CALLERS // 2)
        shown = ctx.user_id if ctx.identity is not None else ctx.address
        caller = self._callers[key] = _CallerTraffic(ctx.subject.group, shown)
        return caller

    def _end_step(self, now: float) -> None:
        """End the current step, and the current window if it is over."""
        for name, values in self._series.items():
            values.append(self._current[name])
            self._current[name] = 0.0
        # Steps since then in which no request came.
        silent = int((now - self._step_ends) // STEP_SECONDS)
        for values in self._series.values():
            values.extend([0.0] * min(silent, STEPS))
        self._step_ends += STEP_SECONDS * (silent + 1)
        if now >= self._window_ends:
            # Windows in which no request came are empty.
            missed = int((now - self._window_ends) // WINDOW_SECONDS)
            self._windows.append(self._callers)
            self._windows.extend({} for _ in range(min(missed, _WINDOWS)))
            self._callers = {}
            # Added up once for each window, so that a look does not add ten of them.
            self._past = _busiest(_added(self._windows), _MAX_CALLERS)
            self._window_ends += WINDOW_SECONDS * (missed + 1)


def _added(windows: Iterable[_Window]) -> _Window:
    found: _Window = {}
    for window in windows:
        for key, each in window.items():
            total = found.get(key)
            if total is None:
                total = found[key] = _CallerTraffic(each.group, each.shown)
            total.requests += each.requests
            total.refusals += each.refusals
            for code, times in each.by_code.items():
                total.by_code[code] = total.by_code.get(code, 0) + times
    return found


def _busiest(window: _Window, count: int) -> _Window:
    return window if len(window) <= count else dict(nlargest(count, window.items(), _weight))


def _weight(item: tuple[_Key, _CallerTraffic]) -> tuple[int, int]:
    return item[1].weight
