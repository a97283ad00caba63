"""Log lines as the guard writes them, made by the guard's own log."""

from __future__ import annotations

import io

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import Event
from fraiseql_guard.telemetry import EventLog

START = 1_800_000_000.0  # 2027-01-15T08:00:00Z


class Log:
    """Collects lines; the clock moves a second with each, so that no flood limit bites."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.now = START
        self._log = EventLog(Settings.load({}), stream=self.stream, clock=lambda: self.now)

    def write(self, event: Event, count: int = 1, **context: object) -> Log:
        """Write some lines about the same."""
        for _ in range(count):
            self.now += 1
            self._log.emit(event, context, subject=str(self.now), **context)
        return self

    @property
    def text(self) -> bytes:
        """All lines so far."""
        self._log.flush()
        return self.stream.getvalue().encode()
