"""Checks PromQL against the vocabulary: what promtool's syntax check lets through and Prometheus answers with nothing.

    python -m tools.promql            every alert, recording rule, panel and ```promql block of the documentation
    python -m tools.promql EXPRESSION

An expression is followed from its selectors to its result: which labels its series have, and whether they still are
counters. Metrics that are unknown, labels that do not exist, sides of an operation whose labels can never be equal,
rates of gauges, counters compared with a number, and quantiles without ``le`` are named.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import promql_parser as promql

from fraiseql_guard.core.signals import METRICS, Metric, MetricKind, Source
from fraiseql_guard.operations.runbooks.foreign import FOREIGN
from fraiseql_guard.operations.runbooks.recordings import RECORDINGS

TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus adds to whatever it scrapes."""
PENDING: tuple[Metric, ...] = ()
"""Metrics that rules read and the vocabulary is about to get: a test fails when a row is no longer needed."""


@dataclass(frozen=True, slots=True)
class Series:
    """What an expression yields. ``kind`` is None for what was computed; ``labels`` is None for a number or a text.

    ``foreign`` series come from another exporter: their job and instance are never those of a guarded app.
    """

    labels: frozenset[str] | None
    kind: MetricKind | None = None
    foreign: bool = False

    @property
    def is_vector(self) -> bool:
        """Whether it has series, and not just a value."""
        return self.labels is not None


