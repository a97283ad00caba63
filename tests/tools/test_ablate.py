"""What `benchmarks ablate` switches off is there and can be gone without: the guard decides the same without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablate import Row
from benchmarks.ablate_load import asked
from benchmarks.ablations import ABLATIONS
from benchmarks.results import read
from tools.docs import ROOT

DECIDES = """
import asyncio, json, sys
from benchmarks.ablations import ABLATIONS
for name in sys.argv[1:]:
    ABLATIONS[name].off()
from fraiseql_guard import Guard
from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, request
SECRET = "a-secret-for-tests-of-32-bytes-or-more!"
async def main():
    guard = Guard(EchoApp(), jwt_secret=SECRET, auth_required=False, rate_limit_default="3/hour", rate_limit_burst=0,
                  max_query_depth=4, log_file="/dev/null")
    ask = lambda text, token, **scope: request(guard, body=json.dumps({"query": text}).encode(), token=token, **scope)
    token = make_token(SECRET, sub="alice")
    page = [(await request(guard, "GET", "/page")).status for _ in range(6)]
    good = [(await ask("{a}", token)).status for _ in range(4)]
    deep = [(await ask("{a{b{c{d{e{f}}}}}}", token)).code for _ in range(2)]
    forged = (await ask("{a}", token[:-3] + "abc", client=("203.0.113.9", 50000))).status
    print(json.dumps([page, good, deep, forged]))
    await guard.aclose()
asyncio.run(main())
"""


def decided(*names: str) -> Any:
    """What the guard answers with these parts switched off, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", DECIDES, *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_guard_decides_the_same_without_any_of_them() -> None:
    names = [name for name in ABLATIONS if name not in {"all", "guard"}]
    with_all = decided()
    assert with_all == [[200, 200, 200, 429, 429, 429], [200] * 4, ["QUERY_TOO_DEEP"] * 2, 401]
    assert decided(*names) == with_all  # fails too if a part is not there: its row is to go
    assert decided("all") == with_all


def test_every_row_says_what_it_is_and_how_it_is_asked() -> None:
    ways = asked()
    for name, row in ABLATIONS.items():
        assert row.what
        assert row.asked, name
        assert set(row.asked) <= ways.keys()


def test_a_row_shows_what_its_part_saves() -> None:
    row = Row("heads", "heads that passed before", "page", [100.0, 101.0, 300.0], [130.0, 132.0, 331.0])
    assert row.line().split()[-5:] == ["101.0", "+31.0", "(+30.0", "to", "+31.0)"]
    assert row.facts()["added"] == {"value": 31.0, "low": 30.0, "high": 31.0}


@pytest.mark.redis
def test_a_run_on_a_real_server_writes_every_row(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "benchmarks", "ablate", "refusals", "tokens", "--rounds", "2", "--requests", "16"]
    done = subprocess.run([*command, "--json", str(file)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = read(file).figures
    assert [(row["name"], row["asked"]) for row in rows] == [("refusals", "refused"), ("tokens", "page, token")]
    assert all(len(row["with_part"]) == len(row["without"]) == 2 for row in rows)
    assert all(row["what"] in done.stdout for row in rows)
    assert "1 of 2: refusals" in done.stderr


def test_a_name_that_is_none_is_refused_with_those_that_are() -> None:
    command = [sys.executable, "-m", "benchmarks", "ablate", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nonsense: known are guard, nothing, heads" in done.stderr
