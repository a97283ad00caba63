"""What a run has found out, as tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

from benchmarks.peers.costs import CONCURRENCIES, SERVED, WAYS, Costs
from benchmarks.peers.faults import Seen
from benchmarks.peers.variants import Variant

NOTABLE = 0.01
"""A share of requests decided without Redis that is more than chance."""


class Findings:
    """Everything that a run has found out: by way and variant, and what was seen while Redis was away by variant."""

    def __init__(self, variants: list[Variant], *, not_installed: Mapping[str, str]) -> None:
        self.variants = variants
        self.costs: dict[str, dict[str, Costs]] = {way: {} for way in WAYS}
        self.errors: dict[str, dict[str, str]] = {way: dict(not_installed) for way in WAYS}
        self.seen: dict[str, dict[str, Seen]] = {}

    def leave_out_failed(self) -> None:
        """Forget the figures of what has failed in a way: there are none for some of the rounds."""
        for way, errors in self.errors.items():
            for name in errors:
                self.costs[way].pop(name, None)

    def added(self, way: str, variant: Variant, concurrency: int) -> list[float]:
        """CPU microseconds a request beyond the base, round by round."""
        return self._by_round(way, variant, lambda costs: costs.cpu[concurrency], lambda mine, base: mine - base)

    def share(self, way: str, variant: Variant) -> list[float]:
        """Requests a second as a share of the base's, round by round."""
        return self._by_round(way, variant, lambda costs: costs.per_second, lambda mine, base: mine / base)

    def _by_round(
        self, way: str, variant: Variant, figures: Callable[[Costs], list[float]], of: Callable[[float, float], float]
    ) -> list[float]:
        mine, base = self.costs[way].get(variant.name), self.costs[way].get(variant.base)
        if mine is None or base is None:
            return []
        return [of(*pair) for pair in zip(figures(mine), figures(base), strict=False)]


def table(findings: Findings, way: str) -> list[str]:
    """One line a variant, asked in this way."""
    columns = [f"{way:26}{'req/s, share':>20}", *(f"{f'CPU us added, {each}':>26}" for each in CONCURRENCIES)]
    faults = f"  {'Redis killed':56}{'frozen'}" if way == SERVED else ""
    lines = ["".join([*columns, f"{'commands':>10}{faults}"])]
    return lines + [_line(findings, way, variant) for variant in findings.variants]


def _line(findings: Findings, way: str, variant: Variant) -> str:
    name = variant.name
    if name in findings.errors[way]:
        return f"{name:26}FAILED: {findings.errors[way][name]}"
    costs = findings.costs[way][name]
    if variant.is_base:
        cells = [f"{f'{statistics.median(costs.per_second):,.0f}/s':>20}"]
        cells += [f"{f'uses {_spread(costs.cpu[each], 1)}':>26}" for each in CONCURRENCIES]
    else:
        cells = [f"{_spread(findings.share(way, variant), 2):>20}"]
        cells += [f"{_spread(findings.added(way, variant, each), 1):>26}" for each in CONCURRENCIES]
    seen = findings.seen.get(name, {}) if way == SERVED else {}
    faults = f"{_fault(seen.get('killed')):56}{_fault(seen.get('frozen'))}"
    without = 1 - statistics.median(costs.reached)
    warning = f"  ({without:.0%} decided without Redis)" if without > NOTABLE else ""
    return f"{name:26}{''.join(cells)}{costs.commands or 0:10.2f}  {faults}{warning}".rstrip()


def _spread(values: list[float], digits: int) -> str:
    if not values:
        return "-"  # what it is compared with has failed
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def _fault(seen: Seen | None) -> str:
    if seen is None:
        return ""
    statuses = " ".join(f"{count}x{status or 'unanswered'}" for status, count in seen.statuses.items())
    slowest = seen.slowest_seconds
    took = f"{slowest:.1f} s" if slowest >= 1 else f"{slowest * 1000:.0f} ms"
    return f"{statuses}, {took}{'' if seen.recovered else ', STAYS SO'}"
