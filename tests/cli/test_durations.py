"""Times as an operator types and reads them."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.cli.durations import LONGEST_SECONDS, in_words, local_time, parse_duration, until


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90), ("15m", 900), ("1h", 3_600), ("2d", 172_800), ("1h30m", 5_400), (" 1H ", 3_600),
        ("365d", 31_536_000),
    ],
)  # fmt: skip
def test_durations_are_typed_with_their_unit(text, seconds):
    assert parse_duration(text) == seconds


NONE = ["", "15", "1.5h", "h", "-1h", "0s", "366d", "1h 30m", "30m1h", "1w", "\u0663h", "9" * 400 + "s"]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_duration_is_refused_with_what_fits(text):
    with pytest.raises(ValueError, match=r"is no duration\. Accepted: 90s, 15m, 1h, 2d"):
        parse_duration(text)


@given(st.integers(0, 300), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_parts_add_up(days, hours, minutes, seconds):
    assert parse_duration(f"{days}d{hours}h{minutes}m{seconds}s") == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_refused(text):
    with suppress(ValueError):
        assert 0 < parse_duration(text) <= LONGEST_SECONDS


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.6, "1 min"), (90, "1 min 30 s"), (3_599.9, "1 h"), (5_430, "1 h 30 min"), (90_061, "1 d 1 h")],
)
def test_times_are_read_in_two_units(seconds, words):
    assert in_words(seconds) == words


def test_an_end_is_told_in_local_time_with_its_date_and_zone(monkeypatch):
    noon = 1_795_435_200.0  # 2026-11-23 12:00 UTC
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert until(3_600, now=noon) == "until 2026-11-23T22:00+09:00 (1 h)"
        assert until(86_400, now=noon) == "until 2026-11-24T21:00+09:00 (1 d)"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("moment", ["soon", None, [], 1e300, float("nan"), float("inf")])
def test_what_is_no_moment_is_no_time(moment):
    assert local_time(moment) == "?"
