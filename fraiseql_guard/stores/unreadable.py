"""Entries in the store that other software wrote: they are ignored where they are read, counted, and logged once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from fraiseql_guard.core.signals import KeyFamily

MAX_JSON_BYTES: Final = 65_536
"""Longest text that is read as JSON: the guard writes shorter ones."""
_COUNTED: Final = 1_000
"""Most entries of a family that are told apart: with more the count is ``1,000 or more``."""
_SHOWN_CHARACTERS: Final = 80

OnFound = Callable[[KeyFamily, str, bool], None]
"""Gets the family, what is wrong with the entry, and whether it is the first of its family in this process."""


def _unheard(_family: KeyFamily, _detail: str, _first: bool) -> None:
    """Stands in for an observer: the entries are only counted."""


class UnreadableEntries:
    """The entries that one process has ignored. An entry that is read again with the next poll counts once."""

    def __init__(self) -> None:
        self.on_found: OnFound = _unheard
        self._seen: set[tuple[KeyFamily, int]] = set()
        self._counts: Counter[KeyFamily] = Counter()
        self._first: dict[KeyFamily, str] = {}

    def note(self, family: KeyFamily, entry: object, why: str) -> None:
        """Count an entry that is ignored, once; ``why`` says what is wrong with it."""
        # A hash stands for the entry, which may be long.
        name = (family, hash((entry, why)) if isinstance(entry, str | bytes) else hash(why))
        if name in self._seen or self._counts[family] >= _COUNTED:
            return
        self._seen.add(name)
        self._counts[family] += 1
        # Messages name the first entry of a family for all of them.
        first = family not in self._first
        detail = self._first.setdefault(family, f"{_shown(entry)} {why}")
        self.on_found(family, detail, first)

    def count(self, family: KeyFamily) -> int:
        """How many different entries of a family were ignored."""
        return self._counts[family]

    def sentences(self) -> Iterator[str]:
        """A sentence about each family with ignored entries."""
        for family, count in self._counts.items():
            how_many = "1 entry" if count == 1 else f"{count:,}{' or more' if count >= _COUNTED else ''} entries"
            kind = family.value.replace("_", " ")
            yield f"{how_many} in the store under {kind} cannot be read and is left out: {self._first[family]}"


def read_json(data: bytes) -> Any:
    """A JSON value; ValueError whatever is wrong with the text, its nesting and its length included."""
    if len(data) > MAX_JSON_BYTES:
        raise ValueError(f"is longer than {MAX_JSON_BYTES} bytes")
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:  # a UnicodeDecodeError is one
        raise ValueError("is no JSON") from None


def texts(value: Any, names: int) -> list[str]:
    """``value`` as a JSON array of exactly ``names`` texts; ValueError if it is none."""
    if not isinstance(value, list) or list(map(type, value)) != [str] * names:
        raise ValueError(f"is no array of {names} texts")
    for each in value:
        each.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    return value


def _shown(entry: object) -> str:
    """An entry for a log line: its beginning, escaped."""
    text = entry.decode(errors="backslashreplace") if isinstance(entry, bytes) else str(entry)
    return repr(text[:_SHOWN_CHARACTERS])
