import os

import pytest

from fraiseql_guard.core.secret import Secret
from fraiseql_guard.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "secret"
    path.write_text("  first \n")
    return path


def test_it_never_shows_itself(path):
    for secret in (Secret("hunter2"), Secret(path=path)):
        for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret]), repr({"a": secret})):
            assert "hunter2" not in shown
            assert "first" not in shown
            assert "****" in shown


def test_text_is_what_it_was(clock):
    secret = Secret("hunter2", clock=clock)
    clock.advance(1e6)
    assert secret.reveal() == "hunter2"


def test_a_file_is_read_again_after_five_seconds(path, clock):
    secret = Secret(path=path, clock=clock)
    assert secret.reveal() == "first"
    path.write_text("second\n")
    clock.advance(4.999)
    assert secret.reveal() == "first"
    clock.advance(0.001)
    assert secret.reveal() == "second"


def test_a_file_that_is_replaced_is_read_again(path, clock, tmp_path):
    secret = Secret(path=path, clock=clock)
    other = tmp_path / "other"
    other.write_text("other\n")
    other.replace(path)
    clock.advance(5)
    assert secret.reveal() == "other"


def test_an_exchange_that_keeps_the_size_and_the_time_is_seen(path, clock):
    secret = Secret(path=path, clock=clock)
    before = path.stat()
    path.write_text("  sixth \n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    clock.advance(5)
    assert secret.reveal() == "sixth"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"], ids=str)
def test_the_last_good_text_stays_while_the_file_cannot_be_read(path, clock, content):
    secret = Secret(path=path, clock=clock)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    for _ in range(3):
        clock.advance(5)
        assert secret.reveal() == "first"
    path.write_text("second")
    clock.advance(5)
    assert secret.reveal() == "second"


def test_a_new_text_that_fails_its_check_does_not_take_effect(path, clock):
    def check(text):
        if len(text) < 5:
            raise ValueError("is too short")

    secret = Secret(path=path, check=check, clock=clock)
    for content, text in [("abcd", "first"), ("abcde", "abcde"), ("x", "abcde")]:
        path.write_text(content)
        clock.advance(5)
        assert secret.reveal() == text


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"], ids=str)
def test_a_file_must_be_good_at_the_start(tmp_path, content):
    path = tmp_path / "bad"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((OSError, ValueError)):
        Secret(path=path)


@pytest.mark.parametrize("text", ["hunter2", "zoë", "\udcff", ""])
def test_matching(text):
    secret = Secret(text)
    assert secret.matches(text)
    assert not secret.matches(text + "x")
    assert not secret.matches("\ud800")


def test_equality_compares_texts_and_origins(path):
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("first") != Secret(path=path)
    assert Secret(path=path) == Secret(path=path)
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("b"))  # a hash must not tell anything about the text
