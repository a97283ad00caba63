"""One metric of the vocabulary: its prometheus_client collector, the bounds of its labels, and its open series."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar

from fraiseql_guard.core import signals
from fraiseql_guard.core.signals import Metric, MetricKind, Source
from fraiseql_guard.telemetry.metrics import exposition
from fraiseql_guard.telemetry.metrics.labels import LabelBounds, LabelLimits, Labels

Record = Callable[[float], None]
"""Adds to one series of a counter, observes a value of a histogram, or sets a gauge."""
Series = dict[Labels, Record]

UNUSED_SECONDS: Final = 3600.0
"""A caller's series that was not used for so long may end to make room. No alert looks further back."""
_ENDED_FOR_EACH: Final = 5
"""Most ended series for each open one, where workers share files: an ended series keeps its entry in them."""

# Gauges that are 1 or 0, and gauges of what all workers share: the largest value of the workers counts, not the sum.
_COMMON: Final = frozenset(
    metric.name
    for metric in (
        signals.STORE_BREAKER_OPEN,
        signals.SHARED_PEER,
        signals.MODE_MONITOR,
        signals.APP_DOCUMENTS,
        signals.FAILING_ADDRESSES,
        signals.BUILD_INFO,
        signals.JWKS_AGE,
        signals.SANCTIONS_IN_FORCE,
        signals.OVERRIDES_IN_FORCE,
        signals.MEMORY_USED,
        signals.MEMORY_LIMIT,
        signals.MEMORY_RATIO,
    )
)


