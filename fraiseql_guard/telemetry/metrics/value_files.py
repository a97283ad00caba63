"""Reads, merges and writes the files in which prometheus_client keeps the values of one process and one type of metric.

A file (``counter_123.db``, ``gauge_livesum_123.db``) begins with the number of bytes in use (int32) and four bytes of
padding. Entries follow: the key's length (int32), the key (JSON: family, sample, labels, help), spaces up to the next
multiple of eight, the value and a time (two doubles). No reader reads what stands behind the bytes in use.

Sums are exact, whatever the order of the files and however they were added up before. A sum that is lower by its last
digit would be a counter that went back, which Prometheus takes for a restart.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum, isfinite
from pathlib import Path
from typing import Final

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.utils import floatToGoString

SUFFIX: Final = ".db"
BOUND: Final = "le"
"""The label of a histogram's buckets."""
_INT: Final = struct.Struct("i")
_PAIR: Final = struct.Struct("dd")
_HEADER_BYTES: Final = 8
_EXACT_INTEGERS: Final = 2.0**53
_SUMMED: Final = frozenset({"counter", "histogram", "summary", "gauge_sum", "gauge_livesum"})
_PER_PROCESS: Final = frozenset({"gauge_all", "gauge_liveall"})

Entry = tuple[float, float]
"""A value and its time."""
Labels = tuple[tuple[str, str], ...]


SeriesOf = Callable[[bytes], tuple[Hashable, Hashable] | None]
"""Returns the group and the series of a key that may end; None for a key that stays."""


class DamagedFileError(Exception):
    """A file of values that cannot be read."""


@dataclass(frozen=True, slots=True)
class Key:
    """The key of an entry."""

    family: str
    sample: str
    labels: Labels
    text: str

    @property
    def upper_bound(self) -> float | None:
        """The upper bound of a bucket's key; None for other keys."""
        return next((float(text) for name, text in self.labels if name == BOUND), None)

    @property
    def series(self) -> Labels:
        """The labels without the bucket's bound."""
        return tuple([label for label in self.labels if label[0] != BOUND])


@dataclass(slots=True)
class Values:
    """The values in many files of one prefix (``counter``, ``gauge_max``): the entries of each key."""

    prefix: str
    found: dict[bytes, list[Entry]] = field(default_factory=dict)

    def add(self, entries: Iterable[tuple[bytes, Entry]]) -> None:
        """Add the entries of one more file."""
        found = self.found
        for key, entry in entries:
            held = found.get(key)
            if held is None:
                found[key] = [entry]
            else:
                held.append(entry)

    def add_newest(self, entries: Iterable[tuple[bytes, Entry]]) -> None:
        """Add the entries of one more file, and move their keys to the end of the order."""
        found = self.found
        for key, entry in entries:
            # pop and assign: a dict keeps the order of insertion.
            found[key] = [*found.pop(key, ()), entry]

    def end_oldest(self, series_of: SeriesOf, most: int, in_use: Callable[[], Iterable[bytes]]) -> None:
        """Drop the oldest series of each group, so that ``most`` are left. A series with a key ``in_use`` stays,
        because its sum would go back. ``in_use`` is called only if a group has too many series."""
        kept: dict[Hashable, set[Hashable]] = {}
        too_many: list[tuple[bytes, Hashable]] = []
        # The newest come last in the order.
        # A series has several keys (its buckets): all stay, or all go.
        for key in reversed(self.found):
            if (found := series_of(key)) is not None:
                group, series = found
                newest = kept.setdefault(group, set())
                if series in newest or len(newest) < most:
                    newest.add(series)
                else:
                    too_many.append((key, found))
        # Files are read only now, since there are nearly always few enough series.
        used = set(map(series_of, in_use())) if too_many else set[object]()
        for key, ended in too_many:
            if ended not in used:
                del self.found[key]

    def condensed(self) -> list[tuple[bytes, Entry]]:
        """The fewest entries that keep sums exact, whatever is added later. A key may have several entries, whose sum
        is its value."""
        rows: list[tuple[bytes, Entry]] = []
        for key, entries in self.found.items():
            if self.prefix in _SUMMED:
                # A sum that is rounded here would differ from the sum that a scrape showed before.
                rows += [(key, (part, 0.0)) for part in exact_parts([value for value, _ in entries])]
            elif self.prefix == "gauge_mostrecent":
                rows.append((key, max(entries, key=lambda entry: entry[1])))
            else:
                rows.append((key, (_merge(self.prefix, entries), 0.0)))
        return rows


