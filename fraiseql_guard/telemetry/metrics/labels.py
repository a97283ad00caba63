"""Makes label values that clients choose safe to print, and bounds their number.

Every event is counted in exactly one series, so that sums are exact however many values do not fit. A value that is no
longer used makes room for a new one when one is needed. Its series ends; what it counted is not added to another one,
because Prometheus would take that for new events.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from fraiseql_guard.core.signals import ANONYMOUS, OTHER, RATE_LIMIT_EXCEEDED, UNKNOWN, Metric, MetricKind

MAX_LABEL_CHARS: Final = 128

Labels = tuple[str, ...]
_T = TypeVar("_T")

_NONE: Final[Iterator[Labels]] = iter(())
_USER, _ADDRESS = RATE_LIMIT_EXCEEDED.labels  # the two labels whose values clients can choose without end
_RESERVED: Final = frozenset({OTHER, ANONYMOUS, UNKNOWN})
_PLAIN: Final = re.compile(r"[\x20-\x7e]{0,128}")
# Controls, lone surrogates, and marks that reverse the text on a dashboard.
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Also the escaped forms: else the user "_anonymous" and the escaped user "anonymous" would be one.
_LOOKS_RESERVED: Final = re.compile(f"_*(?:{'|'.join(map(re.escape, sorted(_RESERVED)))})")


def clean_label(value: str) -> str:
    """At most 128 characters of a value, all printable: any other becomes U+FFFD."""
    if _PLAIN.fullmatch(value):
        return value
    return _UNFIT.sub("\ufffd", value[:MAX_LABEL_CHARS])


@lru_cache(maxsize=256)
def escape_label(value: str) -> str:
    """A value from outside, made safe: clean, and escaped if it looks like a reserved one (``_anonymous``)."""
    value = clean_label(value)
    return f"_{value}" if _LOOKS_RESERVED.fullmatch(value) else value


def names_caller(labels: Iterable[tuple[str, str]]) -> bool:
    """Whether a series with these labels (names and values) names a caller."""
    return any(name in (_USER, _ADDRESS) and value not in _RESERVED for name, value in labels)


@dataclass(frozen=True, slots=True)
class LabelLimits:
    """How many label values and series one metric may have in one process."""

    values: int = 200  # of user_id, and of ip_address
    pairs: int = 500  # of a user and an address
    series: int = 1000  # lines of the exposition
    histogram_users: int = 50

    def shared_by(self, workers: int) -> LabelLimits:
        """The share of one of ``workers`` processes, at least 1 of each."""
        return LabelLimits(
            *(max(1, n // max(1, workers)) for n in (self.values, self.pairs, self.series, self.histogram_users))
        )


class LabelBounds:
    """The series of one metric, and the choice of the series that a combination of label values is counted in. Not
    thread-safe.

    A combination that does not fit loses as little as possible: first its user or its address (the label with fewer
    partners is masked), then both, then all labels. Coarser series have room in reserve, so that a flood of fine series
    cannot take it.
    """

    __slots__ = (
        "_address", "_closed", "_pairs", "_partners", "_people", "_room", "_series", "_user", "_values", "_width",
        "limits",
    )  # fmt: skip

    def __init__(self, metric: Metric, limits: LabelLimits) -> None:
        histogram = metric.kind is MetricKind.HISTOGRAM
        users = min(limits.values, limits.histogram_users) if histogram else limits.values
        self.limits = LabelLimits(users, limits.pairs, limits.series, users)
        self._width = len(metric.labels)
        self._user = metric.labels.index(_USER) if _USER in metric.labels else None
        self._address = metric.labels.index(_ADDRESS) if _ADDRESS in metric.labels else None
        self._people = [place for place in (self._user, self._address) if place is not None]
        self._values: dict[int, Counter[str]] = {place: Counter() for place in self._people}  # in how many series
        self._pairs: Counter[tuple[str, str]] = Counter()  # in how many series
        self._partners: Counter[tuple[int, str]] = Counter()  # how many pairs a user or an address is part of
        self._closed = frozenset(metric.closed)
        self._series: set[Labels] = set(metric.closed)
        lines = len(metric.buckets) + 3 if histogram else 1  # the buckets, +Inf, _sum and _count
        most = max(1, limits.series // lines) + len(metric.closed)
        # By the number of coarser choices behind it: up to how many series a choice may open one of its own.
        self._room = (most, most - 1, most * 90 // 100, most * 85 // 100, most * 75 // 100)

    def admit(self, labels: Labels, unused: Iterator[Labels] = _NONE) -> Labels:
        """The labels to count under: ``labels``, or coarser ones.

        ``unused`` yields series that may end to make room for ``labels``. A series that is taken from it has ended.
        """
        if labels in self._series:
            return labels
        # End unused series until these labels fit, or none is left.
        choices = self._choices(labels)
        while not self._fit(labels, choices) and (gone := next(unused, None)) is not None:
            self.end(gone)
            choices = self._choices(labels)
        # Take the finest choice that has a series already, or room for one.
        for left, choice in zip(range(len(choices) - 1, -1, -1), choices, strict=True):
            if choice in self._series:
                break
            if len(self._series) < self._room[left]:
                self._open(choice)
                break
        return choice

    @property
    def names_callers(self) -> bool:
        """Whether the metric has a label that names callers."""
        return bool(self._people)

    def may_end(self, labels: Labels) -> bool:
        """Whether a series may end once it is not used: it names a caller, and is none of the metric's fixed series."""
        return labels not in self._closed and any(labels[place] not in _RESERVED for place in self._people)

    def end(self, labels: Labels) -> None:
        """End a series."""
        self._series.remove(labels)
        for place in self._people:
            _take_one(self._values[place], labels[place])
        pair = self._pair(labels)
        # The last series of a pair: user and address have one partner less.
        if pair is not None and not _take_one(self._pairs, pair):
            for place in self._people:
                _take_one(self._partners, (place, labels[place]))

    def _fit(self, labels: Labels, choices: list[Labels]) -> bool:
        return choices[0] == labels and len(self._series) < self._room[len(choices) - 1]

    def _choices(self, labels: Labels) -> list[Labels]:
        """The combinations to choose from, from fine to coarse, that the limits on values and pairs allow."""
        people = self._people
        kept = [place for place in people if self._fits(place, labels[place])]
        choices = [labels] if kept == people and self._pair_fits(labels) else []
        if len(people) == 2:
            # The value with more partners comes first: a flood of addresses tries one user, or one address many users.
            kept.sort(key=lambda place: -self._partners[place, labels[place]])
            choices += [_masked(labels, [place for place in people if place != one]) for one in kept]
        # The last choice has no names at all, and is taken whatever the room, so that no event is lost.
        return list(dict.fromkeys([*choices, _masked(labels, people), (OTHER,) * self._width]))

    def _fits(self, place: int, value: str) -> bool:
        seen = self._values[place]
        return value in _RESERVED or value in seen or len(seen) < self.limits.values

    def _pair_fits(self, labels: Labels) -> bool:
        pair = self._pair(labels)
        return pair is None or pair in self._pairs or len(self._pairs) < self.limits.pairs

    def _pair(self, labels: Labels) -> tuple[str, str] | None:
        """User and address, if the metric has both labels and neither is masked."""
        if self._user is None or self._address is None or OTHER in (labels[self._user], labels[self._address]):
            return None
        return labels[self._user], labels[self._address]

    def _open(self, labels: Labels) -> None:
        self._series.add(labels)
        for place in self._people:
            if labels[place] != OTHER:
                self._values[place][labels[place]] += 1
        if pair := self._pair(labels):
            if pair not in self._pairs:
                self._partners.update((place, labels[place]) for place in self._people)
            self._pairs[pair] += 1


def _take_one(counter: Counter[_T], key: _T) -> int:
    """Count one less. Returns how many are left; a key with none is removed."""
    left = counter[key] = counter[key] - 1
    if left <= 0:
        del counter[key]
    return left


def _masked(labels: Labels, places: Iterable[int]) -> Labels:
    hidden = set(places)
    return tuple(OTHER if place in hidden else value for place, value in enumerate(labels))
