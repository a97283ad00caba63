"""Follows the framing of a streamed answer: where a whole event ends, and how many events have gone by.

Sources: server-sent events, WHATWG HTML section 9.2.6; multipart, RFC 2046 section 5.1.1; heartbeats of subscriptions
over multipart, Apollo's protocol with subscriptionSpec=1.0; ``next`` and ``complete``, the GraphQL over SSE protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import orjson

from fraiseql_guard.graphql.http.media_types import EVENTS, MediaType, accepted_ranges

_HEARTBEAT: Final = b":\n\n"
_FIELD_BYTES: Final = 64
"""How much of a line is kept until it ends: more than the name and the type of an event take."""
_PART_BYTES: Final = 65_536
"""How much of a part is kept: behind a longer one no heartbeat is sent."""
_EMPTY_PART: Final = b"Content-Type: application/json\r\n\r\n{}"


class Framing(Protocol):
    """The framing of one answer. ``between`` what is whole, and there alone, the guard may say something itself."""

    def feed(self, chunk: bytes) -> int:
        """How many events have begun to reach the client with this part of the answer."""
        ...

    def heartbeat(self) -> bytes | None:
        """What shows life and means nothing, at this place in the answer; None where nothing may be said."""
        ...

    def farewell(self, answer: bytes) -> bytes | None:
        """The end of the answer, with a last result; None where nothing may be said."""
        ...


class UnreadFraming:
    """An answer that is not read: encoded, of a known length, or in a form that is not known. Each part is an event."""

    def feed(self, chunk: bytes) -> int:
        """One for each part that is not empty."""
        return 1 if chunk else 0

    def heartbeat(self) -> None:
        """None: nothing is known of the place."""

    def farewell(self, answer: bytes) -> None:
        """None: nothing is known of the place."""


class EventStreamFraming:
    """Server-sent events. Lines end with CR, LF, or CR LF, and an empty line ends an event."""

    _begun = b""  # of a line that has not ended yet
    _after_cr = False  # a LF that comes next belongs to the line before
    _fresh = True  # nothing has come since the last event
    _holds_data = False  # the event so far
    _completes = False  # the event is no result, but the end of all

    def feed(self, chunk: bytes) -> int:
        """How many events with data have ended in this part; the ``complete`` of the protocol is none."""
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
        elif not chunk:
            return 0
        self._after_cr = chunk[-1:] == b"\r"
        lines = chunk.splitlines()
        if not lines:
            return 0  # the second half of a line's end
        lines[0] = self._begun + lines[0]
        self._begun = b"" if chunk[-1:] in (b"\n", b"\r") else lines.pop()[:_FIELD_BYTES]
        events = 0
        for line in lines:
            if line:
                self._note(line)
            else:
                events += self._holds_data and not self._completes
                self._fresh, self._holds_data, self._completes = True, False, False
        return events

    def _note(self, line: bytes) -> None:
        self._fresh = False
        if line[:4] == b"data" and line[4:5] in (b"", b":"):
            self._holds_data = True
        elif line[:5] == b"event" and line[5:6] in (b"", b":"):
            self._completes = line[6:].removeprefix(b" ") == b"complete"

    @property
    def between(self) -> bool:
        """Whether what was sent so far are whole events."""
        return self._fresh and not self._begun

    def heartbeat(self) -> bytes | None:
        """A comment between two events."""
        return _HEARTBEAT if self.between else None

    def farewell(self, answer: bytes) -> bytes | None:
        """One more result, and the protocol's ``complete``."""
        return last_events(answer) if self.between else None


def last_events(answer: bytes) -> bytes:
    """A result that ends an operation, as server-sent events. ``answer`` is JSON in one line."""
    return b"event: next\ndata: %s\n\nevent: complete\ndata: \n\n" % answer


class MultipartFraming:
    """A multipart answer, its parts with the results in JSON. ``beats``: its clients know empty objects for
    heartbeats."""

    def __init__(self, boundary: bytes, *, beats: bool) -> None:
        self._dashes = b"--" + boundary
        self._delimiter = b"\r\n" + self._dashes
        self._beats = beats
        self._part = b"\r\n"  # what came since the last delimiter: the first one may have no line before it
        self._opened = False  # there was a delimiter
        self._counted = False  # the part
        self._whole = True  # all of the part is kept

    def feed(self, chunk: bytes) -> int:
        """How many parts with a result have begun in this part of the answer."""
        if not chunk:
            return 0
        events, looked = 0, max(0, len(self._part) - len(self._delimiter))
        rest = self._part + chunk
        while (end := rest.find(self._delimiter, looked)) >= 0:
            events += self._count(rest[:end])
            rest, looked = rest[end + len(self._delimiter) :], 0
            self._opened, self._counted, self._whole = True, False, True
        events += self._count(rest)
        if len(rest) > _PART_BYTES:
            self._whole, rest = False, rest[-len(self._delimiter) :]
        self._part = rest
        return events

    def _count(self, part: bytes) -> int:
        """One for a part whose result has begun, when it is seen for the first time."""
        if self._counted or not self._opened or not self._whole:
            return 0
        _, found, body = part.partition(b"\r\n\r\n")
        begins = body.lstrip()[:2]
        self._counted = bool(found) and len(begins) == 2 and begins != b"{}"
        return int(self._counted)

    def heartbeat(self) -> bytes | None:
        """An empty object as a part of its own."""
        return self._extra_part(_EMPTY_PART) if self._beats else None

    def farewell(self, answer: bytes) -> bytes | None:
        """The errors of the transport, which end the operation, and the last delimiter."""
        if not self._beats:
            return None
        part = b'Content-Type: application/json\r\n\r\n{"payload":null,%s' % answer[1:]
        extra = self._extra_part(part)
        if extra is None:
            return None
        if extra.endswith((self._dashes, self._dashes + b"\r\n")):  # that of the next part becomes the last one
            return extra.removesuffix(b"\r\n") + b"--\r\n"
        return extra.removesuffix(b"\r\n") + self._delimiter + b"--\r\n"

    def _extra_part(self, extra: bytes) -> bytes | None:
        """A part in between, so that what the app sends next continues behind it as it would without it."""
        part = self._part
        if not self._opened or not self._whole or part[:2] == b"--":
            return None
        # Behind a delimiter, or behind the line that it stands in: the extra part comes first.
        if not part:
            return b"\r\n" + extra + self._delimiter
        if part == b"\r\n":
            return extra + self._delimiter + b"\r\n"
        # Behind a whole object, with or without the line's end that may belong to the next delimiter.
        _, _, body = part.partition(b"\r\n\r\n")
        if not _is_object(body):
            return None
        if body.endswith(b"\r\n"):
            return self._dashes + b"\r\n" + extra + b"\r\n"
        return self._delimiter + b"\r\n" + extra if body.endswith(b"}") else None


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


def framing_of(headers: Mapping[bytes, bytes]) -> Framing:
    """The framing of an answer, by its head."""
    if b"content-encoding" in headers or b"content-length" in headers:
        return UnreadFraming()
    found = next(accepted_ranges(headers.get(b"content-type", b"").decode("latin-1")), None)
    if found is None:
        return UnreadFraming()
    if found.name == EVENTS:
        return EventStreamFraming()
    return _multipart(found)


def _multipart(found: MediaType) -> Framing:
    parameters = dict(found.parameters)
    boundary = parameters.get("boundary", "-")
    if found.name != "multipart/mixed" or not boundary:
        return UnreadFraming()
    beats = parameters.get("subscriptionspec", "").startswith("1.0")
    return MultipartFraming(boundary.encode("latin-1"), beats=beats)