NUMBER = Series(None)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every series that can be selected, by name."""

    series: Mapping[str, Series]

    @classmethod
    def of(cls, metrics: Iterable[Metric]) -> Vocabulary:
        """The series that these metrics have in Prometheus."""
        series: dict[str, Series] = {}
        for metric in metrics:
            labels = TARGET | set(metric.labels) | ({"pid"} if metric.source is Source.PROCESS else set())
            foreign = metric.source is Source.NODE
            if metric.kind is MetricKind.HISTOGRAM:
                series[f"{metric.name}_bucket"] = Series(labels | {"le"}, MetricKind.COUNTER, foreign)
                for suffix in ("_sum", "_count"):
                    series[metric.name + suffix] = Series(labels, MetricKind.COUNTER, foreign)
            else:
                series[metric.name] = Series(labels, metric.kind, foreign)
        return cls(series)

    @classmethod
    def ours(cls) -> Vocabulary:
        """Metrics of the vocabulary and of the exporters that we name, and the recorded series."""
        vocabulary = cls.of((*METRICS, *FOREIGN, *PENDING))
        for recording in RECORDINGS:
            found = Check(vocabulary).of(recording.expression)
            vocabulary = cls({**vocabulary.series, recording.name: Series(found.labels, foreign=found.foreign)})
        return vocabulary


@dataclass(slots=True)
class Check:
    """The problems of one expression after another."""

    vocabulary: Vocabulary
    problems: list[str] = field(default_factory=list)

    def of(self, expression: str) -> Series:
        """Follow an expression; what is wrong with it is added to ``problems``."""
        try:
            tree = promql.parse(expression)
        except ValueError as error:
            self.problems.append(f"no PromQL: {error}")
            return Series(frozenset())
        return self._walk(tree)

    def _walk(self, node: promql.Expr) -> Series:
        match node:
            case promql.ParenExpr() | promql.UnaryExpr():
                return self._walk(node.expr)
            case promql.SubqueryExpr():
                return replace(self._walk(node.expr), kind=None)
            case promql.MatrixSelector():
                return self._walk(node.vector_selector)
            case promql.VectorSelector():
                return self._selected(node)
            case promql.AggregateExpr():
                return self._aggregated(node)
            case promql.Call():
                return self._called(node)
            case promql.BinaryExpr():
                return self._combined(node)
        return NUMBER

    def _say(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _selected(self, node: promql.VectorSelector) -> Series:
        found = self.vocabulary.series.get(node.name or "")
        if found is None or found.labels is None:
            histogram = f"{node.name}_bucket" in self.vocabulary.series
            self._say(
                f"{node.name} is a histogram: take its _bucket, _sum or _count"
                if histogram
                else f"{node.name} is no metric of the vocabulary"
            )
            return Series(TARGET)
        for matcher in node.matchers.matchers:
            if matcher.name not in found.labels and matcher.name != "__name__":
                self._say(f"{node.name} has no label {matcher.name}")
        return found

    def _aggregated(self, node: promql.AggregateExpr) -> Series:
        inner = self._walk(node.expr)
        labels = inner.labels or frozenset()
        chosen = frozenset(node.modifier.labels) if node.modifier else frozenset()
        for label in sorted(chosen - labels):
            self._say(f"{node.op} by a label that is not there: {label}")
        if str(node.op) in ("topk", "bottomk"):
            return inner
        keeps_the_others = node.modifier is not None and node.modifier.type == promql.AggModifierType.Without
        return Series(labels - chosen if keeps_the_others else labels & chosen, foreign=inner.foreign)

    def _called(self, node: promql.Call) -> Series:
        name = node.func.name
        given = [(argument, self._walk(argument)) for argument in node.args]
        _, vector = next((each for each in given if each[1].is_vector), (None, NUMBER))
        if name in _OF_COUNTERS and vector.kind is not MetricKind.COUNTER:
            self._say(f"{name}() of what is no counter")
        if name in _OF_GAUGES and vector.kind is MetricKind.COUNTER:
            self._say(f"{name}() of a counter")
        if name == "histogram_quantile":
            return self._quantile(vector)
        if name == "scalar":
            return NUMBER
        if name in ("absent", "absent_over_time", "vector", "time"):
            return Series(frozenset()) if name != "time" else NUMBER
        added = {node.args[1].val} if name in ("label_replace", "label_join") else set()
        return Series(vector.labels | added if vector.labels is not None else None, foreign=vector.foreign)

    def _quantile(self, buckets: Series) -> Series:
        labels = buckets.labels or frozenset()
        if "le" not in labels:
            self._say("histogram_quantile() without le: sum by (le) the rate of the buckets")
        if buckets.kind is MetricKind.COUNTER:
            self._say("histogram_quantile() of buckets since the start: take their rate()")
        return Series(labels - {"le"}, foreign=buckets.foreign)

    def _combined(self, node: promql.BinaryExpr) -> Series:
        left, right = self._walk(node.lhs), self._walk(node.rhs)
        operator = str(node.op)
        if left.labels is None or right.labels is None:
            vector = left if left.is_vector else right
            if operator in _COMPARISONS and vector.kind is MetricKind.COUNTER:
                self._say("a counter compared with a number: once true, it stays true. Take its rate() or increase()")
            return replace(vector, kind=None)
        if operator == "or":
            return Series(left.labels | right.labels)
        matched = self._matched(node, left.labels, right.labels)
        if left.foreign != right.foreign and matched & TARGET:
            self._say(f"the sides of {operator} are scraped from different targets: their instance and job differ")
        if operator in ("and", "unless"):
            return left
        for many, side in _MANY:
            if node.modifier and node.modifier.card == many:
                labels = left.labels if side == "left" else right.labels
                return Series(labels | set(node.modifier.group_labels or ()), foreign=left.foreign)
        return Series(left.labels if operator in _COMPARISONS else matched, foreign=left.foreign)

    def _matched(self, node: promql.BinaryExpr, left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
        """The labels that both sides are matched by; a problem if they can never be equal, or one side has several."""
        matching = node.modifier.matching if node.modifier else None
        labels = frozenset(matching.labels) if matching else frozenset()
        if matching and matching.type == promql.LabelModifierType.Include:
            for label in sorted(labels - (left & right)):
                self._say(f"{node.op} on a label that a side does not have: {label}")
            ones, on = labels, labels
            sides = {"left": left - on, "right": right - on}
        else:
            if left - labels != right - labels:
                different = ", ".join(sorted((left - labels) ^ (right - labels)))
                self._say(f"the sides of {node.op} differ in {different}: no series will match")
            ones = (left & right) - labels
            sides = {"left": left & labels, "right": right & labels}
        if str(node.op) not in ("and", "unless"):
            self._one_to_one(node, sides)
        return ones

    def _one_to_one(self, node: promql.BinaryExpr, rest: Mapping[str, frozenset[str]]) -> None:
        card = node.modifier.card if node.modifier else None
        allowed = next((side for each, side in _MANY if card == each), "")
        for side, labels in rest.items():
            if labels and side != allowed:
                self._say(f"several series on the {side} of {node.op} match one: they differ in {', '.join(labels)}")


_MANY = (
    (promql.VectorMatchCardinality.ManyToOne, "left"),
    (promql.VectorMatchCardinality.OneToMany, "right"),
)
_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
_OF_COUNTERS = frozenset({"rate", "irate", "increase", "resets"})
_OF_GAUGES = frozenset({"delta", "idelta", "deriv", "predict_linear", "holt_winters", "double_exponential_smoothing"})


def problems_of(expression: str, vocabulary: Vocabulary | None = None) -> list[str]:
    """What is wrong with an expression; nothing if all is well."""
    check = Check(vocabulary or Vocabulary.ours())
    check.of(expression)
    return check.problems


def selected(expression: str) -> set[str]:
    """The metrics that an expression rests on, through recorded series and without a histogram's suffixes."""
    histograms = {each.name for each in METRICS if each.kind is MetricKind.HISTOGRAM}
    recorded = {each.name: each.expression for each in RECORDINGS}
    found: set[str] = set()
    for name in re.findall(r"[a-z][a-zA-Z0-9_:]*", re.sub(r'"[^"]*"', "", expression)):
        if name in recorded:
            found |= selected(recorded[name])
        elif (base := re.sub(r"_(bucket|sum|count)$", "", name)) in histograms and base != name:
            found.add(base)
        else:
            found.add(name)
    return found


def main(arguments: list[str]) -> int:
    """Print the problems of the given expressions, or of all of ours; 1 if there are any."""
    from tools.expressions import every_expression

    chosen = [("argument", each) for each in arguments] or list(every_expression())
    vocabulary = Vocabulary.ours()
    found = [(where, each, problem) for where, each in chosen for problem in problems_of(each, vocabulary)]
    for where, expression, problem in found:
        print(f"{where}: {problem}\n    {expression}", file=sys.stderr)
    print(f"{len(chosen)} expressions, {len(found)} problems")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
