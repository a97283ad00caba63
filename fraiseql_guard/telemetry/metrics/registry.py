"""All metrics of the guard: one collector for each row of the vocabulary, which the recorder counts in."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from threading import RLock, get_ident
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from fraiseql_guard.core import signals
from fraiseql_guard.core.clocks import Clock
from fraiseql_guard.core.signals import Metric, MetricKind, Source
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.telemetry.metrics import exposition, multiprocess, openmetrics
from fraiseql_guard.telemetry.metrics.background_thread import BackgroundThread
from fraiseql_guard.telemetry.metrics.labels import LabelLimits, clean_label
from fraiseql_guard.telemetry.metrics.series import UNUSED_SECONDS, Record, RecordedMetric, Series, with_closed_labels

_GC_STATS: Final[Mapping[str, Metric]] = {
    "collections": signals.GC_COLLECTIONS,
    "collected": signals.GC_COLLECTED,
    "uncollectable": signals.GC_UNCOLLECTABLE,
}
_GC_INTERVAL_SECONDS: Final = 1.0
_HELD_BY: Final = "fraiseql_guard_metrics"
"""Attribute of a registry that holds the guard's metrics in it."""
_REST_SECONDS: Final = UNUSED_SECONDS / 6
"""How often the series of callers are put aside, to find those that are not used."""
_BYTES_PER_LINE: Final = 512
"""Memory of a line of the exposition. Measured: 1.3 kB for a counter with labels, 4 kB for a histogram of 16 lines."""


