"""``fraiseql-guard api-key``: a key that gets in, and a file that stays what it was."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from fraiseql_guard.identity.api_keys import ApiKey, digest_of
from fraiseql_guard.identity.api_keys_file import MAX_FILE_BYTES, read_entries
from tests.support.asgi import graphql


def run(*arguments: object):
    return CliRunner().invoke(app, ["api-key", *map(str, arguments)])


def test_it_prints_the_key_and_the_entry_by_which_the_guard_knows_it() -> None:
    result = run("partner", "--tier", "pro", "--scope", "read", "--scope", "write", "--tenant", "acme", "--days", 30)
    assert result.exit_code == 0, result.stderr
    key, _, entry = result.stdout.partition("\n")
    assert re.fullmatch(r"fgk_[\w-]{43}", key)
    ((digest, found),) = read_entries(entry).items()
    assert digest == digest_of(key)
    assert (found.key.name, found.key.tier, found.key.scopes, found.key.tenant) == (
        "partner",
        "pro",
        ("read", "write"),
        "acme",
    )
    wanted = (datetime.now(UTC) + timedelta(days=30)).timestamp()
    assert abs(found.key.ends_at - wanted) < 3600
    assert key not in entry
    assert run("partner").stdout.partition("\n")[0] != key


def test_a_name_is_quoted_where_yaml_needs_it() -> None:
    for name in ("no", "7", "a: b", "# x", "é", "null", "2030-01-01"):
        ((_, found),) = read_entries(run(name).stdout.partition("\n")[2]).items()
        assert found.key == ApiKey(name=name)


async def test_a_key_in_a_file_gets_in(tmp_path, guarded) -> None:
    path = tmp_path / "keys.yml"
    result = run("partner", "--file", path)
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
    assert "once" in result.stderr
    guard = guarded(api_keys_file=path)
    assert (await graphql(guard, "{me{id}}", headers={"x-api-key": result.stdout.strip()})).status == 200
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_stands_in_the_file_stays_with_its_comments_and_its_mode(tmp_path) -> None:
    path = tmp_path / "keys.yml"
    before = f"# ours\n- sha256: {'a' * 64}  # the first\n  name: first"
    path.write_text(before)
    path.chmod(0o640)
    assert run("second", "--file", path).exit_code == 0
    text = path.read_text()
    assert text.startswith(before + "\n")
    assert [each.key.name for each in read_entries(text).values()] == ["first", "second"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["keys.yml"]


@pytest.mark.parametrize("text", ["", "[]", "---\n[ ]\n", "# none yet\n"])
def test_a_file_without_entries_gets_its_first(tmp_path, text) -> None:
    path = tmp_path / "keys.yml"
    path.write_text(text)
    assert run("first", "--file", path).exit_code == 0
    assert [each.key.name for each in read_entries(path.read_text()).values()] == ["first"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not YAML"),
        ("- {}", "entry 1: it has no sha256"),
        (f"[{{sha256: {'a' * 64}, name: x}}]", "takes no entry at its end"),
        (f"  - {{sha256: {'a' * 64}, name: x}}", "takes no entry at its end"),
        ("#" + "x" * MAX_FILE_BYTES, "takes no entry at its end"),
    ],
)
def test_a_file_that_takes_no_entry_is_left_as_it_is(tmp_path, text, said) -> None:
    path = tmp_path / "keys.yml"
    path.write_text(text)
    result = run("second", "--file", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert str(path) in result.stderr
    assert result.stderr.count("\n") == 1
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a\nb"], "name is not"),
        ([""], "name is not"),
        (["a", "--days", "0"], "days"),
        (["a", "--file", "/nowhere/x"], "No such"),
    ],
)
def test_what_cannot_be_made_is_said_and_no_key_is_shown(arguments, said) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_commands_at_the_same_time_lose_no_entry(tmp_path) -> None:
    path = tmp_path / "keys.yml"

    def add(name: str) -> int:
        command = [sys.executable, "-m", "fraiseql_guard", "api-key", name, "--file", str(path)]
        return subprocess.run(command, check=False, capture_output=True, timeout=120).returncode

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(add, ["a", "b", "c", "d"])) == {0}
    assert sorted(each.key.name for each in read_entries(Path(path).read_text()).values()) == ["a", "b", "c", "d"]
