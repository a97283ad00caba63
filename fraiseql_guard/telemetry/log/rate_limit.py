"""How many log lines of one kind a second may have: the rest is counted and owned up to by a later line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Final

from fraiseql_guard.core.context import Subject

LINES_PER_SUBJECT: Final = 5
LINES_PER_EVENT: Final = 200
LINES_PER_KIND: Final = 150
"""Of these, for users and for addresses each: a flood of the one leaves room for lines about the other."""
_MAX_DEBTORS: Final = 1000  # subjects that lines are owed to; beyond, the event owes them


class _Event:
    __slots__ = ("lines", "owed", "owed_to_others", "second", "written")

    def __init__(self) -> None:
        self.second = 0
        self.lines = 0
        self.written: dict[Hashable, int] = {}  # in this second, by subject, network and kind: a few for each line
        self.owed: Counter[Hashable] = Counter()
        self.owed_to_others = 0


class FloodLimits:
    """Lines per second of the clock, for each event and for each of its subjects.

    A subject is a caller, or a text of ours. The addresses of an IPv6 /64 are one caller, and its /56 and /48 have four
    and sixteen times the lines of one: changing addresses is free inside of them.

    Every line left out is reported exactly once, by the next line about the same event and subject. Memory is bounded
    whatever the subjects. Threads may cost an exact count, nothing else.
    """

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: dict[str, _Event] = {}

    @property
    def remembered(self) -> int:
        """How many subjects are remembered, of all events: what they have written, or lines that they are owed."""
        return sum(len(state.written) + len(state.owed) for state in self._events.values())

    def admit(self, event: str, subject: Subject | str, now: float, *, always: bool = False) -> int | None:
        """How many lines were left out before this one; None if this one is left out as well."""
        state = self._events.get(event)
        if state is None:
            state = self._events[event] = _Event()
        if (second := int(now)) != state.second:  # also when the clock was set back
            state.second, state.lines = second, 0
            state.written.clear()
        key = _key(subject)
        if not always and not _take(state, subject, key):
            _owe(state, key)
            return None
        if not state.owed and not state.owed_to_others:
            return 0
        owed, state.owed_to_others = state.owed.pop(key, 0) + state.owed_to_others, 0
        return owed

    def leave_out(self, event: str, subject: Subject | str, lines: int) -> None:
        """So many lines are left out without being asked for."""
        state = self._events.get(event)
        if state is None:
            state = self._events[event] = _Event()
        _owe(state, _key(subject), lines)


def _key(subject: Subject | str) -> Hashable:
    return subject if isinstance(subject, str) else subject.key


def _take(state: _Event, subject: Subject | str, key: Hashable) -> bool:
    """Take room for a line from the event, its subject, and all that the subject belongs to; False if one has none."""
    written = state.written
    if state.lines >= LINES_PER_EVENT or written.get(key, 0) >= LINES_PER_SUBJECT:
        return False
    wider = () if isinstance(subject, str) else _wider(subject)
    for each, most in wider:
        if written.get(each, 0) >= most:
            return False
    state.lines += 1
    written[key] = written.get(key, 0) + 1
    for each, _ in wider:
        written[each] = written.get(each, 0) + 1
    return True


def _wider(subject: Subject) -> tuple[tuple[Hashable, int], ...]:
    """What a caller belongs to, and how many lines that may have: its kind, and the networks around it."""
    kind = (subject.kind, LINES_PER_KIND)
    if not subject.networks:
        return (kind,)
    return (kind, *[(name, LINES_PER_SUBJECT * factor) for name, factor in subject.networks])


def _owe(state: _Event, key: Hashable, lines: int = 1) -> None:
    if key in state.owed or len(state.owed) < _MAX_DEBTORS:
        state.owed[key] += lines
    else:
        state.owed_to_others += lines
