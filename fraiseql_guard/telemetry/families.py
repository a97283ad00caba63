"""One metric of the vocabulary: its prometheus_client primitive, its bounds, and its series ready to be recorded."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar

from fraiseql_guard import signals
from fraiseql_guard.signals import Kind, Metric, Source
from fraiseql_guard.telemetry import exposition
from fraiseql_guard.telemetry.labels import Bounds, Limits

Record = Callable[[float], None]
Series = dict[tuple[str, ...], Record]

# 1 or 0: one worker that says 1 is enough. Or about what all workers share. Neither adds up.
_COMMON: Final = frozenset(
    metric.name
    for metric in (
        signals.STORE_BREAKER_OPEN,
        signals.SHARED_PEER,
        signals.MODE_MONITOR,
        signals.APP_DOCUMENTS,
        signals.BUILD_INFO,
        signals.JWKS_AGE,
        signals.SANCTIONS_IN_FORCE,
        signals.OVERRIDES_IN_FORCE,
        signals.MEMORY_USED,
        signals.MEMORY_LIMIT,
        signals.MEMORY_RATIO,
    )
)


def quick_inc(counter: Counter) -> Record:
    """``counter.inc`` without what it asks each time, where the library is made as we know it. Same values, same locks;
    an amount may be anything but negative."""
    add: Record | None = getattr(getattr(counter, "_value", None), "inc", None)
    return counter.inc if add is None else partial(_add, add)


def _add(add: Record, amount: float) -> None:
    if amount < 0:
        raise ValueError("a counter never goes back")
    add(amount)


def quick_observe(histogram: Histogram) -> Record:
    """``histogram.observe`` by bisection, where the library is made as we know it. Same values, same locks."""
    try:
        bounds = tuple(histogram._upper_bounds)  # noqa: SLF001
        into = [bucket.inc for bucket in histogram._buckets]  # noqa: SLF001
        add = histogram._sum.inc  # noqa: SLF001
    except AttributeError:
        return histogram.observe
    if len(bounds) != len(into):
        return histogram.observe

    def observe(value: float) -> None:
        add(value)
        into[bisect_left(bounds, value)](1)

    return observe


class RecordedMetric:
    """A metric and everything that was recorded of it in this process. Not thread-safe, but for ``series``."""

    __slots__ = ("_bounds", "_primitive", "exemplars", "internal_name", "metric", "series")

    def __init__(self, metric: Metric, limits: Limits) -> None:
        self.metric = metric
        self.internal_name = exposition.internal_name(metric)
        self.series: Series = {}
        self.exemplars: dict[tuple[str, ...], dict[float, Exemplar]] = {}
        """Of a histogram, those of this process: the last trace of each bucket."""
        self._bounds = Bounds(metric, limits)
        # A primitive without labels is exported as 0 from its birth on: nobody's pool gauge must be born before it
        # is set.
        self._primitive = self._create() if metric.labels else None
        counts_from_zero = metric.source is Source.GUARD and not metric.labels and metric.kind is not Kind.GAUGE
        for labels in ((),) if counts_from_zero else metric.closed:
            self.open(labels)

    def open(self, labels: tuple[str, ...]) -> tuple[tuple[str, ...], Record]:
        """The labels that these are counted under, and the call that counts."""
        admitted = self._bounds.admit(labels) if labels else labels
        record = self.series.get(admitted)
        if record is None:
            record = self.series[admitted] = self._record(admitted)
        return admitted, record

    def exemplify(self, labels: tuple[str, ...], value: float, trace: str, now: float) -> None:
        """An observation has a trace that shows more of it. Of labels that did not fit nothing is kept."""
        if labels in self.series:
            bounds = self.metric.buckets
            place = bisect_left(bounds, value)
            bound = bounds[place] if place < len(bounds) else math.inf
            self.exemplars.setdefault(labels, {})[bound] = Exemplar({"trace_id": trace}, value, now)

    def published(self) -> Family:
        """What this process recorded, under the public name."""
        return self.publish(self._primitive.collect() if self._primitive else ())

    def publish(self, internal: Iterable[Family]) -> Family:
        """What the workers recorded, under the public name."""
        return exposition.publish(self.metric, internal, self.exemplars)

    @property
    def lines(self) -> int:
        """Lines of the exposition."""
        return len(self.series) * (len(self.metric.buckets) + 3 if self.metric.buckets else 1)

    def _record(self, labels: tuple[str, ...]) -> Record:
        if self._primitive is None:
            self._primitive = self._create()
        child = self._primitive.labels(*labels) if labels else self._primitive
        if isinstance(child, Gauge):
            return child.set
        return quick_inc(child) if isinstance(child, Counter) else quick_observe(child)

    def _create(self) -> Counter | Gauge | Histogram:
        name, text, labels = self.internal_name, self.metric.help, self.metric.labels
        if self.metric.kind is Kind.COUNTER:
            return Counter(name, text, labels, registry=None)
        if self.metric.kind is Kind.HISTOGRAM:
            return Histogram(name, text, labels, registry=None, buckets=self.metric.buckets)
        if self.metric.name in _COMMON:
            return Gauge(name, text, labels, registry=None, multiprocess_mode="livemax")
        return Gauge(name, text, labels, registry=None, multiprocess_mode="livesum")
