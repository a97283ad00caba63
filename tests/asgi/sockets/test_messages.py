"""What a client says is read in one way or not at all, whatever its spelling."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.asgi.sockets.dialects import LEGACY_WS, TRANSPORT_WS, AppMessage, ClientMessage
from fraiseql_guard.asgi.sockets.messages import (
    MalformedMessageTextError,
    read_app_message,
    read_client_message,
    read_payload,
)
from tests.support.properties import examples

DIALECTS = st.sampled_from([TRANSPORT_WS, LEGACY_WS])
TYPES = [*TRANSPORT_WS.from_client, *LEGACY_WS.from_client, "", "next", "data", 1, None]
IDS = st.one_of(st.sampled_from(["1", "", "x" * 128, "x" * 129, "é" * 128, 'a"b', "\\", 7, None, [], {}]), st.text())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
PAYLOADS = st.one_of(
    VALUES, st.just({"query": "{me{id}}"}), st.just({"query": 'query($a:Int){a(b:"}:\\"")}', "variables": {}})
)
MEMBERS = st.lists(
    st.one_of(
        st.tuples(st.just("type"), st.sampled_from(TYPES)),
        st.tuples(st.just("id"), IDS),
        st.tuples(st.just("payload"), PAYLOADS),
        st.tuples(st.text(max_size=3), VALUES),
    ),
    max_size=5,
)
SPACES = st.sampled_from(["", " ", "\n\t"])


def escaped(key: str) -> str:
    """A key spelled by the numbers of its characters."""
    return '"' + "".join(f"\\u{ord(each):04x}" if ord(each) < 65536 else each for each in key) + '"'


@st.composite
def messages(draw: Any) -> tuple[str, list[tuple[str, Any]]]:
    """The text of an object with these members, in this order, some of them perhaps more than once."""
    found = draw(MEMBERS)
    if draw(st.booleans()):
        found = [
            ("id", "1"),
            ("type", draw(st.sampled_from(["subscribe", "start"]))),
            ("payload", draw(PAYLOADS)),
            *found,
        ]
    space, ascii_only = draw(SPACES), draw(st.booleans())
    parts = []
    for key, value in found:
        spelled = escaped(key) if draw(st.integers(0, 9)) == 0 else json.dumps(key, ensure_ascii=ascii_only)
        parts.append(f"{space}{spelled}{space}:{space}{json.dumps(value, ensure_ascii=ascii_only)}{space}")
    return space + "{" + ",".join(parts) + "}" + space, found


CUT = messages().map(lambda drawn: drawn[0].encode(errors="replace")[:-1])


def readable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@examples(500)
@given(messages(), DIALECTS)
def test_a_message_is_what_every_parser_reads_or_is_refused(drawn: Any, dialect: Any) -> None:
    text, found = drawn
    if not readable(text):
        return
    raw = text.encode()
    try:
        says = read_client_message(raw, dialect)
    except MalformedMessageTextError:
        says = None
    members = dict(found)
    kind = dialect.from_client.get(members.get("type")) if isinstance(members.get("type"), str) else None
    well_formed = len(members) == len(found) and kind is not None
    if well_formed and kind in (ClientMessage.START, ClientMessage.STOP):
        operation_id = members.get("id")
        well_formed = isinstance(operation_id, str) and 0 < len(operation_id) <= 128
    if well_formed and kind is ClientMessage.START:
        well_formed = "payload" in members
    if says is None:
        assert not well_formed
        return
    assert well_formed
    assert says.kind is kind
    if kind in (ClientMessage.START, ClientMessage.STOP):
        assert says.id == members["id"]
    assert read_payload(raw, says) == members.get("payload")


@examples(500)
@given(
    st.one_of(st.binary(max_size=60), messages().map(lambda drawn: drawn[0].encode(errors="replace")[:-1])), DIALECTS
)
def test_whatever_comes_is_read_or_refused_and_nothing_else(raw: bytes, dialect: Any) -> None:
    try:
        says = read_client_message(raw, dialect)
    except MalformedMessageTextError:
        return
    json.loads(raw)
    assert says.kind in ClientMessage


@examples(300)
@given(messages(), DIALECTS)
def test_what_apps_say_is_known_by_its_type_and_id(drawn: Any, dialect: Any) -> None:
    text, found = drawn
    members = dict(found)
    if len(members) != len(found) or not readable(text):
        return
    says = read_app_message(text, dialect)
    name, operation_id = members.get("type"), members.get("id")
    assert says.kind is (dialect.from_app.get(name) if isinstance(name, str) else None)
    if says.kind in (AppMessage.RESULT, AppMessage.ERROR, AppMessage.COMPLETE):
        assert says.id == (operation_id if isinstance(operation_id, str) else "")


def test_a_payload_that_is_too_deep_is_left_to_its_reader() -> None:
    deep = '{"query":"{a}","variables":{"v":' + "[" * 2000 + "]" * 2000 + "}}"
    raw = ('{"type":"subscribe","id":"1","payload":' + deep + "}").encode()
    says = read_client_message(raw, TRANSPORT_WS)
    assert (says.id, raw[says.payload].decode()) == ("1", deep)
    for broken in (raw[:-1], raw + b"x", raw.replace(b'"id"', b'"type"')):
        with pytest.raises(MalformedMessageTextError):
            read_client_message(broken, TRANSPORT_WS)


def test_a_long_message_of_an_app_is_not_read() -> None:
    long = "x" * 100_000
    assert read_app_message(json.dumps({"payload": long, "type": "complete", "id": "1"}), TRANSPORT_WS).id == ""
    says = read_app_message(json.dumps({"id": "1", "type": "next", "payload": long}), TRANSPORT_WS)
    assert (says.kind, says.id) == (AppMessage.RESULT, "1")
