"""The audit of commands that act without a worker: a line for each change, in the log file or on standard error.

Lines are written before the command goes on, not in the background: no command ends without its line.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from fraiseql_guard.cli.render import warn
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import Event
from fraiseql_guard.telemetry import EventLog
from fraiseql_guard.telemetry.log.sinks import FileSink, Sink, StreamSink

_FLUSH_SECONDS: Final = 5.0


class CommandAudit:
    """An Audit (operations/operator/deps.py). A line that cannot be written to the file goes to standard error. Never
    raises."""

    def __init__(self, settings: Settings) -> None:
        self._rendered = io.StringIO()
        self._log = EventLog(settings, stream=self._rendered)
        self._file = settings.log_file
        self._sink: Sink = StreamSink() if self._file is None else FileSink(self._file)

    def __call__(self, event: Event, fields: Mapping[str, Any]) -> None:
        """Write the line of a change."""
        # Rendered as in a worker's log, then written here and now.
        self._log.emit(event, fields, always=True)
        self._log.flush(_FLUSH_SECONDS)
        line = self._rendered.getvalue().encode()
        # The buffer is emptied for the next line.
        self._rendered.seek(0)
        self._rendered.truncate()
        try:
            self._sink.write(line)
        except (OSError, ValueError) as error:
            with suppress(OSError, ValueError):  # standard error may be missing too
                warn(f"{name_of('log_file')}={str(self._file)!r} takes no line: {error}. It is:")
                StreamSink().write(line)
