"""The ids that tie a log line to a request: its trace id, and a request id that the guard always makes itself."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final

from fraiseql_guard.telemetry.spans import Span, active_span, trace_of

_TRACEPARENT: Final = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_ID_CHARS: Final = 32
_DRAWN_BYTES: Final = 4096


class Ids:
    """Random ids of 32 hex digits: 128 bits of the system's randomness each. Thread-safe, as ``list.pop`` is.

    They are drawn many at a time, because a system call costs more than making an id of its bytes. Ids that a forked
    process inherits are thrown away, so that no two processes use the same id.
    """

    __slots__ = ("_drawn",)

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def __call__(self) -> str:
        """The next id."""
        try:
            return self._drawn.pop()
        except IndexError:
            digits = os.urandom(_DRAWN_BYTES).hex()
            # One assignment, so that another thread takes from the old list or from the new one.
            self._drawn = [digits[start : start + _ID_CHARS] for start in range(_ID_CHARS, len(digits), _ID_CHARS)]
            return digits[:_ID_CHARS]

    def forget(self) -> None:
        """Throw the drawn ids away after a fork: the parent holds them too."""
        self._drawn = []


_next_id: Final = Ids()
os.register_at_fork(after_in_child=_next_id.forget)


def trace_id(traceparent: str | None, span: Span = None) -> str:
    """The trace id of a request, 32 lowercase hex digits: of the OpenTelemetry span, else of a valid traceparent (W3C),
    else random. None as ``span`` stands for the active span, ``""`` for no span."""
    if found := trace_of(active_span() if span is None else span):
        return found
    if traceparent and (match := _TRACEPARENT.fullmatch(traceparent)):
        version, trace, rest = match.groups()
        if not (rest and version == "00"):  # version 00 has exactly four parts; later ones may have more
            return str(trace)
    return _next_id()


request_id: Final[Callable[[], str]] = _next_id
"""A new request id: 32 hex digits, 128 bits that cannot be guessed. It never comes from the client, because refusals
are looked up by it."""
