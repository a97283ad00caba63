"""Reads and writes times as people do: ``90s``, ``15m``, ``1h``, ``2d``; ``until 2026-01-31T14:35+01:00 (1 h)``."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

_SIZES: Final = (86_400, 3_600, 60, 1)
# Nine digits at most: Python takes quadratic time on long texts of digits.
_DURATION: Final = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
LONGEST_SECONDS: Final = 365 * 86_400
"""The longest duration of an operator's action."""
ACCEPTED: Final = "90s, 15m, 1h, 2d or 1h30m, up to 365d"


def parse_duration(text: str) -> float:
    """The seconds of a text such as ``1h30m``. ValueError for anything else, also for a bare number, which may mean
    minutes."""
    match = _DURATION.fullmatch(text.strip().lower())
    # A text that is no duration has no parts: its sum is 0.
    parts = [int(part or 0) for part in match.groups()] if match else []
    seconds = sum(part * unit for part, unit in zip(parts, _SIZES, strict=False))
    if not 0 < seconds <= LONGEST_SECONDS:
        raise ValueError(f"{text[:40]!r} is no duration. Accepted: {ACCEPTED}")
    return float(seconds)


def in_words(seconds: float) -> str:
    """A duration in its two largest units, rounded: ``1 h``, ``1 h 30 min``, ``45 s``."""
    left = max(round(seconds), 0)
    if left >= 3_600:
        left = round(left / 60) * 60  # seconds do not matter over hours
    words: list[str] = []
    for size, unit in zip(_SIZES, ("d", "h", "min", "s"), strict=True):
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}")
    # Units that are zero were left out, so that these are the two largest.
    return " ".join(words[:2]) or "0 s"


def local_time(moment: object, timespec: str = "seconds") -> str:
    """A Unix time as ISO 8601 in local time with its offset; a question mark for a value that is no time."""
    try:
        return datetime.fromtimestamp(moment).astimezone().isoformat(timespec=timespec)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return "?"


def until(seconds: float, *, now: float) -> str:
    """The end of a duration that begins ``now``: ``until 2026-01-31T14:35+01:00 (1 h)``."""
    return f"until {local_time(now + seconds, 'minutes')} ({in_words(seconds)})"
