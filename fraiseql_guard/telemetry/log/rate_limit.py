"""Limits the log lines of each event and subject in a second. Lines beyond the limit are counted, and the next line
says how many were left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Final

from fraiseql_guard.core.callers import Subject

LINES_PER_SUBJECT: Final = 5
LINES_PER_EVENT: Final = 200
LINES_PER_KIND: Final = 150
"""Lines of one event about subjects of one kind (users, addresses): a flood about one kind leaves room for the
other."""
_MAX_SUBJECTS: Final = 1000
"""Subjects of an event with a count of left-out lines of their own; the left-out lines of further subjects share
one."""


class _EventLines:
    """The lines of one event: those of this second, and those that were left out and not reported yet."""

    __slots__ = ("left_out", "left_out_of_others", "lines", "second", "written")

    def __init__(self) -> None:
        self.second = 0
        self.lines = 0
        self.written: dict[Hashable, int] = {}  # by subject, network and kind
        self.left_out: Counter[Hashable] = Counter()
        self.left_out_of_others = 0


class LogRateLimit:
    """Limits the lines in each second of the clock, for each event and for each of its subjects.

    A subject is a caller, or a text of the guard's own. The addresses of an IPv6 /64 (or of another prefix) are
    one caller. Its /56 and /48 may have four and sixteen times the lines of one caller, because an attacker can use any
    address inside of them.

    Every line that is left out is reported once, by the next line about the same event and subject. Memory is bounded.
    Calls from several threads at once may count a line wrongly, and do no other harm.
    """

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: dict[str, _EventLines] = {}

    @property
    def remembered(self) -> int:
        """How many entries are remembered: subjects with lines that were written, and with lines that were left out."""
        return sum(len(state.written) + len(state.left_out) for state in self._events.values())

    def admit(self, event: str, subject: Subject | str, now: float, *, always: bool = False) -> int | None:
        """Take room for a line at ``now`` (Unix time). Returns how many lines were left out before it; None if this one
        is left out as well."""
        state = self._events.get(event)
        if state is None:
            state = self._events[event] = _EventLines()
        if (second := int(now)) != state.second:  # also if the clock was set back
            # Fixed seconds instead of a window that slides: one number for each subject, emptied together.
            state.second, state.lines = second, 0
            state.written.clear()
        key = _key(subject)
        if not always and not _take(state, subject, key):
            _leave_out(state, key)
            return None
        if not state.left_out and not state.left_out_of_others:  # nearly always
            return 0
        left_out, state.left_out_of_others = state.left_out.pop(key, 0) + state.left_out_of_others, 0
        return left_out

    def leave_out(self, event: str, subject: Subject | str, lines: int) -> None:
        """Count so many lines as left out, without asking for room."""
        state = self._events.get(event)
        if state is None:
            state = self._events[event] = _EventLines()
        _leave_out(state, _key(subject), lines)


def _key(subject: Subject | str) -> Hashable:
    return subject if isinstance(subject, str) else subject.key


def _take(state: _EventLines, subject: Subject | str, key: Hashable) -> bool:
    """Take room for a line from the event, from its subject, and from the subject's kind and networks. False if one of
    them has no room; then nothing is taken."""
    written = state.written
    if state.lines >= LINES_PER_EVENT or written.get(key, 0) >= LINES_PER_SUBJECT:
        return False
    wider = () if isinstance(subject, str) else _wider(subject)
    # All limits are asked before any counts the line, so that a line that is left out takes no room anywhere.
    for each, most in wider:
        if written.get(each, 0) >= most:
            return False
    state.lines += 1
    written[key] = written.get(key, 0) + 1
    for each, _ in wider:
        written[each] = written.get(each, 0) + 1
    return True


def _wider(subject: Subject) -> tuple[tuple[Hashable, int], ...]:
    """The kind of a caller and the networks around it, each with its lines a second."""
    kind = (subject.kind, LINES_PER_KIND)
    if not subject.networks:
        return (kind,)
    return (kind, *[(name, LINES_PER_SUBJECT * factor) for name, factor in subject.networks])


def _leave_out(state: _EventLines, key: Hashable, lines: int = 1) -> None:
    if key in state.left_out or len(state.left_out) < _MAX_SUBJECTS:
        state.left_out[key] += lines
    else:
        state.left_out_of_others += lines
