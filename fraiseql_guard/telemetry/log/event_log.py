"""Writes log lines in the form of the contract, one JSON object each, through a private structlog chain."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

import orjson

from fraiseql_guard.core import signals
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import Event, Metric
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.telemetry.log.rate_limit import LogRateLimit
from fraiseql_guard.telemetry.log.sanitize import MAX_TEXT_CHARS, down_to_the_second, safe_text, safe_value, timestamp
from fraiseql_guard.telemetry.log.sinks import FileSink, Sink, StreamSink
from fraiseql_guard.telemetry.log.writer import LineWriter

if TYPE_CHECKING:
    from structlog.typing import EventDict

# Lines about the configuration have longer texts, which are the guard's own.
_OWN_WORDS: Final = frozenset({signals.STARTED.name, signals.START_FAILED.name, signals.CONFIGURATION.name})
_MAX_OWN_CHARS: Final = 2000
_LONGER: Final = {signals.QUERY_TEXT: 20_000}

_NUMBERS: Final = logging.getLevelNamesMapping()
_AUDIT: Final = "admin."
"""Begins the names of the audit's events, which are written at every level."""

_Speak = Callable[[str, Event, dict[str, object], str, float | None], None]


class Counts(Protocol):
    """The part of Metrics that the log uses: it counts lines that are lost."""

    def inc(self, metric: Metric, *labels: str, amount: float = 1) -> None:
        """Add to a counter."""


class EventLog:
    """Writes events to standard error, to ``settings.log_file``, to ``stream``, or through the app's own ``logger``.

    ``logger`` is a logging.Logger, one of structlog's, or anything with methods info, warning, error and critical that
    take the event's name and keywords. It gets the event's name with ``message``, ``context`` and ``trace_id`` (a
    logging.Logger as ``extra``, with ``event_message``), and ``timestamp`` if the line is about an earlier moment.
    ``clock`` is Unix time. Lines that are left out by the rate limit, or lost, are counted in ``metrics``; those below
    ``settings.log_level`` are not. SettingsError if the log file cannot be opened.
    """

    __slots__ = ("_clock", "_counts", "_rate_limit", "_shut", "_speak", "_writer")

    def __init__(
        self,
        settings: Settings,
        metrics: Counts | None = None,
        *,
        logger: Any = None,
        clock: Callable[[], float] = time.time,
        stream: TextIO | None = None,
    ) -> None:
        self._clock = clock
        self._counts = metrics
        self._rate_limit = LogRateLimit()
        # Looked up by name for each line: levels are compared here once.
        self._shut = _below(settings.log_level)
        self._writer: LineWriter | None = None
        if logger is not None:
            # Chosen once: a line is written without asking again where to.
            self._speak = _through_logging(logger) if isinstance(logger, logging.Logger) else _through_structlog(logger)
        else:
            self._writer = LineWriter(_sink(settings, stream), on_failure=self._count_failures)
            self._speak = _through_own(_private_chain(self._writer.put, clock))

    def emit(
        self,
        event: Event,
        context: Mapping[str, object],
        *,
        subject: Subject | str = "",
        trace_id: str = "",
        always: bool = False,
        **extra: object,
    ) -> bool:
        """Log one event; False if its line was left out. Never raises, and never waits for a disk or a reader.

        The line's context has exactly the event's fields (null if missing), then ``extra``. Lines beyond the rate limit
        of their event and ``subject`` are left out, unless the event or the argument says ``always``. The next line of
        the same event and subject says how many were left out (``suppressed``).
        """
        suppressed = self.admit(event, subject, always=always)
        if suppressed is None:
            return False
        self.write(event, context, suppressed, trace_id, extra)
        return True

    def admit(self, event: Event, subject: Subject | str, *, always: bool = False) -> int | None:
        """Take room for a line before it is made. Returns how many lines were left out before it, and then the caller
        must :meth:`write` it; None if this line is left out as well. Never raises."""
        if event.name in self._shut:
            return None
        suppressed = self._rate_limit.admit(event.name, subject, self._clock(), always=always or event.always)
        if suppressed is None and self._counts is not None:
            self._counts.inc(signals.LOG_LINES_SUPPRESSED, event.name)
        return suppressed

    def write(
        self,
        event: Event,
        context: Mapping[str, object],
        suppressed: int,
        trace_id: str,
        extra: Mapping[str, object],
        *,
        at: float | None = None,
    ) -> None:
        """Write a line that :meth:`admit` took room for. ``suppressed`` is what that returned; ``at`` is when the event
        happened (Unix time), if not now. Never raises."""
        try:
            # Exactly the event's fields, in their order, then the extra ones.
            longest = _MAX_OWN_CHARS if event.name in _OWN_WORDS else MAX_TEXT_CHARS
            get = context.get
            safe = {field: safe_value(get(field), longest) for field in event.fields}
            # setdefault: no extra field may replace a field of the contract.
            for key, value in extra.items():
                # Measures are made of numbers and safe texts (recorder/measures.py): to go through them costs the most.
                kept = value if key == signals.MEASURES else safe_value(value, _LONGER.get(key, longest))
                safe.setdefault(safe_text(key), kept)
            if suppressed:
                safe["suppressed"] = suppressed
            self._speak(event.level.lower(), event, safe, safe_text(trace_id), at)
        except Exception:  # noqa: BLE001 - a line that cannot be logged must not cost a request
            self._count_failures(1)

    def leave_out(self, event: Event, subject: Subject | str, lines: int) -> None:
        """Count further lines of an event and subject as left out, without making them."""
        if event.name in self._shut:
            return
        self._rate_limit.leave_out(event.name, subject, lines)
        if self._counts is not None:
            self._counts.inc(signals.LOG_LINES_SUPPRESSED, event.name, amount=lines)

    def now(self) -> float:
        """The Unix time of this log's clock."""
        return self._clock()

    def flush(self, timeout_seconds: float = 1.0) -> bool:
        """Wait until all lines are written; False if that takes longer than the timeout."""
        return self._writer.flush(timeout_seconds) if self._writer else True

    def close(self) -> None:
        """Write the last lines, for at most a second. Also done when the interpreter exits."""
        if self._writer:
            self._writer.close()

    def _count_failures(self, lines: int) -> None:
        if self._counts is not None:
            self._counts.inc(signals.LOG_FAILURES, amount=lines)


