"""The tables of docs/costs.md are what the guard counts, and the command prints it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from tests.graphql.requests import complexity

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "costs"
PAGE = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| \w[\w ]+ \| `\w+/\w+\.graphql` \|", line)
]


def test_every_example_is_in_the_table():
    documents = {row[1] for row in ROWS}
    found = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/*.graphql")}
    assert documents == found - {row[2] for row in ROWS}
    assert {row[0] for row in ROWS} == {"Apollo Router", "Hot Chocolate", "IBM", "GitHub"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[1]}-{row[2]}")
def test_ours_is_what_the_guard_counts_and_the_command_prints(row):
    _, document, schema, theirs, ours, why = row
    text, sdl = (EXAMPLES / document).read_text(), (EXAMPLES / schema).read_text()
    assert validate(build_schema(sdl), parse(text)) == []
    assert complexity(text, schema=sdl) == int(ours)
    assert why or theirs == ours
    result = CliRunner().invoke(app, ["explain", str(EXAMPLES / document), "--schema", str(EXAMPLES / schema)])
    assert result.exit_code in (0, 1)
    assert result.output.splitlines()[0].split()[-1] == ours


def test_what_a_list_of_orders_costs():
    orders = re.search(r"`(\{orders[^`]*\})`, orders a list \| (\d+) \|", PAGE)
    schema = """type Query { orders(limit: Int): [Order] } type Order { id: ID items: [Item] customer: Customer }
    type Item { id: ID } type Customer { orders(limit: Int): [Order] }"""
    assert orders
    assert complexity(orders[1], schema=schema) == complexity(orders[1]) == int(orders[2])
