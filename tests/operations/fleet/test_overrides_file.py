"""Overrides from a file: what it may say, what becomes of a bad one, and when it is read again."""

from __future__ import annotations

import pytest

from fraiseql_guard.core.settings import SettingsError, name_of
from fraiseql_guard.operations.fleet.overrides_file import ACTOR, OverridesFile, read_overrides
from fraiseql_guard.stores.overrides import LONGEST_SECONDS, OverrideKind
from fraiseql_guard.testing import ManualClock

DIGEST = "AB" * 32
WHOLE = f"""
modes:
  - {{protection: all, mode: monitor, expires_at: 2026-12-31T00:00:00Z, reason: an incident}}
settings:
  - {{variable: FRAISEQL_RATE_LIMIT_DEFAULT, value: 50/minute}}
  - {{variable: FRAISEQL_MAX_QUERY_DEPTH, value: 7}}
  - {{variable: FRAISEQL_GUARD_BATCHING, value: yes}}
blocks:
  - {{ip: 203.0.113.0/24, expires_at: 2026-12-31}}
documents:
  - {{sha256: {DIGEST}}}
operations:
  - {{name: Export}}
"""
NEW_YEAR = 1_798_675_200.0  # 2026-12-31T00:00:00Z


def test_a_whole_file():
    found = {(entry.kind, entry.key): (entry, until) for entry, until in read_overrides(WHOLE)}
    mode, until = found[OverrideKind.MODE, "all"]
    assert (mode.value, mode.reason, mode.actor, until) == ("monitor", "an incident", ACTOR, NEW_YEAR)
    assert found[OverrideKind.SETTING, "FRAISEQL_RATE_LIMIT_DEFAULT"][0].value == "50/minute"
    assert found[OverrideKind.SETTING, "FRAISEQL_MAX_QUERY_DEPTH"][0].value == "7"
    assert found[OverrideKind.SETTING, "FRAISEQL_GUARD_BATCHING"][0].value == "true"
    assert found[OverrideKind.BLOCK, "203.0.113.0/24"][1] == NEW_YEAR
    assert found[OverrideKind.DOCUMENT, DIGEST.lower()][1] is None
    assert (OverrideKind.OPERATION, "Export") in found
    assert read_overrides("") == read_overrides("modes:") == ()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[", "not YAML in line"),
        ("- 1", "has no lists"),
        ("modus: []", "'modus' is none of its lists"),
        ("modes: all", "modes is not a list"),
        ("modes: [{protection: all}]", "modes, item 1 needs protection and mode"),
        ("modes: [monitor]", "modes, item 1 needs"),
        ("modes: [{protection: all, mode: perhaps}]", "enforce or monitor"),
        ("modes: [{protection: sun, mode: monitor}]", "no such protection"),
        ("settings: [{variable: FRAISEQL_MAX_QUERY_DEPTH, value: 1, for: 1h}]", "unknown key 'for'"),
        ("settings: [{variable: FRAISEQL_JWT_SECRET, value: x}]", "cannot be changed while the process runs"),
        ("settings: [{variable: PATH, value: x}]", "is no setting"),
        ("blocks: [{ip: here}]", "blocks, item 1"),
        ("blocks: [{ip: 0.0.0.0/0}]", "would block every address"),
        ("documents: [{sha256: 12}]", "64 hexadecimal digits"),
        ("operations: [{name: A}, {name: B, expires_at: soon}]", "operations, item 2: expires_at"),
        ("a: &a [*a]", "none of its lists"),
    ],
)
def test_a_bad_file_is_told_where_it_is_bad(text, what):
    with pytest.raises(ValueError) as caught:
        read_overrides(text)
    assert what in str(caught.value)


def test_a_bad_file_stops_the_start_and_a_missing_one_does_not(tmp_path):
    path = tmp_path / "overrides.yml"
    assert OverridesFile(path).entries() == ()
    path.write_text("modes: 1")
    with pytest.raises(SettingsError) as caught:
        OverridesFile(path)
    assert name_of("overrides_file") in str(caught.value)


def test_it_is_read_again_when_it_changes_and_ends_by_itself(tmp_path):
    path, clock, problems = tmp_path / "overrides.yml", ManualClock(NEW_YEAR - 10), []
    path.write_text(WHOLE)
    overrides = OverridesFile(path, clock=clock, on_problem=problems.append)
    assert overrides.changed() is False
    left = {entry.kind: entry.expires_in_seconds for entry in overrides.entries()}
    assert left[OverrideKind.MODE] == 10
    assert left[OverrideKind.OPERATION] == LONGEST_SECONDS
    clock.advance(10)
    assert OverrideKind.MODE not in {entry.kind for entry in overrides.entries()}
    path.write_text("operations: [{name: Other}]")
    assert overrides.changed() is True
    path.write_text("operations: nonsense")
    assert (overrides.changed(), overrides.changed(), len(problems)) == (False, False, 1)
    assert str(path) in problems[0]
    assert [entry.key for entry in overrides.entries()] == ["Other"]
    path.unlink()
    assert (overrides.changed(), overrides.changed(), overrides.entries()) == (True, False, ())


def test_what_the_file_says_otherwise_is_told_once_the_first_time_included(tmp_path):
    path, told = tmp_path / "overrides.yaml", []
    path.write_text("modes: [{protection: all, mode: monitor}]\nblocks: [{ip: 203.0.113.0/24}]\n")
    file = OverridesFile(path, on_change=told.append)
    file.changed()
    path.write_text("modes: [{protection: all, mode: monitor}]\noperations: [{name: Export}]\n")
    assert file.changed()
    path.write_text("# a remark\nmodes: [{protection: all, mode: monitor}]\noperations: [{name: Export}]\n")
    file.changed()
    path.unlink()
    file.changed()
    mode, block, operation = "mode all=monitor", "block 203.0.113.0/24", "operation Export"
    assert [(each["added"], each["removed"], each["in_force"]) for each in told] == [
        ([mode, block], [], 2),
        ([operation], [block], 2),
        ([], [mode, operation], 0),
    ]
    assert {(each["actor"], each["file"]) for each in told} == {(ACTOR, str(path))}
