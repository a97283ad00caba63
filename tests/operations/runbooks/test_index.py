"""The table of the index, read by itself: complete, well-formed, and sound in what it tells to type."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from fraiseql_guard.operations.runbooks.dashboard import dashboard
from tests.operations.runbooks.index_table import VERDICTS, Row, kind_of, rows
from tools.expressions import ROOT
from tools.promql import Vocabulary, problems_of

ORIGINAL = ROOT.parent / "shared" / "runbooks-index.txt"
_BLOCK = re.compile(r"^[ ]*```(?P<kind>promql|bash|python)\n(?P<text>.*?)^[ ]*```$", re.DOTALL | re.MULTILINE)
_CHECKED = re.compile(r"\| Check `([^`]+)` \|")
_ADDRESS = re.compile(r"http://grafana\.example\.com\S+")
ROWS = rows()
QUERIES = [row for row in ROWS if row.kind == "query"]


def test_each_row_has_a_verdict_and_what_it_needs() -> None:
    assert len({row.says for row in ROWS}) == len(ROWS) > 25
    for row in ROWS:
        assert row.verdict in VERDICTS, row
        assert bool(row.types) == (row.verdict != "works"), row
        assert row.why or row.verdict == "works", row


@pytest.mark.parametrize("row", [row for row in QUERIES if row.verdict == "works"], ids=str)
def test_a_query_that_works_is_sound(row: Row) -> None:
    assert problems_of(row.says, Vocabulary.ours()) == []


@pytest.mark.parametrize("row", [row for row in QUERIES if row.verdict == "instead"], ids=str)
def test_a_query_to_type_instead_is_sound(row: Row) -> None:
    assert problems_of(row.types, Vocabulary.ours()) == []


def test_the_dashboard_s_address_is_its_own() -> None:
    (row,) = [row for row in ROWS if row.kind == "address"]
    uid = dashboard()["uid"]
    assert row.types.rpartition("/")[2] == uid != row.says.rpartition("/")[2]


def lines_of(text: str) -> Iterator[str]:
    """Every query, command and setup line of an index: continued lines as one, without what only goes with another."""
    yield from _ADDRESS.findall(text)
    yield from _CHECKED.findall(text)
    for block in _BLOCK.finditer(text):
        joined = re.sub(r"\\\n\s*", "", block["text"])
        for line in (line.strip() for line in joined.splitlines()):
            if line and not line.startswith("#") and (block["kind"] != "python" or line.startswith("from ")):
                yield " ".join(line.split())


@pytest.mark.skipif(not ORIGINAL.exists(), reason="the original index is not here")
def test_no_line_of_the_index_is_missing() -> None:
    wanted = set(lines_of(ORIGINAL.read_text(encoding="utf-8")))
    assert {kind_of(line) for line in wanted} == {"query", "command", "python", "address"}
    assert wanted == {row.says for row in ROWS}
