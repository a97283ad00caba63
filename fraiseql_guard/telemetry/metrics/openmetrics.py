"""Writes metrics as OpenMetrics 1.0, for scrapers that accept it: the same names as in the text format, and exemplars.

In OpenMetrics the samples of a counter end in ``_total``, and the name of its family does not. A counter whose samples
do not end so, or whose family would have the name of a histogram, is written with the type ``unknown``. Queries are the
same, because they use names and values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.samples import Exemplar, Sample

from fraiseql_guard.core.signals import MetricKind
from fraiseql_guard.telemetry.metrics.exposition import (
    Families,
    foreign_families,
    label_text,
    number,
    public_name,
    samples_of,
)

END: Final = b"# EOF\n"
_TOTAL, _CREATED, _LE = "_total", "_created", "le"
_UNKNOWN: Final = "unknown"
_SUFFIXES: Final[Mapping[str, Sequence[str]]] = {
    MetricKind.COUNTER.value: (_TOTAL, _CREATED),
    MetricKind.HISTOGRAM.value: ("", "_bucket", "_sum", "_count", _CREATED),
    "summary": ("", "_sum", "_count", _CREATED),
    "info": ("_info",),
}
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def content_type(version: str) -> str:
    """The media type of a page in this format."""
    return f"application/openmetrics-text; version={version}; charset=utf-8"


def render(families: Iterable[Family]) -> bytes:
    """Families in this format, without the mark at the end (:data:`END`). Families without samples are left out."""
    shown = [family for family in families if samples_of(family)]
    taken = {family.name for family in shown if family.type != MetricKind.COUNTER.value}
    return "".join(chain.from_iterable(_family(family, taken) for family in shown)).encode()


def render_foreign(families: Iterable[Family], *, besides: Sequence[Family]) -> bytes:
    """Families of the app in this format, of every type that prometheus_client knows. A family that takes a name of
    ``besides`` is left out."""
    taken = set(chain.from_iterable(map(_names, besides)))
    chosen = []
    for family in foreign_families(families, besides=besides):
        names = set(_names(family))
        # One clash would make the scraper refuse the whole page, so that the family is left out.
        if names.isdisjoint(taken):
            taken |= names
            chosen.append(family)
    return bytes(generate_latest(Families(chosen))).removesuffix(END)  # type: ignore[no-untyped-call]


def _names(family: Family) -> Iterator[str]:
    """The names that a family takes: its own, and the names that its samples may have."""
    yield family.name
    for suffix in _SUFFIXES.get(family.type, ("",)):
        yield family.name + suffix


def _family(family: Family, taken: set[str]) -> Iterator[str]:
    name, kind, samples = family.name, family.type, samples_of(family)
    # A counter that OpenMetrics does not allow as one.
    if kind == MetricKind.COUNTER.value and (name in taken or not samples[0].name.endswith(_TOTAL)):
        name, kind = public_name(family), _UNKNOWN
    yield f"# HELP {name} {family.documentation.translate(_ESCAPES)}\n"
    yield f"# TYPE {name} {kind}\n"
    for sample in _grouped(samples) if kind == MetricKind.HISTOGRAM.value else samples:
        yield f"{sample.name}{label_text(sample.labels)} {number(sample.value)}{_exemplar(sample.exemplar)}\n"


def _grouped(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples of a histogram, series by series: first its buckets in order, then its sum and count."""
    groups: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in samples:
        key = tuple(sorted((name, value) for name, value in sample.labels.items() if name != _LE))
        groups.setdefault(key, []).append(sample)
    for group in groups.values():
        # False sorts before True: buckets first. Their bounds are numbers, +Inf among them.
        yield from sorted(group, key=lambda sample: (_LE not in sample.labels, float(sample.labels.get(_LE, 0))))


def _exemplar(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    return f" # {label_text(exemplar.labels)} {number(exemplar.value)} {exemplar.timestamp:.3f}"
