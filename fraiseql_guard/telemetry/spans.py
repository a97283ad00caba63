"""The spans of OpenTelemetry, if the app uses it. Without ``opentelemetry-api`` there are none, and they cost nothing.

An instrumentation may stand outside of the guard or inside. Outside, its span is active when the guard begins. Inside,
it is active in the task that runs the app, and is found when the answer begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from secrets import randbits
from typing import Any, Final

CODE: Final = "fraiseql_guard.code"
PROTECTION: Final = "fraiseql_guard.protection"
ENFORCED: Final = "fraiseql_guard.enforced"

Span = Any
"""An OpenTelemetry span; None where there is none."""

try:
    from opentelemetry import context as _context
    from opentelemetry import trace as _trace
except ImportError:
    _trace = None  # type: ignore[assignment]


def _no_span() -> Span:
    return None


def _active_span() -> Span:
    known = _context.get_current()
    if not known:
        return None  # no span is active: the quick way to find out
    span = _trace.get_current_span(known)
    return span if span.get_span_context().is_valid else None


active_span: Final[Callable[[], Span]] = _no_span if _trace is None else _active_span
"""The active span; None where there is none."""


def span_in(task: asyncio.Task[Any] | None) -> Span:
    """The span that is active in a task, for a timer, which runs in no request's context; None without a task or a
    span, and before Python 3.12, where the context of another task cannot be read."""
    if task is asyncio.current_task():
        return active_span()
    get_context = getattr(task, "get_context", None)
    return None if get_context is None else get_context().run(active_span)


def trace_of(span: Span) -> str:
    """The trace id of a span, 32 hex digits; ``""`` without a span."""
    return f"{span.get_span_context().trace_id:032x}" if span else ""


def sampled_trace(span: Span) -> str:
    """The trace id of a span that is sampled, so that it can be found later; else ``""``."""
    if not span:
        return ""
    context = span.get_span_context()
    return f"{context.trace_id:032x}" if context.trace_flags.sampled else ""


def mark(span: Span, code: str, protection: str, *, enforced: bool = True) -> None:
    """Mark a span: its request was refused, or would be if its protection were enforced."""
    if span and span.is_recording():
        span.set_attribute(CODE, code)
        span.set_attribute(PROTECTION, protection)
        span.set_attribute(ENFORCED, enforced)


class Tracing:
    """Gives the app a trace for a request that came without one, so that its instrumentation uses the trace id that the
    guard logs.

    The app's own sampler decides whether such a trace is sampled. Where the sampler is not known (there is no SDK, or
    the sampler was given to the instrumentation alone) the app gets no trace, because that would overrule its sampling;
    the guard then reads the trace id when the answer begins.
    """

    __slots__ = ("_propagate", "_sampler")

    def __init__(self) -> None:
        self._sampler: Any = None
        self._propagate: Any = None  # imported only if there is a trace to hand down: that takes a while

    @property
    def active(self) -> bool:
        """Whether the app traces its requests, as of the last :meth:`look`."""
        return self._sampler is not None

    def look(self) -> None:
        """Find out whether the app has set a tracer provider. Too slow for every request."""
        if _trace is None or self._sampler is not None:
            return
        with suppress(Exception):  # code of a tracing library
            sampler = getattr(_trace.get_tracer_provider(), "sampler", None)
            # Without an SDK the provider has no sampler, and the next look asks again.
            if sampler is not None:
                from opentelemetry import propagate

                self._sampler, self._propagate = sampler, propagate

    def headers_for(
        self, headers: Mapping[bytes, bytes], method: str, trace_id: Callable[[], str]
    ) -> dict[bytes, bytes]:
        """The headers that give the app a trace; {} if the request came with a trace, a span is active around the
        guard, or the sampler is not known."""
        if self._sampler is None or active_span() is not None:
            return {}
        # A trace of the client's, in the propagator's own headers.
        came = _trace.get_current_span(self._propagate.extract(headers, getter=_getter)).get_span_context()
        # A client that sends a trace of its own keeps it.
        if came.is_valid:
            return {}
        number = int(trace_id(), 16)
        sampled = self._sampler.should_sample(None, number, method, _trace.SpanKind.SERVER).decision.is_sampled()
        flags = _trace.TraceFlags(_trace.TraceFlags.SAMPLED if sampled else _trace.TraceFlags.DEFAULT)
        # A remote parent span with the guard's trace id, in the headers of the app's propagator.
        parent = _trace.SpanContext(number, randbits(64) or 1, is_remote=True, trace_flags=flags)
        carrier: dict[str, str] = {}
        self._propagate.inject(carrier, _trace.set_span_in_context(_trace.NonRecordingSpan(parent)))
        return {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in carrier.items()}


class _Headers:
    """A getter for OpenTelemetry's propagators that reads the headers of ASGI."""

    def get(self, carrier: Mapping[bytes, bytes], key: str) -> list[str] | None:
        value = carrier.get(key.lower().encode("latin-1"))
        return None if value is None else [value.decode("latin-1")]

    def keys(self, carrier: Mapping[bytes, bytes]) -> list[str]:
        return [name.decode("latin-1") for name in carrier]


_getter: Final[Any] = _Headers()
