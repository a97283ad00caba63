"""``fraiseql-guard rules``, and what ``explain`` says of rules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples.process import PROJECT
from fraiseql_guard.core.settings import name_of
from tests.cli.fleet import Operator

GOOD = "rules: [{name: exports, match: {path: /graphql, only_root_fields: [exports]}, rate: 9/minute, max_depth: 30}]"
FILE, TEXT = name_of("rules_file"), name_of("rules")


def run(folder: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    environment = {"PYTHONPATH": str(PROJECT), "PATH": "", **variables}
    command = [sys.executable, "-m", "fraiseql_guard", *arguments]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return ran.returncode, ran.stdout, ran.stderr


def test_check_tells_all_problems_and_the_most_likely_slips(tmp_path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text("rules: [{name: A, match: {path: /x}, cots: 1}, {name: b, match: {operation: [x]}}]")
    code, out, _ = run(tmp_path, "rules", "check", str(path))
    assert code == 1
    assert [line.startswith(str(path)) for line in out.splitlines()] == [True] * 3
    assert "did you mean cost?" in out
    assert "did you mean operations?" in out
    path.write_text("[{name: b, match: {operations: [x]}, cost: 0}]")
    code, out, err = run(tmp_path, "rules", "check", str(path))
    assert (code, "which every client chooses" in out, "match by root_fields" in err) == (1, True, True)


def test_check_knows_the_schema_and_the_tiers(tmp_path) -> None:
    path, schema = tmp_path / "rules.yml", tmp_path / "schema.graphql"
    path.write_text("[{name: b, match: {root_fields: [exports, me], tiers: [pro, gold]}, rate: 1/minute}]")
    schema.write_text("type Query{me:Int} type Mutation{login:Int}")
    tiers = {name_of("tiers"): "pro=5/minute"}
    code, out, err = run(tmp_path, "rules", "check", str(path), "--schema", str(schema), "--json", **tiers)
    said = json.loads(out)
    assert (code, said["rules"], said["problems"], err) == (0, 1, [], "")
    assert ["exports" in said["warnings"][0], "me" not in said["warnings"][0].split(":")[1].split()] == [True, True]
    assert said["warnings"][1].endswith(f"tier gold ({name_of('tiers')})")


def test_check_and_list_read_the_environment(tmp_path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(GOOD)
    for variables in ({FILE: str(path)}, {TEXT: GOOD}):
        assert run(tmp_path, "rules", "check", **variables)[0] == 0
        code, out, _ = run(tmp_path, "rules", "list", **variables)
        assert (code, out.split("\t")[0]) == (0, "exports")
        assert "rate=9/minute max_depth=30" in out
    code, _, err = run(tmp_path, "rules", "check")
    assert (code, FILE in err) == (2, True)
    code, _, err = run(tmp_path, "rules", "check", **{FILE: str(path), TEXT: GOOD})
    assert (code, "are both set" in err) == (2, True)
    assert run(tmp_path, "rules", "list") == (0, "", "There are no rules.\n")


@pytest.mark.parametrize(
    ("written", "ends_with", "problem"),
    [(b"rules: [\xff]", 1, "it is not UTF-8 text"), (None, 2, "No such file or directory"), (b"", 0, "0 rules")],
    ids=["not UTF-8", "no file", "empty"],
)
def test_check_says_what_a_file_is_that_holds_no_rules(tmp_path, written, ends_with, problem) -> None:
    path = tmp_path / "rules.yml"
    if written is not None:
        path.write_bytes(written)
    code, out, err = run(tmp_path, "rules", "check", str(path))
    assert (code, problem in out + err) == (ends_with, True), (code, out, err)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("options", "rule", "code"),
    [((), "exports", 0), (("--path", "/other"), None, 1), (("--method", "get"), "exports", 0)],
)
def test_explain_says_which_rule_holds(tmp_path, options, rule, code) -> None:
    (tmp_path / "q.graphql").write_text("{exports{a{b{c{d{e{f{g{h{i{j{k}}}}}}}}}}}}")
    ended, out, _ = run(tmp_path, "explain", "q.graphql", "--json", *options, **{TEXT: GOOD})
    found = json.loads(out)
    assert (ended, None if found["rule"] is None else found["rule"]["name"]) == (code, rule)
    ended, out, _ = run(tmp_path, "explain", "q.graphql", *options, **{TEXT: GOOD})
    assert ("rule exports: rate=9/minute max_depth=30" in out) is (rule is not None)


def test_rules_that_are_set_are_listed_from_everywhere(operator: Operator) -> None:
    assert operator("set", TEXT, GOOD, "--for", "1m").code == 0
    try:
        where = ("--fleet",) if name_of("redis_url") in operator.environment else ()
        found = json.loads(operator("rules", "list", *where, "--json").out)
        assert [rule["name"] for rule in found] == ["exports"]
    finally:
        operator("set", "--clear", TEXT)
