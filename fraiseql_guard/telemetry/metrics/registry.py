"""Every metric of the vocabulary as a prometheus_client collector, counted in one call."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from threading import RLock, get_ident
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from fraiseql_guard.core import signals
from fraiseql_guard.core.clocks import Clock
from fraiseql_guard.core.settings import SettingsError
from fraiseql_guard.core.signals import Metric, MetricKind, Source
from fraiseql_guard.telemetry.metrics import exposition, multiprocess, openmetrics
from fraiseql_guard.telemetry.metrics.aside import Aside
from fraiseql_guard.telemetry.metrics.labels import LabelLimits, clean_label
from fraiseql_guard.telemetry.metrics.series import UNUSED_SECONDS, Record, RecordedMetric, Series, with_closed_labels

_GC_STATS: Final[Mapping[str, Metric]] = {
    "collections": signals.GC_COLLECTIONS,
    "collected": signals.GC_COLLECTED,
    "uncollectable": signals.GC_UNCOLLECTABLE,
}
_GC_INTERVAL_SECONDS: Final = 1.0
_HELD_BY: Final = "fraiseql_guard_metrics"
"""Attribute of a registry: which metrics are ours in it."""
_REST_SECONDS: Final = UNUSED_SECONDS / 6
"""How often it is noted which callers' series were used."""
_BYTES_PER_LINE: Final = 512
"""Measured: 1.3 kB for a counter with labels, 4 kB for a histogram of 16 lines."""


