"""A watched file's value is what the file says, or last said when it could be used; each change is told once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.watched_file import LOOK_AGAIN_SECONDS, WatchedFile
from fraiseql_guard.testing import ManualClock


def number(content: bytes) -> int:
    return int(content)


def write(path: Path, text: str) -> None:
    """Other content at another time, however coarse the clock of the file system is."""
    write.moments += 1
    path.write_text(text)
    os.utime(path, (write.moments, write.moments))


write.moments = 0


class Watched:
    """A file under watch, and what its observers are told."""

    def __init__(self, path: Path, **options) -> None:
        self.path = path
        self.clock = ManualClock(100)
        self.failures: list[tuple[str, bool]] = []
        self.outages: list[float] = []
        self.file = WatchedFile(
            path,
            number,
            clock=self.clock,
            on_failure=lambda cause, is_new: self.failures.append((cause, is_new)),
            on_recovery=self.outages.append,
            **options,
        )

    def look(self) -> tuple[bool, int]:
        self.clock.advance(LOOK_AGAIN_SECONDS)
        return self.file.changed(), self.file.value


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "number"
    write(path, "1")
    return path


def test_a_change_is_seen_when_it_is_time_to_look(path):
    watched = Watched(path)
    assert watched.look() == (False, 1)
    write(path, "2")
    watched.clock.advance(LOOK_AGAIN_SECONDS / 2)
    assert (watched.file.changed(), watched.file.value) == (False, 1)
    watched.clock.advance(LOOK_AGAIN_SECONDS / 2)
    assert (watched.file.changed(), watched.file.value) == (True, 2)
    assert watched.look() == (False, 2)
    assert not watched.failures


def test_an_exchange_that_keeps_size_and_time_is_seen(path):
    watched, before = Watched(path), path.stat()
    path.write_text("2")
    while path.stat().st_ctime_ns == before.st_ctime_ns or path.stat().st_mtime_ns != before.st_mtime_ns:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watched.look() == (True, 2)
    other = path.with_name("other")
    other.write_text("3")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert watched.look() == (True, 3)


def test_bad_content_leaves_the_value_and_is_new_once_for_each_change(path):
    watched = Watched(path)
    for text in ("x", "y"):
        write(path, text)
        assert [watched.look() for _ in range(3)] == [(False, 1)] * 3
    assert [is_new for _, is_new in watched.failures] == [True, False, False] * 2
    write(path, "2")
    assert watched.look() == (True, 2)
    assert watched.outages == [6 * LOOK_AGAIN_SECONDS]
    assert watched.look() == (False, 2)
    assert len(watched.outages) == 1


def test_the_same_bad_content_written_again_is_not_new(path):
    watched = Watched(path)
    for _ in range(2):
        write(path, "x")
        watched.look()
    assert [is_new for _, is_new in watched.failures] == [True, False]


def test_bad_content_is_parsed_once(path):
    parsed: list[bytes] = []

    def parse(content: bytes) -> int:
        parsed.append(content)
        return int(content)

    file = WatchedFile(path, parse, interval_seconds=0)
    write(path, "x")
    assert [file.changed() for _ in range(3)] == [False] * 3
    assert parsed == [b"1", b"x"]


def test_a_file_that_is_gone_leaves_the_value_and_may_come_back_as_it_was(path):
    watched, away = Watched(path), path.with_name("away")
    path.rename(away)
    assert [watched.look() for _ in range(2)] == [(False, 1)] * 2
    assert watched.failures == [("No such file or directory", True), ("No such file or directory", False)]
    away.rename(path)
    assert watched.look()[1] == 1
    assert watched.outages == [2 * LOOK_AGAIN_SECONDS]


def test_what_could_not_be_read_is_tried_again_unchanged(path, monkeypatch):
    watched = Watched(path)
    write(path, "2")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", _refused)
        assert watched.look() == (False, 1)
    assert watched.failures == [("Permission denied", True)]
    assert watched.look() == (True, 2)


def _refused(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_file_that_may_be_absent_has_a_value_then(path):
    path.unlink()
    watched = Watched(path, absent=0)
    assert (watched.file.value, watched.file.written_at, watched.look()) == (0, 0, (False, 0))
    write(path, "1")
    assert watched.look() == (True, 1)
    assert watched.file.written_at == write.moments
    path.unlink()
    assert [watched.look() for _ in range(2)] == [(True, 0), (False, 0)]
    assert not watched.failures


def test_only_so_much_is_read(path):
    write(path, "123456")
    assert Watched(path, limit_bytes=3).file.value == 123


@pytest.mark.parametrize("content", [None, b"x", b"\xff"], ids=repr)
def test_a_file_must_be_usable_at_the_start(path, content):
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises((OSError, ValueError)):
        Watched(path)


@given(st.lists(st.sampled_from(["1", "2", "x", "y", None, "wait"]), max_size=12))
def test_the_value_is_that_of_the_last_good_content(tmp_path_factory, contents):
    path = tmp_path_factory.mktemp("watched") / "number"
    write(path, "0")
    watched, good = Watched(path), 0
    for content in contents:
        if content is None:
            path.unlink(missing_ok=True)
        elif content != "wait":
            write(path, content)
        good = int(content) if content in ("1", "2") else good
        assert watched.look() == (content in ("1", "2"), good)
