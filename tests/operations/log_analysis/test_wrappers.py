"""The guard's lines are found in every form that container runtimes keep them in, and nothing else is taken for one."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core import signals as s
from fraiseql_guard.operations.log_analysis.log_line import LogFilter
from fraiseql_guard.operations.log_analysis.reading import OVERLONG
from fraiseql_guard.operations.log_analysis.summary import LogSummary
from fraiseql_guard.operations.log_analysis.wrappers import unwrapped
from tests.operations.log_analysis.lines import Log

OURS = Log().write(s.RATE_LIMIT, 3, ip_address="203.0.113.9").text.splitlines()
TIME = b"2026-01-31T12:00:00.123456789Z"


def json_file(text: bytes, stream: str = "stdout", end: str = "\n") -> bytes:
    return json.dumps({"log": text.decode() + end, "stream": stream, "time": TIME.decode()}).encode()


WRAPPERS = {
    "nothing": lambda text: text,
    "cri": lambda text: TIME + b" stdout F " + text,
    "cri with an offset and tags": lambda text: b"2026-01-31T14:00:00.1+02:00 stderr F:X " + text,
    "json-file": json_file,
    "json-file with attributes": lambda text: json.dumps(
        {"log": text.decode() + "\n", "stream": "stderr", "attrs": {"tag": "app"}, "time": TIME.decode()}
    ).encode(),
    "kubectl --prefix": lambda text: b"[pod/api-7d9f8b6c5-x2x7k/app] " + text,
    "kubectl --timestamps": lambda text: TIME + b" " + text,
    "docker compose": lambda text: b"api-1  | " + text,
}


@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize("inner", WRAPPERS)
def test_any_form_inside_any_other_is_read(outer, inner):
    if inner == outer and inner in ("kubectl --prefix", "kubectl --timestamps", "docker compose"):
        return  # nothing stands before a line twice
    lines = [WRAPPERS[outer](WRAPPERS[inner](line)) for line in OURS]
    assert list(unwrapped(lines)) == OURS
    summary = LogSummary()
    summary.read(lines, LogFilter())
    assert (summary.lines, summary.matching, summary.unreadable) == (3, 3, 0)


def cri_parts(text: bytes, cuts: list[int], stream: bytes) -> list[bytes]:
    ends = sorted({min(cut, len(text)) for cut in cuts} - {0, len(text)})
    pieces = [text[one:other] for one, other in zip([0, *ends], [*ends, len(text)], strict=True)]
    return [TIME + b" " + stream + (b" F " if piece is pieces[-1] else b" P ") + piece for piece in pieces]


def json_parts(text: bytes, cuts: list[int], stream: bytes) -> list[bytes]:
    parts = [part.split(b" ", 3) for part in cri_parts(text, cuts, stream)]
    return [json_file(text, kind.decode(), "\n" if tag == b"F" else "") for _, kind, tag, text in parts]


@given(st.lists(st.lists(st.integers(0, 400), max_size=4), min_size=3, max_size=3), st.randoms(), st.booleans())
def test_parts_are_joined_whatever_comes_between_them(cuts, shuffling, as_json):
    make = json_parts if as_json else cri_parts
    pods = [f"[pod/api-{number}/app] ".encode() for number in range(3)]
    queues = [
        [pod + part for part in make(line, cut, b"stdout")] for pod, line, cut in zip(pods, OURS, cuts, strict=True)
    ]
    mixed = []
    while any(queues):
        mixed.append(shuffling.choice([each for each in queues if each]).pop(0))
    assert sorted(unwrapped(mixed)) == sorted(OURS)


@given(st.binary(max_size=60).filter(lambda text: b"\n" not in text), st.integers(1, 59))
def test_the_middle_of_a_line_may_look_like_anything(text, cut):
    text = b"[pod/a/b] " + TIME + b" stdout P " + text
    parts = [TIME + b" stdout P {" + text[:cut], TIME + b" stdout F " + text[cut:]]
    assert list(unwrapped(parts)) == [b"{" + text]


def test_a_line_that_no_end_came_for_is_a_line_of_its_own():
    assert list(unwrapped([TIME + b" stdout P " + OURS[0]])) == [OURS[0]]
    assert list(unwrapped([TIME + b" stdout P {", TIME + b" stderr F " + OURS[0]])) == [OURS[0], b"{"]


def test_parts_without_an_end_take_no_memory():
    endless = [TIME + b" stdout P " + b"x" * 60] * 1_000
    lines = [*endless, TIME + b" stdout F x", TIME + b" stdout F last"]
    assert list(unwrapped(lines, max_line_bytes=100)) == [OVERLONG, b"last"]


def test_no_more_streams_wait_for_their_end_than_may():
    many = (f"[pod/{number}/app] ".encode() + TIME + b" stdout P x" for number in range(100))
    read = 0

    def reading():
        nonlocal read
        for line in many:
            read += 1
            yield line

    found = unwrapped(reading(), max_streams=5)
    assert next(found) == b"x"
    assert read == 6
    assert list(found) == [b"x"] * 99


QUOTED = [
    lambda line: b'10.0.0.1 - - [31/Jan/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 "' + line,
    lambda line: b"INFO the client says " + line,
    lambda line: b"[not a source] " + line,
    lambda line: b"[pod] " + line,
    lambda line: b"user | agent | " + line,
    lambda line: TIME + b" stdout X " + line,
    lambda line: TIME + b" stdout F GET / " + line,
    lambda line: json.dumps({"msg": line.decode(), "stream": "stdout"}).encode(),
    lambda line: json.dumps({"log": line.decode() + "\n", "stream": "elsewhere"}).encode(),
    lambda line: b'"' + line + b'"',
    lambda line: line + b" " + line,
]


@pytest.mark.parametrize("quote", QUOTED)
def test_a_line_that_another_one_quotes_is_not_ours(quote):
    summary = LogSummary()
    summary.read([quote(line) for line in OURS], LogFilter())
    assert (summary.lines, summary.matching, summary.unreadable) == (3, 0, 3)


@given(st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"")), max_size=20), st.randoms())
def test_any_lines_can_be_read(lines, shuffling):
    wrap = list(WRAPPERS.values())[:3]
    wrapped = [shuffling.choice(wrap)(line) for line in lines]
    assert len(list(unwrapped(wrapped))) <= len(lines)


def test_lines_of_a_container_among_others_are_counted_and_said(tmp_path):
    from typer.testing import CliRunner

    from fraiseql_guard.cli import app

    file = tmp_path / "0.log"
    others = [TIME + b" stdout F Traceback (most recent call last):", TIME + b" stderr F GET /health 200"]
    lines = [TIME + b" stdout F " + line for line in OURS] + others
    random.Random(1).shuffle(lines)
    file.write_bytes(b"\n".join(lines) + b"\n")
    ran = CliRunner().invoke(app, ["logs", str(file)])
    assert ran.exit_code == 0
    assert "5 lines, 2 of them no lines of the guard; 3 match" in ran.stdout