class Metrics:
    """All metrics of one process. With several workers (PROMETHEUS_MULTIPROC_DIR), one instance for each process.

    ``registry``: an own one by default; another one then exports the guard's metrics with its own, and
    :meth:`render` the other way round. ValueError if it already holds one of the names, or if
    PROMETHEUS_MULTIPROC_DIR is no directory. ``workers``: how many processes share the limits on label values.
    ``clock`` counts seconds and never goes back.

    Recording never fails for what a label says. KeyError for a metric of another kind or of none, ValueError for a
    wrong number of labels or a negative amount: the caller's errors. Thread-safe.
    """

    __slots__ = (
        "_aside", "_clock", "_counters", "_families", "_gauges", "_gc_seen", "_gc_time", "_histograms", "_injected",
        "_lock", "_process", "_rested_at", "_silent_in", "_workers", "before_collecting", "registry", "users",
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
        """Guards that have their metrics here."""
        self._lock = RLock()
        self._workers = self._shared_directory()
        self._aside = Aside("fraiseql-guard-metrics")
        self._silent_in = 0  # the thread in which this asks its own registry
        self._gc_seen: dict[tuple[str, int], int] = {}
        self._gc_time = 0.0
        limits = LabelLimits().shared_by(workers)
        sources = {Source.GUARD, Source.HOST}
        chosen = [metric for metric in signals.METRICS if metric.source in sources]
        if self._workers:
            chosen += _GC_STATS.values()
        self._families = {
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
        """The metrics in a registry: those of another guard that was given the same one, if it still has them, else new
        ones. Each guard closes them once. With several workers the guards of a process without a registry share theirs
        as well: they have one set of files."""
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
        """Add to a counter. Labels in the order of the vocabulary; those from outside through escape_label."""
        (self._counters[metric.name].get(labels) or self._open(metric, labels))(amount)

    def counter(self, metric: Metric, *labels: str) -> Record:
        """The call that adds to one series, for callers that count the same again and again."""
        return self._counters[metric.name].get(labels) or self._open(metric, labels)

    def observe(self, metric: Metric, value: float, *labels: str, times: int = 1, trace: str = "") -> None:
        """Add an observation to a histogram, so many times. ``trace`` is the id of a trace that shows it."""
        record = self._histograms[metric.name].get(labels) or self._open(metric, labels)
        for _ in range(times):
            record(value)
        if trace:
            self._families[metric.name].exemplify(labels, value, trace, time.time())
        if self._workers is not None and time.monotonic() - self._gc_time >= _GC_INTERVAL_SECONDS:
            self._count_gc()

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge. Before the first time, it is not exported."""
        (self._gauges[metric.name].get(labels) or self._open(metric, labels))(value)

    def end(self, metric: Metric, *labels: str) -> None:
        """End a series that is not used any more. Nothing if there is none."""
        with self._lock:
            self._families[metric.name].end(labels)

    def render(self, *, as_openmetrics: bool = False) -> bytes:
        """The exposition, ours, then what else the registry holds: in the text format 0.0.4 (exposition.CONTENT_TYPE),
        or as OpenMetrics (openmetrics.content_type)."""
        self._write_down()
        seen = None
        if self._workers is not None:
            self._workers.fold()
            seen = self._workers.look()
        ours, form = self._ours(seen), _form(as_openmetrics)
        return b"".join((form.render(ours), self._foreign(seen, ours, form), form.END))

    async def page(self, *, as_openmetrics: bool = False) -> bytes:
        """The same for an event loop: the files of several workers are read and merged in a thread beside it."""
        if self._workers is None:
            return self.render(as_openmetrics=as_openmetrics)
        self._write_down()
        form = _form(as_openmetrics)
        try:
            seen, ours, text = await self._aside.run(self._read, self._workers, form)
        except RuntimeError:  # no threads any more: the interpreter ends
            return self.render(as_openmetrics=as_openmetrics)
        return b"".join((text, self._foreign(seen, ours, form), form.END))

    def _write_down(self) -> None:
        """What is counted in advance, and this process's collections."""
        self.before_collecting()
        with self._lock:
            self._rest()
        if self._workers is not None:
            self._count_gc()

    def _read(self, workers: multiprocess.Workers, form: Any) -> tuple[multiprocess.SeenFiles, list[Family], bytes]:
        """In a thread: fold, read, merge and write out."""
        more = workers.fold()
        seen = workers.look()
        ours = self._ours(seen)
        if more:
            self._aside.submit(workers.fold)
        return seen, ours, form.render(ours)

    def _ours(self, seen: multiprocess.SeenFiles | None) -> list[Family]:
        process = [each for each in self._process if seen is None or not isinstance(each, _Unnamed)]
        found = chain.from_iterable(collector.collect() for collector in process)
        return [*self._published(seen), *(seen.process if seen else ()), *found]

    def _foreign(self, seen: multiprocess.SeenFiles | None, ours: Iterable[Family], form: Any) -> bytes:
        """What else a given registry holds. The app's collectors run where the app does: in its event loop."""
        if not self._injected:
            return b""
        self._silent_in = get_ident()
        try:
            shared = seen.merged if seen else ()
            text: bytes = form.render_foreign(chain(shared, self.registry.collect()), besides=ours)
        except Exception:  # noqa: BLE001 - a collector of the app; ours must be seen all the same
            self.inc(signals.FAULTS, "registry")
            return b""
        else:
            return text
        finally:
            self._silent_in = 0

    @property
    def shares_its_pid(self) -> bool:
        """Whether a process of another container writes to this one's files (PROMETHEUS_MULTIPROC_DIR)."""
        return self._workers is not None and self._workers.shares_its_pid

    @property
    def size_bytes(self) -> int:
        """What the series of this process take, estimated by their number."""
        return sum(family.lines for family in self._families.values()) * _BYTES_PER_LINE

    def close(self) -> None:
        """Take everything out of the registry, if no other guard has its metrics there. Twice is as good as once."""
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
        """Our families under their public names (prometheus_client's Collector)."""
        if self._silent_in == get_ident():
            return []  # asked by ourselves, who have them already
        self._write_down()
        return self._published(self._workers.look() if self._workers else None)

    def _published(self, seen: multiprocess.SeenFiles | None) -> list[Family]:
        if seen is None:
            return [family.published() for family in self._families.values()]
        merged = {family.name: family for family in seen.merged}
        return [family.merged(merged) for family in self._families.values()]

    def describe(self) -> Iterable[Family]:
        """The exact names of our samples, so that a registry notices clashes. GC metrics clash with none."""
        for family in self._families.values():
            if family.metric.source is not Source.PROCESS:
                suffixes = ("", "_bucket", "_sum", "_count") if family.metric.kind is MetricKind.HISTOGRAM else ("",)
                yield from (Family(family.metric.name + suffix, "", "unknown") for suffix in suffixes)

    def _series_of(self, kind: MetricKind) -> dict[str, Series]:
        return {name: family.series for name, family in self._families.items() if family.metric.kind is kind}

    def _open(self, metric: Metric, labels: tuple[str, ...]) -> Record:
        """The slow path: a series that is new, or labels that do not fit any more."""
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, but was given {labels}")
        clean = tuple(map(clean_label, labels))
        with self._lock:
            self._rest()
            admitted, record = self._families[metric.name].open(clean)
        if admitted != clean:
            self.inc(signals.LABEL_OVERFLOW, metric.name)
        return record

    def _rest(self) -> None:
        now = self._clock()
        if now - self._rested_at >= _REST_SECONDS:
            self._rested_at = now
            for family in self._families.values():
                family.rest(now)

    def _shared_directory(self) -> multiprocess.Workers | None:
        directory = multiprocess.directory()
        if directory is None:
            return None
        if not directory.is_dir():
            raise SettingsError(
                f"{multiprocess.VARIABLE}={str(directory)!r} is not a directory: create it, empty, before the start"
            )
        return multiprocess.Workers(directory, on_damage=lambda: self.inc(signals.FAULTS, "metrics_file"))

    def _register(self) -> None:
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
            if isinstance(collector, _Unnamed) or present.isdisjoint(family.name for family in collector.collect()):
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
        """Write down this process's collections: the worker that is scraped cannot ask the others for theirs."""
        with self._lock:
            self._rest()
            self._gc_time = time.monotonic()
            stats: list[dict[str, Any]] = [*gc.get_stats()]
            for generation, counts in enumerate(map(dict, stats)):
                for name, metric in _GC_STATS.items():
                    growth = counts[name] - self._gc_seen.get((name, generation), 0)
                    self._gc_seen[name, generation] = counts[name]
                    self.inc(metric, str(generation), amount=growth)


def _form(as_openmetrics: bool) -> Any:
    """The module that writes a format."""
    return openmetrics if as_openmetrics else exposition


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Unnamed:
    """A collector whose names clash with none: every worker's process metrics replace those of one process."""

    collect: Callable[[], Iterable[Family]]

    def describe(self) -> Iterable[Family]:
        return ()