def _sink(settings: Settings, stream: TextIO | None) -> Sink:
    if stream is not None or settings.log_file is None:
        return StreamSink(stream)
    sink = FileSink(settings.log_file)
    try:
        # Opened and closed at the start, so that a wrong path is an error then and not with the first line.
        sink.check()
    except OSError as error:
        name = name_of("log_file")
        raise SettingsError(f"{name}={str(settings.log_file)!r} cannot be opened for appending: {error}") from None
    return sink


def _below(level: str) -> frozenset[str]:
    """The names of the events below a log level, which are not written."""
    lowest = _NUMBERS[level.upper()]
    return frozenset(
        event.name for event in signals.EVENTS if _NUMBERS[event.level] < lowest and not event.name.startswith(_AUDIT)
    )


def _through_own(logger: Any) -> _Speak:
    def speak(level: str, event: Event, context: dict[str, object], trace_id: str, at: float | None) -> None:
        getattr(logger, level)(event.name, message=event.message, context=context, trace_id=trace_id, at=at)

    return speak


def _through_structlog(logger: Any) -> _Speak:
    def speak(level: str, event: Event, context: dict[str, object], trace_id: str, at: float | None) -> None:
        when = {} if at is None else {"timestamp": timestamp(at)}
        getattr(logger, level)(event.name, message=event.message, context=context, trace_id=trace_id, **when)

    return speak


def _through_logging(logger: logging.Logger) -> _Speak:
    def speak(level: str, event: Event, context: dict[str, object], trace_id: str, at: float | None) -> None:
        # "message" is a LogRecord's own attribute and must not be in extra.
        extra = {"event": event.name, "event_message": event.message, "context": context, "trace_id": trace_id}
        if at is not None:
            extra["timestamp"] = timestamp(at)
        logger.log(_NUMBERS[level.upper()], event.name, extra=extra)

    return speak


class _Lines:
    """The end of the private chain: a logger whose every level writes to the same place."""

    __slots__ = ("critical", "error", "info", "warning")

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self.info = self.warning = self.error = self.critical = put


def _private_chain(put: Callable[[bytes], None], clock: Callable[[], float]) -> Any:
    """A structlog logger with its whole configuration given: the app's structlog.configure does not change it, and it
    does not change the app's."""
    import structlog  # a guard that writes through the app's logger needs none

    chain = structlog.wrap_logger(
        _Lines(put),
        processors=[_Shape(clock), _render],
        wrapper_class=structlog.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return chain.bind()


class _Shape:
    """A structlog processor that brings the line's keys into the order of the contract."""

    __slots__ = ("_clock", "_made")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._made = (-1, "")

    def __call__(self, _: Any, level: str, event: EventDict) -> EventDict:
        return {
            "timestamp": self._timestamp(event["at"]),
            "level": level.upper(),
            "event": event["event"],
            "message": event["message"],
            "context": event["context"],
            "trace_id": event["trace_id"],
        }

    def _timestamp(self, at: float | None) -> str:
        """A Unix time, or now if it is None, in RFC 3339, in UTC with milliseconds. The part without fractions is made
        once a second."""
        now = self._clock() if at is None else at
        second = int(now)
        made, prefix = self._made  # one value, so that threads never see half of it
        if second != made:
            prefix = down_to_the_second(second)
            self._made = (second, prefix)
        return f"{prefix}.{int((now - second) * 1000):03d}Z"


def _render(_: Any, __: str, event: EventDict) -> bytes:
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
