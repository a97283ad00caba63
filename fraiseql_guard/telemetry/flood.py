"""How many log lines of one kind a second may have: the rest is counted and owned up to by a later line."""

from __future__ import annotations

from collections import Counter
from typing import Final

LINES_PER_SUBJECT: Final = 5
LINES_PER_EVENT: Final = 200
_MAX_DEBTORS: Final = 1000  # subjects that lines are owed to; beyond, the event owes them


class _Event:
    __slots__ = ("by_subject", "lines", "owed", "owed_to_others", "second")

    def __init__(self) -> None:
        self.second = 0
        self.lines = 0
        self.by_subject: Counter[str] = Counter()  # of this second; as many entries as lines at most
        self.owed: Counter[str] = Counter()
        self.owed_to_others = 0


class FloodLimits:
    """Lines per second of the clock, for each event and for each of its subjects.

    Every line left out is reported exactly once, by the next line about the same event and subject. Memory is bounded
    whatever the subjects. Threads may cost an exact count, nothing else.
    """

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: dict[str, _Event] = {}

    def admit(self, event: str, subject: str, now: float, *, always: bool = False) -> int | None:
        """How many lines were left out before this one; None if this one is left out as well."""
        state = self._events.get(event)
        if state is None:
            state = self._events[event] = _Event()
        if (second := int(now)) != state.second:  # also when the clock was set back
            state.second, state.lines = second, 0
            state.by_subject.clear()
        if not always:
            if state.lines >= LINES_PER_EVENT or state.by_subject[subject] >= LINES_PER_SUBJECT:
                self._owe(state, subject)
                return None
            state.lines += 1
            state.by_subject[subject] += 1
        if not state.owed and not state.owed_to_others:
            return 0
        owed, state.owed_to_others = state.owed.pop(subject, 0) + state.owed_to_others, 0
        return owed

    def leave_out(self, event: str, subject: str, lines: int) -> None:
        """So many lines are left out without being asked for."""
        state = self._events.get(event)
        if state is None:
            state = self._events[event] = _Event()
        self._owe(state, subject, lines)

    @staticmethod
    def _owe(state: _Event, subject: str, lines: int = 1) -> None:
        if subject in state.owed or len(state.owed) < _MAX_DEBTORS:
            state.owed[subject] += lines
        else:
            state.owed_to_others += lines
