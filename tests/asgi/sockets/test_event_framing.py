"""What the guard says of its own in a streamed answer changes none of the app's events, wherever it is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.asgi.sockets.event_framing import Framing, framing_of
from tests.support.properties import examples

ERRORS = b'{"errors":[{"message":"no"}]}'
SSE = {b"content-type": b"text/event-stream; charset=utf-8"}


def apollo(boundary: str = "graphql") -> dict[bytes, bytes]:
    return {b"content-type": f"multipart/mixed;boundary={boundary};subscriptionSpec=1.0,application/json".encode()}


def events_of(stream: bytes) -> list[tuple[str, str]]:
    """The types and data of its events, by the algorithm of WHATWG HTML, section 9.2.6, character by character."""
    lines, line, after_cr = [], "", False
    for character in stream.decode():
        if character == "\n" and after_cr:
            after_cr = False
            continue
        after_cr = character == "\r"
        if character in "\r\n":
            lines.append(line)
            line = ""
        else:
            line += character
    found, kind, data = [], "", []
    for line in lines:
        if not line:
            if data:
                found.append((kind or "message", "\n".join(data)))
            kind, data = "", []
        name, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
    return found


def parts_of(stream: bytes, boundary: str = "graphql") -> list[Any]:
    """The JSON of its parts (RFC 2046, section 5.1.1) but for heartbeats; what is no part fails."""
    found = []
    for part in (b"\r\n" + stream).split(b"\r\n--" + boundary.encode())[1:]:
        if part.startswith(b"--"):
            break
        headers, separated, body = part.partition(b"\r\n\r\n")
        if separated:
            assert headers.startswith(b"\r\n")
            found.append(json.loads(body))
    return [each for each in found if each != {}]


def with_heartbeats(framing: Framing, chunks: Sequence[bytes]) -> tuple[bytes, int, int]:
    """The answer with a heartbeat wherever one may be sent; how many events were counted, and how many heartbeats."""
    sent, events, beats = b"", 0, 0
    for chunk in chunks:
        sent += chunk
        events += framing.feed(chunk)
        if (beat := framing.heartbeat()) is not None:
            sent, beats = sent + beat, beats + 1
    return sent, events, beats


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    ends = [*sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


LINES = st.one_of(
    st.sampled_from(
        ["", "", "", "data", "data:", "data: 1", "event: next", "event: complete", "event:complete", "event", ": ping",
         "id: 7", "database: x", "events: complete", "data: " + "x" * 100]
    ),
    st.text(alphabet="dateventcomple: {}", max_size=20),
)  # fmt: skip
PLACES = st.lists(st.integers(0, 10_000), max_size=12)


@examples(150)
@given(lines=st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n"])), max_size=20), places=PLACES)
def test_heartbeats_change_no_event_and_events_are_counted(lines, places) -> None:
    stream = "".join(line + end for line, end in lines).encode()
    sent, counted, _ = with_heartbeats(framing_of(SSE), cut(stream, places))
    assert events_of(sent) == events_of(stream)
    assert counted == sum(kind != "complete" for kind, _ in events_of(stream))


@examples(100)
@given(lines=st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n"])), max_size=20), places=PLACES)
def test_last_words_are_said_behind_whole_events_alone(lines, places) -> None:
    stream = "".join(line + end for line, end in lines).encode()
    for stop in range(len(cut(stream, places)) + 1):
        framing = framing_of(SSE)
        came = cut(stream, places)[:stop]
        for chunk in came:
            framing.feed(chunk)
        words = framing.farewell(ERRORS)
        if words is not None:
            last = [("next", ERRORS.decode()), ("complete", "")]
            assert events_of(b"".join(came) + words) == events_of(b"".join(came)) + last


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_behind_each_whole_event_there_is_room(end) -> None:
    framing = framing_of(SSE)
    event = f"event: next{end}data: {{}}{end}{end}".encode()
    assert framing.heartbeat() == b":\n\n"
    for _ in range(3):
        assert framing.feed(event[:-1]) == (1 if end == "\r\n" else 0)
        framing.feed(event[-1:])
        assert framing.heartbeat() == b":\n\n"


def leading(parts: Sequence[bytes], boundary: bytes) -> bytes:
    return b"".join(b"\r\n--" + boundary + b"\r\nA: b\r\n\r\n" + part for part in parts) + b"\r\n--" + boundary + b"--"


def leading_with_a_lines_end(parts: Sequence[bytes], boundary: bytes) -> bytes:
    written = b"".join(b"--" + boundary + b"\r\nA: b\r\n\r\n" + part + b"\r\n" for part in parts)
    return written + b"--" + boundary + b"--\r\n"


def trailing(parts: Sequence[bytes], boundary: bytes) -> bytes:
    written = b"".join(b"\r\nA: b\r\n\r\n" + part + b"\r\n--" + boundary for part in parts)
    return b"--" + boundary + written + b"--\r\n"


STYLES = [leading, leading_with_a_lines_end, trailing]
TEXTS = st.text(alphabet='-graphql{}[]"\\\r\n 1:,', max_size=30)
RESULTS = st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.dictionaries(TEXTS, TEXTS, max_size=2)), min_size=1)


@pytest.mark.parametrize("style", STYLES)
@examples(100)
@given(results=st.lists(RESULTS, max_size=5), places=PLACES)
def test_empty_parts_change_no_other(style: Callable[..., bytes], results, places) -> None:
    stream = style([json.dumps(each).encode() for each in results], b"graphql")
    sent, counted, _ = with_heartbeats(framing_of(apollo()), cut(stream, places))
    assert parts_of(sent) == parts_of(stream) == results
    assert counted == len(results)


@pytest.mark.parametrize("style", STYLES)
@examples(60)
@given(results=st.lists(RESULTS, min_size=1, max_size=3), places=PLACES)
def test_last_words_are_the_last_part(style: Callable[..., bytes], results, places) -> None:
    chunks = cut(style([json.dumps(each).encode() for each in results], b"graphql"), places)
    for stop in range(len(chunks) + 1):
        framing = framing_of(apollo())
        for chunk in chunks[:stop]:
            framing.feed(chunk)
        words, came = framing.farewell(ERRORS), b"".join(chunks[:stop])
        if words is not None:
            *before, last = parts_of(came + words)
            assert before == results[: len(before)]
            assert last == {"payload": None, **json.loads(ERRORS)}
            assert words.endswith(b"\r\n--graphql--\r\n")


@pytest.mark.parametrize("style", STYLES)
def test_behind_each_whole_part_there_is_room(style: Callable[..., bytes]) -> None:
    framing = framing_of(apollo("-"))
    stream = style([b'{"payload":{"data":1}}'] * 3, b"-")
    parts = stream.split(b"A: b")
    _, _, beats = with_heartbeats(framing, [b"A: b" * (n > 0) + part for n, part in enumerate(parts)])
    assert beats == 3


def test_behind_a_part_that_is_too_long_nothing_is_said() -> None:
    framing = framing_of(apollo())
    long = b'\r\n--graphql\r\nA: b\r\n\r\n{"payload":"%s"}' % (b"x" * 70_000)
    assert (framing.feed(long), framing.heartbeat()) == (1, None)
    assert framing.feed(b"\r\n--graphql\r\n") == 0
    assert framing.heartbeat() is not None


@pytest.mark.parametrize(
    "headers",
    [
        {**SSE, b"content-encoding": b"gzip"},
        {**SSE, b"content-length": b"100"},
        {b"content-type": b"multipart/mixed; boundary=\"-\"; deferSpec=20220824"},
        {b"content-type": b"multipart/mixed"},
        {b"content-type": b"text/plain"},
        {b"content-type": b"multipart/"},
        {},
    ],
)  # fmt: skip
def test_where_clients_would_not_understand_it_nothing_is_said(headers) -> None:
    framing = framing_of(headers)
    chunk = b'\r\n---\r\nA: b\r\n\r\n{"data":1}\r\n---\r\n'
    assert (framing.feed(chunk), framing.feed(b"")) == (1, 0)
    assert (framing.heartbeat(), framing.farewell(ERRORS)) == (None, None)


def test_a_boundary_is_read_as_it_is_written() -> None:
    framing = framing_of({b"content-type": b'Multipart/Mixed; Boundary="GraphQL"; SubscriptionSpec="1.0"'})
    framing.feed(b"--GraphQL")
    assert framing.heartbeat() == b"\r\nContent-Type: application/json\r\n\r\n{}\r\n--GraphQL"