class Metrics:
    """All metrics of one process. Thread-safe.

    ``registry`` is a new one unless given. A registry of the app's exports the guard's metrics together with its own,
    and :meth:`render` writes the metrics of that registry behind the guard's. ``workers`` processes share the limits on
    label values. ``clock`` counts seconds and never goes back. SettingsError (a ValueError) if the registry already
    holds one of the names, or if PROMETHEUS_MULTIPROC_DIR is no directory.

    Recording never fails because of a label's value. It raises KeyError for a metric of another kind, and ValueError
    for a wrong number of labels or a negative amount, which are errors of the code that records.
    """

    __slots__ = (
        "_background", "_clock", "_counters", "_gauges", "_gc_seen", "_gc_time", "_histograms",
        "_injected", "_lock", "_process", "_recorded", "_rested_at", "_silent_in", "_workers", "before_collecting",
        "registry", "users",
    )  # fmt: skip

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._rested_at = clock()
        self._injected = registry is not None
        self.registry = CollectorRegistry() if registry is None else registry
        self.before_collecting: Callable[[], None] = _nothing
        """Called before the metrics are shown, so that deferred counts are in them."""
        self.users = 1
        """How many guards count here."""
        self._lock = RLock()
        self._workers = self._shared_directory()
        self._background = BackgroundThread("fraiseql-guard-metrics")
        self._silent_in = 0  # the thread in which the registry is asked for the app's metrics alone
        self._gc_seen: dict[tuple[str, int], int] = {}
        self._gc_time = 0.0
        limits = LabelLimits().shared_by(workers)
        sources = {Source.GUARD, Source.HOST}
        chosen = [metric for metric in signals.METRICS if metric.source in sources]
        if self._workers:
            # With one process prometheus_client's own collector counts garbage collections.
            chosen += _GC_STATS.values()
        self._recorded = {
            metric.name: RecordedMetric(with_closed_labels(metric), limits, shared=self._workers is not None)
            for metric in chosen
        }
        self._counters = self._series_of(MetricKind.COUNTER)
        self._histograms = self._series_of(MetricKind.HISTOGRAM)
        self._gauges = self._series_of(MetricKind.GAUGE)
        self._process: list[Collector] = []
        self._register()

    @classmethod
    def of(cls, registry: CollectorRegistry | None, *, workers: int = 1, clock: Clock = time.monotonic) -> Metrics:
        """The guard's metrics in a registry: the Metrics of another guard there, else new ones. Each guard closes them
        once. With several workers, all guards of a process that are given no registry share one Metrics, because they
        share one set of files."""
        holder = REGISTRY if registry is None and multiprocess.is_active() else registry
        known = getattr(holder, _HELD_BY, None)
        if isinstance(known, cls) and known.users:
            known.users += 1
            return known
        metrics = cls(registry, workers=workers, clock=clock)
        if holder is not None:
            setattr(holder, _HELD_BY, metrics)
        return metrics

    def inc(self, metric: Metric, *labels: str, amount: float = 1) -> None:
        """Add to a counter. The labels are in the order of the vocabulary; a value from outside must have passed
        escape_label."""
        (self._counters[metric.name].get(labels) or self._open(metric, labels))(amount)

    def counter(self, metric: Metric, *labels: str) -> Record:
        """The function that adds to one series, for a counter that moves with every request."""
        return self._counters[metric.name].get(labels) or self._open(metric, labels)

    def observe(self, metric: Metric, value: float, *labels: str, times: int = 1, trace: str = "") -> None:
        """Add an observation to a histogram, ``times`` times. ``trace`` is the id of a trace that shows it."""
        record = self._histograms[metric.name].get(labels) or self._open(metric, labels)
        for _ in range(times):
            record(value)
        if trace:
            self._recorded[metric.name].exemplify(labels, value, trace, time.time())
        # At most once a second, on the way of a request: a worker that is not scraped has no other occasion.
        if self._workers is not None and time.monotonic() - self._gc_time >= _GC_INTERVAL_SECONDS:
            self._count_gc()

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge. A gauge that was never set is not exported."""
        (self._gauges[metric.name].get(labels) or self._open(metric, labels))(value)

    def end(self, metric: Metric, *labels: str) -> None:
        """End a series that is no longer used. Does nothing if there is none."""
        with self._lock:
            self._recorded[metric.name].end(labels)

    def render(self, *, as_openmetrics: bool = False) -> bytes:
        """The page of all metrics: the guard's, then those of the app in the given registry. It is in the text format
        0.0.4 (exposition.CONTENT_TYPE), or in OpenMetrics (openmetrics.content_type)."""
        self._write_down()
        seen = None
        if self._workers is not None:
            # Dead workers' files are folded first, so that fewer are read.
            self._workers.fold()
            seen = self._workers.look()
        ours, form = self._ours(seen), _form(as_openmetrics)
        return b"".join((form.render(ours), self._foreign(seen, ours, form), form.END))

    async def page(self, *, as_openmetrics: bool = False) -> bytes:
        """:meth:`render` without blocking the event loop: a thread reads and merges the files of several workers."""
        if self._workers is None:
            return self.render(as_openmetrics=as_openmetrics)
        self._write_down()
        form = _form(as_openmetrics)
        try:
            seen, ours, text = await self._background.run(self._read, self._workers, form)
        except RuntimeError:  # the interpreter is about to end, and starts no threads any more
            return self.render(as_openmetrics=as_openmetrics)
        return b"".join((text, self._foreign(seen, ours, form), form.END))

    def _write_down(self) -> None:
        """Count what was deferred, and this process's garbage collections."""
        self.before_collecting()
        with self._lock:
            self._rest()
        if self._workers is not None:
            self._count_gc()

    def _read(self, workers: multiprocess.Workers, form: Any) -> tuple[multiprocess.SeenFiles, list[Family], bytes]:
        """Fold, read and merge the files, and write the guard's part of the page. Runs in the background thread."""
        more = workers.fold()
        seen = workers.look()
        ours = self._ours(seen)
        # After the page, so that a scrape does not wait for hundreds of dead workers.
        if more:
            self._background.submit(workers.fold)
        return seen, ours, form.render(ours)

    def _ours(self, seen: multiprocess.SeenFiles | None) -> list[Family]:
        """The guard's families, then the families about the process. ``seen``: the content of the workers' files; None
        for a single process."""
        process = [each for each in self._process if seen is None or not isinstance(each, _Unnamed)]
        found = chain.from_iterable(collector.collect() for collector in process)
        return [*self._published(seen), *(seen.process if seen else ()), *found]

    def _foreign(self, seen: multiprocess.SeenFiles | None, ours: Iterable[Family], form: Any) -> bytes:
        """The page of the app's own metrics in a given registry, without the families of ``ours``. Runs in the event
        loop, because the app's collectors expect that."""
        if not self._injected:
            return b""
        # Meanwhile collect() returns nothing in this thread: the guard's own families are there already.
        self._silent_in = get_ident()
        try:
            shared = seen.merged if seen else ()
            text: bytes = form.render_foreign(chain(shared, self.registry.collect()), besides=ours)
        except Exception:  # noqa: BLE001 - a collector of the app's: the guard's own metrics are shown all the same
            self.inc(signals.FAULTS, "registry")
            return b""
        else:
            return text
        finally:
            self._silent_in = 0

    @property
    def shares_its_pid(self) -> bool:
        """Whether a process of another container writes to the same files in PROMETHEUS_MULTIPROC_DIR."""
        return self._workers is not None and self._workers.shares_its_pid

    @property
    def size_bytes(self) -> int:
        """The memory of this process's series, estimated by their number."""
        return sum(family.lines for family in self._recorded.values()) * _BYTES_PER_LINE

    def close(self) -> None:
        """Take everything out of the registry, unless another guard counts here. May be called twice."""
        self.users = max(0, self.users - 1)
        if self.users:
            return
        registered, self._process = [self, *self._process], []
        for collector in registered:
            try:
                self.registry.unregister(collector)
            except KeyError:
                continue

    def collect(self) -> Iterable[Family]:
        """The guard's families under their public names, as a Collector of prometheus_client."""
        if self._silent_in == get_ident():
            return []
        self._write_down()
        return self._published(self._workers.look() if self._workers else None)

    def _published(self, seen: multiprocess.SeenFiles | None) -> list[Family]:
        if seen is None:
            return [family.published() for family in self._recorded.values()]
        merged = {family.name: family for family in seen.merged}
        return [family.merged(merged) for family in self._recorded.values()]

    def describe(self) -> Iterable[Family]:
        """The exact names of the guard's samples, by which a registry notices clashes. GC metrics clash with none."""
        for family in self._recorded.values():
            if family.metric.source is not Source.PROCESS:
                suffixes = ("", "_bucket", "_sum", "_count") if family.metric.kind is MetricKind.HISTOGRAM else ("",)
                yield from (Family(family.metric.name + suffix, "", "unknown") for suffix in suffixes)

    def _series_of(self, kind: MetricKind) -> dict[str, Series]:
        return {name: family.series for name, family in self._recorded.items() if family.metric.kind is kind}

    def _open(self, metric: Metric, labels: tuple[str, ...]) -> Record:
        """The record function of the series that these labels are counted in: a new one, or a coarser one if they do
        not fit."""
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, but was given {labels}")
        clean = tuple(map(clean_label, labels))
        with self._lock:
            self._rest()
            admitted, record = self._recorded[metric.name].open(clean)
        if admitted != clean:
            self.inc(signals.LABEL_OVERFLOW, metric.name)
        return record

    def _rest(self) -> None:
        """Put the series of callers aside, every _REST_SECONDS (RecordedMetric.rest)."""
        now = self._clock()
        if now - self._rested_at >= _REST_SECONDS:
            self._rested_at = now
            for family in self._recorded.values():
                family.rest(now)

    def _shared_directory(self) -> multiprocess.Workers | None:
        """The workers that share PROMETHEUS_MULTIPROC_DIR; None for a single process. SettingsError if that is no
        directory."""
        directory = multiprocess.directory()
        if directory is None:
            return None
        if not directory.is_dir():
            raise SettingsError(
                f"{multiprocess.VARIABLE}={str(directory)!r} is not a directory: create it, empty, before the start"
            )
        return multiprocess.Workers(directory, on_damage=lambda: self.inc(signals.FAULTS, "metrics_file"))

    def _register(self) -> None:
        """Put the guard's metrics into the registry, and the collectors about the process that it lacks."""
        # The app may have collectors of the process in its registry already.
        present = {family.name for family in self.registry.collect()} if self._injected else set()
        try:
            self.registry.register(self)
        except ValueError as error:
            names = ", ".join(sorted(getattr(error, "duplicates", ()))) or str(error)
            raise SettingsError(
                f"the given registry already holds {names}: remove that metric from it, "
                "share one Metrics if it is another guard's, or let the guard have a registry of its own"
            ) from None
        for collector in self._process_collectors():
            if not _is_there(collector, present):
                self.registry.register(collector)
                self._process.append(collector)

    def _process_collectors(self) -> list[Collector]:
        platform = PlatformCollector(registry=None)
        if self._workers:
            return [_Unnamed(self._process_families), platform]
        return [ProcessCollector(registry=None), platform, GCCollector(registry=CollectorRegistry())]

    def _process_families(self) -> list[Family]:
        if self._workers is None or self._silent_in == get_ident():
            return []
        return self._workers.process_families()

    def _count_gc(self) -> None:
        """Count this process's garbage collections. Every worker counts its own: the worker that is scraped cannot ask
        the others."""
        with self._lock:
            self._rest()
            self._gc_time = time.monotonic()
            stats: list[dict[str, Any]] = [*gc.get_stats()]
            for generation, counts in enumerate(map(dict, stats)):
                for name, metric in _GC_STATS.items():
                    # The interpreter counts from its start; a counter takes what was added.
                    growth = counts[name] - self._gc_seen.get((name, generation), 0)
                    self._gc_seen[name, generation] = counts[name]
                    self.inc(metric, str(generation), amount=growth)


def _is_there(collector: Collector, present: Collection[str]) -> bool:
    """Whether a registry with these families has a family of this collector already."""
    if isinstance(collector, _Unnamed):
        return False
    return any(family.name in present for family in collector.collect())


def _form(as_openmetrics: bool) -> Any:
    """The module that writes a format."""
    return openmetrics if as_openmetrics else exposition


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Unnamed:
    """A collector that describes no names, so that none can clash: for the process metrics of all workers, which
    replace the metrics of this process."""

    collect: Callable[[], Iterable[Family]]

    def describe(self) -> Iterable[Family]:
        return ()
