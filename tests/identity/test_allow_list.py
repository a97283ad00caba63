"""The allow-list: what is on it, when it ends, and what a bad file does."""

import os

import pytest

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.identity.allow_list import AllowList, read_entries
from fraiseql_guard.testing import ManualClock

FILE = """
- ip: 203.0.113.7
  reason: our monitoring
- {ip: "2001:db8::/48", expires_at: 2001-09-09T01:46:50Z}
- {ip: 198.51.100.0/24, expires_at: "2001-09-09T03:46:50+02:00"}
- {ip: 192.0.2.1, expires_at: 2001-09-10}
"""
NOW = 1_000_000_000.0  # 2001-09-09T01:46:40Z


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "allow-list.yml"
    file.write_text(FILE)
    return file


def listed(path, clock, problems=None, **options) -> AllowList:
    settings = Settings.load({}, allow_list_file=path, **options)
    return AllowList(settings, clock=clock, on_problem=(problems if problems is not None else []).append)


def test_addresses_and_networks_until_they_expire(path) -> None:
    clock = ManualClock(NOW)
    allowed = listed(path, clock, allow_list="10.0.0.0/8")
    for address in ("203.0.113.7", "2001:db8::5", "198.51.100.9", "192.0.2.1", "10.1.2.3"):
        assert address in allowed
    for address in ("203.0.113.8", "2001:db9::5", "unknown", "", "192.0.2.2"):
        assert address not in allowed
    clock.advance(11)  # both written times are the same moment
    assert [each in allowed for each in ("2001:db8::5", "198.51.100.9", "192.0.2.1", "203.0.113.7")] == [
        False, False, True, True,
    ]  # fmt: skip
    clock.advance(86_400)
    assert "192.0.2.1" not in allowed


def test_an_entry_ends_at_its_moment_and_not_with_the_next_look_at_the_file(path) -> None:
    clock = ManualClock(NOW)
    allowed = listed(path, clock)
    clock.advance(9)
    assert "2001:db8::5" in allowed
    clock.advance(1)
    assert "2001:db8::5" not in allowed


def test_a_changed_file_is_read_within_five_seconds(path) -> None:
    clock = ManualClock(NOW)
    allowed = listed(path, clock)
    path.write_text("- ip: 203.0.113.8\n")
    os.utime(path, ns=(1, 1))
    clock.advance(5)
    assert ("203.0.113.8" in allowed, "203.0.113.7" in allowed) == (True, False)
    path.write_text("")
    clock.advance(5)
    assert "203.0.113.8" not in allowed


@pytest.mark.parametrize("bad", ["- ip: nowhere", "{", "ip: 203.0.113.9", "- 7", "- {ip: 0.0.0.0/0}", "\udcff"])
def test_a_file_that_turns_bad_changes_nothing_and_is_said_once(path, bad) -> None:
    clock, problems = ManualClock(NOW), []
    allowed = listed(path, clock, problems)
    path.write_bytes(bad.encode(errors="surrogateescape"))
    for _ in range(3):
        clock.advance(5)
        assert "203.0.113.7" in allowed
    (problem,) = problems
    assert str(path) in problem


def test_a_file_that_disappears_changes_nothing(path) -> None:
    clock, problems = ManualClock(NOW), []
    allowed = listed(path, clock, problems)
    path.unlink()
    clock.advance(5)
    assert "203.0.113.7" in allowed
    assert problems


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- ip: nowhere", "entry 1: 'nowhere' is neither an address nor a network"),
        ("- ip: 10.0.0.1\n- reason: x", "entry 2 has no ip"),
        ("- {ip: 10.0.0.1, expires: 2026-01-01}", "unknown key 'expires'"),
        ("- {ip: 10.0.0.1, expires_at: soon}", "expires_at is not an RFC 3339 time"),
        ("- {ip: 10.0.0.1, expires_at: 5}", "expires_at is not an RFC 3339 time"),
        ("a: [", "not YAML in line"),
        ("5", "not a list"),
    ],
)
def test_a_bad_file_stops_the_start_with_its_reason(tmp_path, text, words) -> None:
    file = tmp_path / "allow-list.yml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="FRAISEQL_GUARD_ALLOW_LIST_FILE") as caught:
        listed(file, ManualClock(NOW))
    assert words in str(caught.value)


def test_a_missing_file_stops_the_start(tmp_path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        listed(tmp_path / "none.yml", ManualClock(NOW))


def test_an_empty_file_lists_nobody() -> None:
    assert read_entries("") == ()