class RecordedMetric:
    """A metric and everything that was recorded of it in this process. Only reading ``series`` is thread-safe.

    From time to time the series of callers are put aside (:meth:`rest`). The next count in a series takes it back, so
    that only unused series stay aside, and counting itself costs nothing more.

    ``shared``: workers share one set of files, in which a series cannot be deleted. A series is ended, and not shown,
    once all living workers that had it have ended it. If it comes back, it goes on with its former count.
    """

    __slots__ = (
        "_bounds", "_ended", "_ended_series", "_most_ended", "_primitive", "_resting", "_unused", "exemplars",
        "internal_name", "metric", "series",
    )  # fmt: skip

    def __init__(self, metric: Metric, limits: LabelLimits, *, shared: bool = False) -> None:
        self.metric = metric
        self.internal_name = exposition.internal_name(metric)
        self.series: Series = {}
        self.exemplars: dict[tuple[str, ...], dict[float, Exemplar]] = {}
        """The last trace of each bucket of a histogram in this process."""
        self._bounds = LabelBounds(metric, limits)
        self._resting: dict[Labels, tuple[Record, float]] = {}  # put aside, and since when; the longest first
        self._unused: deque[Labels] = deque()  # the resting series that may end
        self._ended = self._create_ended() if shared and self._can_end() else None
        self._ended_series: set[Labels] = set()
        self._most_ended = _ENDED_FOR_EACH * limits.series
        # A collector without labels is exported as 0 as soon as it exists, so it is made with the first record.
        self._primitive = self._create() if metric.labels else None
        counts_from_zero = metric.source is Source.GUARD and not metric.labels and metric.kind is not MetricKind.GAUGE
        for labels in ((),) if counts_from_zero else metric.closed:
            self.open(labels)

    def open(self, labels: tuple[str, ...]) -> tuple[tuple[str, ...], Record]:
        """The labels to count under (these, or coarser ones), and the function that records there."""
        admitted = self._bounds.admit(labels, self._ending(labels)) if labels else labels
        record = self.series.get(admitted)
        if record is None:
            rested = self._resting.pop(admitted, None)
            # A series that rested goes on with its count.
            record = self.series[admitted] = rested[0] if rested else self._record(admitted)
        return admitted, record

    def rest(self, now: float) -> None:
        """Put the series of callers aside, and find the series that were not used for an hour (UNUSED_SECONDS)."""
        for labels in [each for each in self.series if self._bounds.may_end(each)]:
            self._resting[labels] = self.series.pop(labels), now
        self._unused = deque(labels for labels, (_, since) in self._resting.items() if now - since >= UNUSED_SECONDS)

    def end(self, labels: Labels) -> None:
        """End a series. Does nothing if there is none."""
        if self.series.pop(labels, None) is not None or self._resting.pop(labels, None) is not None:
            self._bounds.end(labels)
            self._hide(labels)

    def exemplify(self, labels: tuple[str, ...], value: float, trace: str, now: float) -> None:
        """Keep ``trace`` as the exemplar of an observation. Nothing is kept for labels that did not fit."""
        if labels in self.series:
            bounds = self.metric.buckets
            place = bisect_left(bounds, value)
            # Buckets include their upper bound, which is what bisect_left finds.
            bound = bounds[place] if place < len(bounds) else math.inf
            self.exemplars.setdefault(labels, {})[bound] = Exemplar({"trace_id": trace}, value, now)

    def published(self) -> Family:
        """The family of what this process recorded, under the public name."""
        return exposition.publish(self.metric, self._primitive.collect() if self._primitive else (), self.exemplars)

    def merged(self, families: Mapping[str, Family]) -> Family:
        """The family of what all workers recorded, under the public name. ``families``: the families in their files, by
        name."""
        ended = families.get(exposition.ended_name(self.metric))
        without = {exposition.labels_of(self.metric, one) for one in ended.samples if one.value} if ended else ()
        found = families.get(self.internal_name)
        return exposition.publish(self.metric, [found] if found else [], self.exemplars, without=without)

    @property
    def lines(self) -> int:
        """How many lines of the exposition the series take."""
        series = len(self.series) + len(self._resting) + len(self._ended_series)
        return series * (len(self.metric.buckets) + 3 if self.metric.buckets else 1)

    def _ending(self, wanted: Labels) -> Iterator[Labels]:
        """End the series that were not used for longest, one for each step of the iteration, and yield their labels. A
        series that ``wanted`` may be counted in is kept: it would end and begin anew between two scrapes."""
        while self._unused and (self._ended is None or len(self._ended_series) < self._most_ended):
            labels = self._unused.popleft()
            if all(map(_covers, labels, wanted)):
                continue
            if self._resting.pop(labels, None) is not None:  # else it was used again meanwhile
                self._hide(labels)
                yield labels

    def _can_end(self) -> bool:
        return self._bounds.names_callers or self.metric is signals.APP_DOCUMENTS

    def _hide(self, labels: Labels) -> None:
        self.exemplars.pop(labels, None)
        if self._ended is not None:
            self._ended.labels(*labels).set(1)
            self._ended_series.add(labels)
        elif self._primitive is not None:
            self._primitive.remove(*labels)

    def _record(self, labels: Labels) -> Record:
        if self._primitive is None:
            self._primitive = self._create()
        if self._ended is not None and labels not in self.metric.closed:
            self._ended.labels(*labels).set(0)
            self._ended_series.discard(labels)
        child = self._primitive.labels(*labels) if labels else self._primitive
        if isinstance(child, Gauge):
            return child.set
        return child.inc if isinstance(child, Counter) else child.observe

    def _create_ended(self) -> Gauge:
        """A gauge that is 1 for a series that has ended in this process. The smallest value of all living workers
        counts: it is 1 if the series has ended in each of them."""
        name = exposition.ended_name(self.metric)
        return Gauge(name, "Ended series.", self.metric.labels, registry=None, multiprocess_mode="livemin")

    def _create(self) -> Counter | Gauge | Histogram:
        name, text, labels = self.internal_name, self.metric.help, self.metric.labels
        if self.metric.kind is MetricKind.COUNTER:
            return Counter(name, text, labels, registry=None)
        if self.metric.kind is MetricKind.HISTOGRAM:
            return Histogram(name, text, labels, registry=None, buckets=self.metric.buckets)
        if self.metric.name in _COMMON:
            return Gauge(name, text, labels, registry=None, multiprocess_mode="livemax")
        return Gauge(name, text, labels, registry=None, multiprocess_mode="livesum")


def _covers(value: str, wanted: str) -> bool:
    return value in (wanted, signals.OTHER)


def with_closed_labels(metric: Metric) -> Metric:
    """The metric itself; if its labels are names of metrics or events, a copy with all of these as closed series, which
    begin at 0 and never overflow."""
    if metric is signals.LABEL_OVERFLOW:
        bounded = [other for other in signals.METRICS if other.labels and other.source is not Source.PROCESS]
        return replace(metric, closed=tuple((other.name,) for other in bounded))
    if metric is signals.LOG_LINES_SUPPRESSED:
        return replace(metric, closed=tuple((event.name,) for event in signals.EVENTS))
    return metric
