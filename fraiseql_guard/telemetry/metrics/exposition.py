"""Writes metrics in Prometheus' text format 0.0.4, every family under exactly the name that the vocabulary gives it.

prometheus_client cannot hold a histogram ``x`` beside a counter ``x_total``, nor export a counter without ``_total``.
So its collectors have internal names, which are unique and can never be an app's, and are published here under the real
ones.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar, Sample

from fraiseql_guard.core.signals import Metric, MetricKind

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

END: Final = b""
"""The end of a page: the text format has no mark there, unlike OpenMetrics."""
_TOTAL, _CREATED, _BUCKET = "_total", "_created", "_bucket"
_ENDED: Final = "ended"
_VALUE_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


def internal_name(metric: Metric) -> str:
    """The name of a metric's collector. No app has such a name: colons are for Prometheus' recording rules."""
    return f"{metric.name}:{metric.kind.value}"


def ended_name(metric: Metric) -> str:
    """The name of the gauge by which workers agree on the series of a metric that have ended."""
    return f"{metric.name}:{_ENDED}"


def is_internal(name: str) -> bool:
    """Whether a family's name is one of :func:`internal_name` or :func:`ended_name`."""
    return name.partition(":")[2] in {_ENDED, *(kind.value for kind in MetricKind)}


def labels_of(metric: Metric, sample: Sample) -> tuple[str, ...]:
    """The values of a metric's labels, in the order of the vocabulary."""
    return tuple([sample.labels[label] for label in metric.labels])


Exemplars = Mapping[tuple[str, ...], Mapping[float, Exemplar]]
"""The exemplars of a histogram, by the values of its labels and the upper bound of the bucket."""
_NO_EXEMPLARS: Final[Exemplars] = {}


def publish(
    metric: Metric,
    internal: Iterable[Family],
    exemplars: Exemplars = _NO_EXEMPLARS,
    *,
    without: Collection[tuple[str, ...]] = (),
) -> Family:
    """The family of a metric under its public name, without ``_created`` and the series whose labels are in
    ``without``. It has no samples if nothing was counted yet."""
    # prometheus_client adds _total to a counter's family by itself.
    name = metric.name.removesuffix(_TOTAL) if metric.kind is MetricKind.COUNTER else metric.name
    family = Family(name, metric.help, metric.kind.value)
    histogram = metric.kind is MetricKind.HISTOGRAM
    prefix = len(internal_name(metric))
    for sample in chain.from_iterable(one.samples for one in internal):
        # The internal name goes, and the suffix of a histogram's sample (_bucket, _sum, _count) stays.
        suffix = sample.name[prefix:]
        if suffix == _CREATED or (without and labels_of(metric, sample) in without):
            continue
        exemplar = _exemplar_of(metric, sample.labels, exemplars) if suffix == _BUCKET else None
        public = metric.name + suffix if histogram else metric.name
        family.add_sample(public, sample.labels, sample.value, exemplar=exemplar)
    return family


def _exemplar_of(metric: Metric, labels: Mapping[str, str], exemplars: Exemplars) -> Exemplar | None:
    """The exemplar of a bucket, if it has one."""
    if not exemplars:  # nearly always
        return None
    series = exemplars.get(tuple(labels[name] for name in metric.labels))
    return None if series is None else series.get(float(labels["le"]))


def public_name(family: Family) -> str:
    """The name in the HELP and TYPE lines of a family. A counter has there the name of its samples, with or without
    ``_total``."""
    if family.type != MetricKind.COUNTER.value:
        return family.name
    # An app's counter may lack _total: its samples say how it is exported.
    return next((sample.name for sample in family.samples if not sample.name.endswith(_CREATED)), family.name + _TOTAL)


def samples_of(family: Family) -> list[Sample]:
    """The samples of a family, without ``_created``."""
    return [sample for sample in family.samples if sample.name != family.name + _CREATED]


def render(families: Iterable[Family]) -> bytes:
    """Counters, gauges and histograms in the text format. Families without samples are left out."""
    lines: list[str] = []
    for family in families:
        samples = samples_of(family)
        if not samples:
            continue
        name = public_name(family)
        lines.append(f"# HELP {name} {family.documentation.translate(_HELP_ESCAPES)}\n")
        lines.append(f"# TYPE {name} {family.type}\n")
        lines += [f"{sample.name}{label_text(sample.labels)} {number(sample.value)}\n" for sample in samples]
    return "".join(lines).encode()


def number(value: float) -> str:
    """A sample's value in either format."""
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def label_text(labels: Mapping[str, str]) -> str:
    """Labels in braces; "" if there are none."""
    if not labels:
        return ""
    text = ",".join([f'{name}="{value}"' for name, value in sorted(labels.items())])
    # Escaping is slow, and nearly no label needs it.
    if text.count('"') != 2 * len(labels) or "\\" in text or "\n" in text:
        text = ",".join([f'{name}="{value.translate(_VALUE_ESCAPES)}"' for name, value in sorted(labels.items())])
    return f"{{{text}}}"


@dataclass(frozen=True, slots=True)
class Families:
    """The part of a registry that prometheus_client's generate_latest uses."""

    families: Iterable[Family]

    def collect(self) -> Iterable[Family]:
        return self.families


def render_foreign(families: Iterable[Family], *, besides: Iterable[Family]) -> bytes:
    """Families of the app in the text format, of every type that prometheus_client knows. A family whose name is in
    ``besides`` is left out."""
    return generate_latest(Families(foreign_families(families, besides=besides)))


def foreign_families(families: Iterable[Family], *, besides: Iterable[Family]) -> list[Family]:
    """Families of the app without ``_created``, each name once. A family whose name is in ``besides`` is left out."""
    seen = {public_name(family) for family in besides}
    chosen = []
    for family in families:
        if is_internal(family.name) or (name := public_name(family)) in seen:
            continue
        seen.add(name)
        family.samples = samples_of(family)
        chosen.append(family)
    return chosen
