"""A fleet of workers and Redis nodes as queues: what it carries, and how long requests wait, from measured CPU costs.

Simulated event by event, from a seed: the same costs and seed give the same figures. What is modelled:

* A worker is one process. A request takes half of its CPU before its decision and half afterwards, in the order of
  arrival; meanwhile the worker goes on with other requests.
* A node is one process. In each turn it takes all that has arrived, spends ``read`` for each worker that sent something
  and ``decision`` for each decision, and answers all at the end of the turn, as Redis does. One that had nothing to do
  spends ``wake`` first. So what a decision costs falls when decisions arrive together.
* Processes share ``cores`` fairly, as Linux has it: of those that wait for one, that which has used least comes first,
  and displaces a process that has used more (by ``slice_seconds``) at the end of its turn. So a node that works little
  is served at once, and decides one by one. Without a number each process has a core of its own.
* Callers are spread over the nodes evenly. What workers tell the store about themselves (``upkeep``) goes to one node.

Not modelled: collections of garbage, neighbours on the machine, lost packets, one caller who is a large share of all.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_WARM_UP_SHARE: Final = 10
"""The first tenth of the requests is not counted: queues fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds of CPU: of a worker and of the client a request, of a node a decision, a connection that is read, and
    waking up, and of one of the commands that each worker sends unasked (``upkeep``, so many a second). ``hop`` is the
    time on the way between a worker and a node, without CPU."""

    worker: float
    decision: float
    read: float
    wake: float = 0.0
    hop: float = 0.0
    client: float = 0.0
    upkeep: float = 0.0
    upkeep_per_second: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a fleet is, and how many cores all its processes share (without a number: each has its own)."""

    workers: int
    nodes: int = 1
    cores: int | None = None
    slice_seconds: float = 0.003


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Requests a second, seconds of a request and of its decision alone, shares of time at work (of nodes that of the
    busiest), decisions that a node takes in a turn, and how often it reads and wakes for each."""

    per_second: float
    p50: float
    p99: float
    decision_p50: float
    decision_p99: float
    worker_busy: float
    node_busy: float
    together: float
    reads_per_decision: float
    wakes_per_decision: float


@dataclass(slots=True)
class _Request:
    worker: _Process
    node: _Process | None
    began: float
    asked: float = 0.0
    decided: bool = False


class _Process:
    """A single-threaded process: what it is to do, and whether it does something."""

    __slots__ = ("busy", "inbox", "items", "reads", "rested", "turn", "turns", "waiting", "wakes")

    def __init__(self, turn: Callable[[_Process], float]) -> None:
        self.turn = turn
        self.inbox: deque[_Request] = deque()
        self.waiting = self.rested = False
        self.busy = 0.0
        self.turns = self.items = self.reads = self.wakes = 0


class _Fleet:
    """One run."""

    def __init__(self, costs: Costs, size: Size, seed: int) -> None:
        self._costs, self._size = costs, size
        self.random = random.Random(seed)
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._numbers = itertools.count()
        self._free = math.inf if size.cores is None else size.cores
        self._ready: list[tuple[float, int, _Process]] = []
        self.workers = [_Process(self._work) for _ in range(size.workers)]
        self.nodes = [_Process(self._decide) for _ in range(size.nodes)]
        self.client = _Process(self._ask)
        self.answered: Callable[[_Request], None] = lambda request: None
        self.decision_times: list[float] = []
        self.request_times: list[float] = []
        for place, worker in enumerate(self.workers if costs.upkeep_per_second else ()):
            self.at(place / size.workers / costs.upkeep_per_second, self._tell, worker)

    def at(self, moment: float, what: Callable[..., None], *arguments: object) -> None:
        """Have something happen."""
        heapq.heappush(self._events, (moment, next(self._numbers), what, arguments))

    def run(self, until: Callable[[], bool]) -> None:
        """Let things happen in their order."""
        while not until():
            self.now, _, what, arguments = heapq.heappop(self._events)
            what(*arguments)

    def give(self, process: _Process, request: _Request) -> None:
        """Something for a process to do."""
        process.inbox.append(request)
        if not process.waiting:
            process.waiting = process.rested = True
            self._wait(process)
            self._schedule()

    def _wait(self, process: _Process) -> None:
        heapq.heappush(self._ready, (process.busy, next(self._numbers), process))

    def _schedule(self) -> None:
        while self._free and self._ready:
            *_, process = heapq.heappop(self._ready)
            self._free -= 1
            self._begin(process)

    def _begin(self, process: _Process) -> None:
        took = process.turn(process)
        process.busy += took
        self.at(self.now + took, self._end, process)

    def _end(self, process: _Process) -> None:
        if process.inbox and (not self._ready or process.busy < self._ready[0][0] + self._size.slice_seconds):
            self._begin(process)
            return
        self._free += 1
        process.waiting = bool(process.inbox)
        if process.inbox:
            self._wait(process)
        self._schedule()

    # --- what a turn of each does, and how long it takes -------------------------------------------------------------

    def _work(self, worker: _Process) -> float:
        request, half = worker.inbox.popleft(), self._costs.worker / 2
        if request.decided:
            self.at(self.now + half, self._finish, request)
        else:
            self.at(self.now + half, self._send, request)
        return half

    def _decide(self, node: _Process) -> float:
        taken = list(node.inbox)
        node.inbox.clear()
        decisions = [request for request in taken if request.node is not None]
        senders = {id(request.worker) for request in decisions}
        took = node.rested * self._costs.wake + len(senders) * self._costs.read + len(decisions) * self._costs.decision
        took += (len(taken) - len(decisions)) * self._costs.upkeep
        for request in decisions:
            self.at(self.now + took + self._costs.hop, self._decided, request)
        node.turns += 1
        node.wakes += node.rested
        node.rested = False
        node.reads += len(senders)
        node.items += len(decisions)
        return took

    def _ask(self, client: _Process) -> float:
        request = client.inbox.popleft()
        self.at(self.now + self._costs.client, self.begin, request.worker)
        return self._costs.client

    # --- the way of a request ----------------------------------------------------------------------------------------

    def begin(self, worker: _Process) -> None:
        """A request reaches a worker."""
        node = self.nodes[self.random.randrange(len(self.nodes))]
        self.give(worker, _Request(worker, node, self.now))

    def _send(self, request: _Request) -> None:
        request.asked = self.now
        self.at(self.now + self._costs.hop, self.give, request.node, request)

    def _decided(self, request: _Request) -> None:
        request.decided = True
        self.decision_times.append(self.now - request.asked)
        self.give(request.worker, request)

    def _finish(self, request: _Request) -> None:
        self.request_times.append(self.now - request.began)
        self.answered(request)

    def _tell(self, worker: _Process) -> None:
        """What a worker tells the store about itself."""
        self.give(self.nodes[0], _Request(worker, None, self.now))
        self.at(self.now + 1 / self._costs.upkeep_per_second, self._tell, worker)


def saturated(costs: Costs, size: Size, *, connections: int, requests: int, seed: int) -> Outcome:
    """What a fleet carries when each worker has so many connections, each of which asks again once it was answered."""
    fleet = _Fleet(costs, size, seed)
    fleet.answered = lambda request: fleet.give(fleet.client, request)
    for _ in range(connections):
        for worker in fleet.workers:
            fleet.begin(worker)
    return _counted(fleet, requests)


def offered(costs: Costs, size: Size, *, per_second: float, requests: int, seed: int) -> Outcome:
    """What becomes of requests that arrive at random (Poisson), whatever becomes of the others; each at a worker of
    chance."""
    fleet = _Fleet(costs, size, seed)

    def arrive() -> None:
        fleet.begin(fleet.random.choice(fleet.workers))
        fleet.at(fleet.now + fleet.random.expovariate(per_second), arrive)

    arrive()
    return _counted(fleet, requests)


def _counted(fleet: _Fleet, requests: int) -> Outcome:
    first = requests // _WARM_UP_SHARE
    fleet.run(lambda: len(fleet.request_times) >= first)
    began, decided = fleet.now, len(fleet.decision_times)
    processes = [*fleet.workers, *fleet.nodes]
    before = [process.busy for process in processes]
    counted = _work_of(fleet.nodes)
    fleet.run(lambda: len(fleet.request_times) >= requests)
    elapsed = fleet.now - began
    busy = [(process.busy - old) / elapsed for process, old in zip(processes, before, strict=True)]
    times, decisions = sorted(fleet.request_times[first:]), sorted(fleet.decision_times[decided:])
    turns, items, reads, wakes = (now - old for now, old in zip(_work_of(fleet.nodes), counted, strict=True))
    workers = len(fleet.workers)
    return Outcome(
        per_second=len(times) / elapsed,
        p50=_quantile(times, 0.5),
        p99=_quantile(times, 0.99),
        decision_p50=_quantile(decisions, 0.5),
        decision_p99=_quantile(decisions, 0.99),
        worker_busy=sum(busy[:workers]) / workers,
        node_busy=max(busy[workers:]),
        together=items / max(1, turns),
        reads_per_decision=reads / max(1, items),
        wakes_per_decision=wakes / max(1, items),
    )


def _work_of(nodes: list[_Process]) -> tuple[int, int, int, int]:
    """Turns, decisions, connections read, and how often they woke up, so far."""
    return (
        sum(node.turns for node in nodes),
        sum(node.items for node in nodes),
        sum(node.reads for node in nodes),
        sum(node.wakes for node in nodes),
    )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def bend(points: Iterator[tuple[float, float]] | list[tuple[float, float]], *, times: float = 2.0) -> float:
    """The largest load at which a time is at most so many times that of the first: points are (load, seconds), by
    load. Between two points the time is taken to grow evenly."""
    ordered = list(points)
    most = ordered[0][1] * times
    for (load, seconds), (next_load, next_seconds) in itertools.pairwise(ordered):
        if next_seconds > most:
            return load + (next_load - load) * (most - seconds) / (next_seconds - seconds)
    return ordered[-1][0]
