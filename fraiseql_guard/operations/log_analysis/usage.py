"""Reads the measures of answered requests from a log, for tuning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.operations.log_analysis.log_line import LogFilter, parse
from fraiseql_guard.operations.log_analysis.wrappers import unwrapped
from fraiseql_guard.operations.tuning.observing import of_line
from fraiseql_guard.operations.tuning.usage import UsageTable

_ANSWERED: Final = s.HTTP_REQUEST.name.encode()


@dataclass(slots=True)
class LogUsage:
    """The measures of answered requests, added up in bounded memory."""

    table: UsageTable = field(default_factory=UsageTable)
    lines: int = 0
    """Number of all lines."""
    measured: int = 0
    """Number of lines with measures."""
    without: int = 0
    """Number of lines of answered requests without measures: of other paths, of older versions, or with measures
    switched off."""

    def read(self, lines: Iterable[bytes], wanted: LogFilter) -> None:
        """Add the lines of one file that the filter wants. Lines of other events are skipped."""
        for line in unwrapped(lines):
            self.lines += bool(line)
            # Tested before parsing, since most lines may be of other events and other programs.
            if _ANSWERED not in line:
                continue
            entry = parse(line)
            if entry is None or entry.event != s.HTTP_REQUEST.name or not wanted.has(entry):
                continue
            seen = of_line(entry.context, entry.timestamp, entry.weight - 1)
            if seen is None:
                self.without += 1
            else:
                self.measured += 1
                self.table.add(seen)
