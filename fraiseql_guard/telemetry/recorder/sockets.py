"""Records WebSockets, and subscriptions over WebSockets and streamed answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.signals import ClosingReason, SocketProtocol, Transport
from fraiseql_guard.telemetry.recorder.emitter import SignalEmitter
from fraiseql_guard.telemetry.recorder.refusal_signals import EventLine


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketLife:
    """The totals of a closed WebSocket. ``closing_code`` is the status code of RFC 6455, section 7.4; ``seconds`` is
    how long it was open."""

    closing_code: int
    reason: ClosingReason
    seconds: float
    operations: int = 0
    events: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionLife:
    """The totals of an ended subscription over a streamed answer."""

    reason: ClosingReason
    seconds: float
    events: int


class SocketRecorder:
    """Turns the life of sockets and subscriptions into metrics and log lines."""

    def __init__(self, emitter: SignalEmitter) -> None:
        self._emitter = emitter
        self._metrics = metrics = emitter.metrics
        self._sockets: Counter[SocketProtocol] = Counter()
        self._subscriptions: Counter[Transport] = Counter()
        self._closed: Counter[ClosingReason] = Counter()
        self._opened = 0
        # The busy counters: their series are looked up once.
        self.message_came = partial(metrics.counter(s.SOCKET_MESSAGES, "in"), 1)
        """Count a message of a client."""
        self.message_left = partial(metrics.counter(s.SOCKET_MESSAGES, "out"), 1)
        """Count a message to a client."""
        self.event_passed = partial(metrics.counter(s.SUBSCRIPTION_EVENTS), 1)
        """Count an event of a subscription."""

    def opened(self, ctx: RequestContext, protocol: SocketProtocol) -> None:
        """A WebSocket was accepted."""
        self._sockets[protocol] += 1
        self._opened += 1
        self._metrics.inc(s.SOCKETS_OPENED, protocol.value)
        self._emitter.emit_lazily(ctx, s.SOCKET_OPENED, lambda: EventLine(s.SOCKET_OPENED, _spoken(protocol), {}))

    def closed(self, ctx: RequestContext, protocol: SocketProtocol, life: SocketLife) -> None:
        """A WebSocket that was opened has ended."""
        self._sockets[protocol] -= 1
        self._closed[life.reason] += 1
        self._metrics.inc(s.SOCKETS_CLOSED, life.reason.value)

        def line() -> EventLine:
            told = {
                **_spoken(protocol),
                "closing_code": life.closing_code,
                "reason": life.reason.value,
                "duration_seconds": round(life.seconds, 3),
                "operations": life.operations,
                "events": life.events,
                "received_bytes": life.received_bytes,
                "sent_bytes": life.sent_bytes,
            }
            return EventLine(s.SOCKET_CLOSED, told, {})

        self._emitter.emit_lazily(ctx, s.SOCKET_CLOSED, line)

    def subscribed(self, transport: Transport) -> None:
        """A subscription was let pass."""
        self._subscriptions[transport] += 1

    def unsubscribed(self, transport: Transport, seconds: float) -> None:
        """A subscription that was let pass has ended, after so many seconds."""
        self._subscriptions[transport] -= 1
        self._metrics.observe(s.SUBSCRIPTION_SECONDS, seconds)

    def stream_ended(self, ctx: RequestContext, transport: Transport, life: SubscriptionLife) -> None:
        """A subscription over a streamed answer has ended. No other line says so: its request is recorded with the time
        to its first event."""
        self.unsubscribed(transport, life.seconds)

        def line() -> EventLine:
            told = {
                "transport": transport.value,
                "reason": life.reason.value,
                "duration_seconds": round(life.seconds, 3),
                "events": life.events,
            }
            return EventLine(s.SUBSCRIPTION_ENDED, told, {})

        self._emitter.emit_lazily(ctx, s.SUBSCRIPTION_ENDED, line)

    @property
    def open(self) -> Mapping[str, int]:
        """How many WebSockets are open, by protocol, and how many subscriptions over streamed answers, by transport."""
        streamed = {name.value: self._subscriptions[name] for name in Transport if name is not Transport.SOCKET}
        return {**{protocol.value: count for protocol, count in self._sockets.items()}, **streamed}

    @property
    def opened_in_all(self) -> int:
        """How many WebSockets were opened so far."""
        return self._opened

    @property
    def closed_in_all(self) -> Mapping[str, int]:
        """How many WebSockets were closed so far, by reason."""
        return {reason.value: count for reason, count in self._closed.items()}

    def publish(self) -> None:
        """Set the gauges of open sockets and subscriptions, and of the most sockets that may be open."""
        self._metrics.set(s.SOCKETS_LIMIT, self._emitter.settings.max_sockets)
        for protocol in SocketProtocol:
            self._metrics.set(s.SOCKETS, self._sockets[protocol], protocol.value)
        for transport in Transport:
            self._metrics.set(s.SUBSCRIPTIONS, self._subscriptions[transport], transport.value)


def _spoken(protocol: SocketProtocol) -> dict[str, str]:
    return {"protocol": protocol.value}
