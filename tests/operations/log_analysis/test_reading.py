"""Any bytes can be read: whole lines, whatever the chunks and whatever stands in them."""

import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core import signals as s
from fraiseql_guard.operations.log_analysis import reading
from fraiseql_guard.operations.log_analysis.log_line import LogFilter, parse
from fraiseql_guard.operations.log_analysis.reading import OVERLONG, lines_of
from fraiseql_guard.operations.log_analysis.report import as_json, as_text
from fraiseql_guard.operations.log_analysis.summary import LogSummary
from tests.operations.log_analysis.lines import Log


class Dripping(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 7, 7))


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b""))))
def test_lines_are_whole_whatever_the_chunks(lines):
    assert [line for line in lines_of(Dripping(b"\n".join(lines))) if line] == [line for line in lines if line]


@pytest.mark.parametrize("end", [b"", b"\n", b"\nlast"])
def test_a_line_without_an_end_costs_no_memory_and_one_line(monkeypatch, end):
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 10)
    found = list(lines_of(Dripping(b"first\n" + b"x" * 100 + end)))
    assert [line for line in found if line] == [b"first", OVERLONG, *([b"last"] if b"last" in end else [])]
    assert parse(OVERLONG) is None


junk = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ).map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "timestamp": st.text(max_size=30) | st.integers(),
            "event": st.sampled_from([event.name for event in s.EVENTS]) | st.integers(),
            "context": st.none()
            | st.dictionaries(
                st.sampled_from(
                    ["user_id", "ip_address", "suppressed", "enforced", "policy", "failure_reason", "code"]
                ),
                st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
            ),
        },
    ).map(lambda value: json.dumps(value).encode()),
)


@given(st.lists(junk, max_size=30))
def test_any_line_may_be_anything(lines):
    summary = LogSummary()
    summary.read(lines_of(io.BytesIO(b"\n".join(lines))), LogFilter())
    assert summary.matching + summary.unreadable == summary.lines
    assert as_text(summary, top=3)
    assert json.dumps(as_json(summary, top=3))


def test_the_guard_s_own_lines_are_all_understood():
    log = Log()
    for event in s.EVENTS:
        log.write(event, user_id="bob", ip_address="203.0.113.9")
    summary = LogSummary()
    summary.read(log.text.splitlines(), LogFilter())
    assert (summary.lines, summary.matching, summary.unreadable) == (len(s.EVENTS), len(s.EVENTS), 0)


def test_what_a_flood_has_cost_is_counted():
    log = Log().write(s.RATE_LIMIT, ip_address="203.0.113.9", suppressed=41)
    summary = LogSummary()
    summary.read(log.text.splitlines(), LogFilter())
    (incident,) = summary.incidents.values()
    assert incident.addresses.top(1) == [("203.0.113.9", 42)]


def test_a_compressed_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "app.log.1.gz"
    path.write_bytes(gzip.compress(Log().write(s.RATE_LIMIT, 3).text))
    with reading.opened(path) as (stream, position):
        assert len([line for line in lines_of(stream) if line]) == 3
        assert position() == path.stat().st_size