def prefix_of(path: Path) -> str:
    """The prefix of a file's name: ``counter`` of ``counter_123.db``."""
    return path.name.rpartition("_")[0]


def read(path: Path, known: dict[bytes, Key]) -> list[tuple[bytes, Entry]]:
    """The entries of a file. Keys that are not in ``known`` yet are read, and added to it.

    DamagedFileError for a file that prometheus_client did not write, FileNotFoundError if there is none.
    """
    data = path.read_bytes()
    try:
        entries = _entries(data)
        for key, _ in entries:
            if key not in known:
                known[key] = _read_key(key)
    except (struct.error, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise DamagedFileError(path.name) from error
    return entries


def trailer(path: Path) -> bytes:
    """The bytes behind the values."""
    data = path.read_bytes()
    return data[_INT.unpack_from(data)[0] :] if len(data) >= _HEADER_BYTES else b""


def packed(entries: Iterable[tuple[bytes, Entry]], trailing: bytes = b"") -> bytes:
    """The content of a file with these entries, and ``trailing`` bytes behind them."""
    parts = []
    for key, entry in entries:
        # prometheus_client reads doubles at multiples of eight bytes; a full pad of eight is its own form.
        padding = b" " * (8 - (len(key) + 4) % 8)
        parts.append(_INT.pack(len(key)) + key + padding + _PAIR.pack(*entry))
    body = b"".join(parts)
    return _INT.pack(_HEADER_BYTES + len(body)) + bytes(4) + body + trailing


def families(files: Mapping[Path, list[tuple[bytes, Entry]]], known: Mapping[bytes, Key]) -> list[Family]:
    """The families in all files, merged as prometheus_client merges them."""
    by_prefix: dict[str, Values] = {}
    found: dict[str, Family] = {}
    for path, entries in files.items():
        # Gauges of the mode ``all`` have a series for each process; all others are merged.
        prefix = prefix_of(path)
        if prefix in _PER_PROCESS:
            pid = ("pid", path.stem.rpartition("_")[2])
            for key, (value, _) in entries:
                family = _family(found, known[key], prefix)
                family.add_sample(known[key].sample, dict((*known[key].labels, pid)), value)
        else:
            by_prefix.setdefault(prefix, Values(prefix)).add(entries)
    for prefix, values in by_prefix.items():
        _publish(found, prefix, _by_sample(values, known))
    return list(found.values())


def exact_parts(values: Iterable[float]) -> list[float]:
    """The fewest numbers whose sum is exactly that of ``values`` (Shewchuk's expansions)."""
    numbers = list(values)
    # Integers that a double holds exactly: nearly all counters.
    if all(map(float.is_integer, numbers)) and sum(map(abs, numbers)) < _EXACT_INTEGERS:
        return [sum(numbers)]
    parts: list[float] = []
    for number in numbers:
        # Add the number to each part; what rounding loses becomes a part of its own.
        rest, kept = number, []
        for part in parts:
            rest, low = _sum_and_rest(rest, part)
            if low:
                kept.append(low)
        parts = [*kept, rest]
    return parts if all(map(isfinite, parts)) else [sum(numbers)]


def _sum_and_rest(a: float, b: float) -> tuple[float, float]:
    """The sum of two numbers as a double, and exactly what rounding lost (Dekker's FastTwoSum)."""
    larger, smaller = (a, b) if abs(a) >= abs(b) else (b, a)
    total = larger + smaller
    return total, smaller - (total - larger)


def _entries(data: bytes) -> list[tuple[bytes, Entry]]:
    (used,) = _INT.unpack_from(data)
    if used > len(data):
        raise ValueError("shorter than it says")
    found, position = [], _HEADER_BYTES
    while position < used:
        (length,) = _INT.unpack_from(data, position)
        begin = position + 4
        position = begin + length + 8 - (length + 4) % 8
        if length < 0 or position + _PAIR.size > used:
            raise ValueError("an entry leaves the bytes in use")
        value: Entry = _PAIR.unpack_from(data, position)
        found.append((data[begin : begin + length], value))
        position += _PAIR.size
    return found


def _read_key(key: bytes) -> Key:
    family, sample, labels, text = json.loads(key)
    for each in (family, sample, text, *labels.values()):
        if not isinstance(each, str):
            raise TypeError("a key of something else than text")
    for name, value in labels.items():
        if name == BOUND:
            # A bound that is no number would fail later, when the whole page is written.
            float(value)
    Family(family, text, "unknown")  # a name that it takes
    return Key(family, sample, tuple(sorted(labels.items())), text)


def _merge(prefix: str, entries: list[Entry]) -> float:
    if len(entries) == 1:
        return entries[0][0]
    values = [value for value, _ in entries]
    if prefix in _SUMMED:
        return _sum(values)
    if prefix.endswith("min"):
        return min(values)
    if prefix.endswith("mostrecent"):
        return max(entries, key=lambda entry: entry[1])[0]
    return max(values)


def _sum(values: list[float]) -> float:
    try:
        # fsum rounds once, whatever the order of the files.
        return fsum(values)
    except (OverflowError, ValueError):  # beyond the largest number, or inf and -inf
        return sum(values)


def _family(found: dict[str, Family], key: Key, prefix: str) -> Family:
    family = found.get(key.family)
    if family is None:
        family = found[key.family] = Family(key.family, key.text, prefix.partition("_")[0])
    return family


def _by_sample(values: Values, known: Mapping[bytes, Key]) -> list[tuple[Key, float]]:
    """The merged value of each sample. Keys that differ only in their help text are one sample."""
    found: dict[tuple[str, str, Labels], tuple[Key, list[Entry]]] = {}
    for raw, entries in values.found.items():
        key = known[raw]
        found.setdefault((key.family, key.sample, key.labels), (key, []))[1].extend(entries)
    if values.prefix.endswith("mostrecent"):  # a gauge that was never set has no time: it is no sample
        found = {name: (key, entries) for name, (key, entries) in found.items() if any(time for _, time in entries)}
    return [(key, _merge(values.prefix, entries)) for key, entries in found.values()]


def _go_text(bound: float) -> str:
    text: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
    return text


def _publish(found: dict[str, Family], prefix: str, merged: Iterable[tuple[Key, float]]) -> None:
    """Add merged samples to their families. Buckets of histograms are stored one by one, and published cumulatively."""
    buckets: dict[tuple[str, Labels], list[tuple[float, Key, float]]] = {}
    for key, value in merged:
        upper = key.upper_bound
        if prefix != "histogram" or upper is None:
            _family(found, key, prefix).add_sample(key.sample, dict(key.labels), value)
        else:
            buckets.setdefault((key.family, key.series), []).append((upper, key, value))
    for (name, labels), rows in buckets.items():
        family, total = _family(found, rows[0][1], prefix), 0.0
        # In the order of the numbers: as texts, 10 would come before 2.
        for bound, _, value in sorted(rows, key=lambda row: row[0]):
            total += value
            family.add_sample(f"{name}_bucket", {**dict(labels), BOUND: _go_text(bound)}, total)
        # The last bucket is +Inf, so that all of them together are the count.
        family.add_sample(f"{name}_count", dict(labels), total)
