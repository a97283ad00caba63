"""How much a run measures, and what it shows of its progress."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

SHORT_MINUTES = 4.3
"""After so much time the short form begins no other round, and leaves the rest of five minutes to Redis's faults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """``requests`` at concurrency 64 a round and variant, in so many ``slices``; ``counted`` tell a variant's commands.

    ``minutes``: no other round begins that would not be over by then. ``faults``: for which variants Redis is killed
    and frozen: all, or those of these names.
    """

    rounds: int = 5
    requests: int = 10_000
    slices: int = 10
    counted: int = 2_000
    minutes: float = math.inf
    faults: frozenset[str] | None = None

    def tests_faults_of(self, name: str) -> bool:
        """Whether Redis is taken away from this variant."""
        return self.faults is None or name in self.faults


def effort(options: argparse.Namespace, ours: str) -> Effort:
    """What the command line asks for. The short form takes Redis away from ``ours`` alone."""
    faults = frozenset() if options.no_faults else frozenset({ours}) if options.short else None
    if options.short:
        return Effort(
            rounds=options.rounds or 3,
            requests=options.requests or 1_500,
            slices=3,
            counted=200,
            minutes=SHORT_MINUTES,
            faults=faults,
        )
    return Effort(rounds=options.rounds or 5, requests=options.requests or 10_000, faults=faults)


def rounds_in_time(wanted: Effort) -> Iterator[int]:
    """The numbers of the rounds, from 1: as many as are wanted, and no other one after the first that would take too
    long."""
    began, longest = time.monotonic(), 0.0
    for number in range(1, wanted.rounds + 1):
        round_began = time.monotonic()
        if number > 1 and round_began - began + longest > wanted.minutes * 60:
            return
        yield number
        longest = max(longest, time.monotonic() - round_began)


class Progress:
    """What is being done, on standard error: one line that changes on a terminal, else a line for each step."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def step(self, what: str) -> None:
        """Something that takes seconds begins."""
        took = time.monotonic() - self._began
        line = f"{took // 60:3.0f}:{took % 60:02.0f} {what}"
        print(
            f"\r{line:78}" if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr, flush=True
        )

    def detail(self, what: str) -> None:
        """A part of a step: too many to leave a line each in a file."""
        if self._terminal:
            self.step(what)

    def end(self) -> None:
        """Leave the terminal's line empty."""
        if self._terminal:
            print(f"\r{'':78}\r", end="", file=sys.stderr, flush=True)
