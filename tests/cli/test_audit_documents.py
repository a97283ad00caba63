"""``fraiseql-guard audit``: what CI sees of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from examples.process import PROJECT

DEEP = "query Deep { me { friends { friends { friends { id } } } } }"


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    environment = {"PYTHONPATH": str(PROJECT), "PATH": "", "FRAISEQL_MAX_QUERY_DEPTH": "3"}
    command = [sys.executable, "-m", "fraiseql_guard", "audit", *arguments]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return ran.returncode, ran.stdout, ran.stderr


def test_an_app_with_an_operation_over_a_limit_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text(f"gql`{DEEP}`;\ngql`query Me {{ me {{ id }} }}`")
    code, out, err = run(tmp_path, ".")
    assert code == 1
    rows = [line.split("\t") for line in out.splitlines()]
    assert [(row[0], row[2], row[-2], row[-1]) for row in rows] == [
        ("Deep", "5", "QUERY_TOO_DEEP: 5 of 3 at me.friends.friends.friends.id", "a.ts:1"),
        ("Me", "2", "passes", "a.ts:2"),
    ]
    assert "2 operations in 1 file: 1 would be refused." in err
    assert "largest depth: 5 of 3 (Deep)" in err
    assert "Without --schema" in err
    code, out, _ = run(tmp_path, ".", "--over", "--json")
    assert code == 1
    assert [each["operation"] for each in json.loads(out)["operations"]] == ["Deep"]


def test_an_app_whose_operations_all_pass_ends_with_0(tmp_path: Path) -> None:
    (tmp_path / "a.graphql").write_text("query Me { me { id } }")
    (tmp_path / "schema.txt").write_text("type Query { me: User } type User { id: ID }")
    code, _, err = run(tmp_path, "a.graphql", "--schema", "schema.txt")
    assert (code, "all would pass" in err, "Without --schema" in err) == (0, True, False)
    assert run(tmp_path, ".", "--over")[:2] == (0, "")


def test_what_cannot_be_done_is_one_line_and_2(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.graphql").write_text("{ me }")
    (tmp_path / "variables.json").write_text("[]")
    for arguments, told in [
        (("missing",), "missing"),
        (("empty",), "no document was found"),
        (("a.graphql", "--variables", "variables.json"), "JSON object of objects"),
        (("a.graphql", "--schema", "missing"), "missing"),
    ]:
        code, out, err = run(tmp_path, *arguments)
        assert (code, out, len(err.splitlines()), told in err) == (2, "", 1, True), (arguments, err)


def test_what_cannot_be_read_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text("gql`query Made { me { ${fields} } }`")
    code, out, err = run(tmp_path, ".")
    assert (code, "UNREADABLE: a part of it is put in when the program runs" in out) == (1, True)
    assert "1 document cannot be read" in err
