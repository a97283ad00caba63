"""The table, and our figures against the goals."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.peers.costs import CONCURRENCIES, Costs
from benchmarks.peers.faults import Seen
from benchmarks.peers.variants import LIMIT, LIMIT_TELLING, OURS, OURS_REFUSAL, Variant

MOST_TIMES_THE_LIMIT = 1.25
LEAST_SHARE_OF_THE_LIMIT = 0.9
MOST_REFUSAL_MICROSECONDS = 5.0
MOST_COMMANDS = 1.0
_NOTABLE = 0.01


@dataclass(slots=True)
class Findings:
    """Everything that a run has found out, by variant."""

    variants: list[Variant]
    costs: dict[str, Costs] = field(default_factory=dict)
    seen: dict[str, dict[str, Seen]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def added(self, variant: Variant, concurrency: int) -> list[float]:
        """CPU microseconds a request beyond the base, round by round."""
        return self._by_round(variant, lambda costs: costs.cpu[concurrency], lambda mine, base: mine - base)

    def share(self, variant: Variant) -> list[float]:
        """Requests a second as a share of the base's, round by round."""
        return self._by_round(variant, lambda costs: costs.per_second, lambda mine, base: mine / base)

    def _by_round(
        self, variant: Variant, figures: Callable[[Costs], list[float]], of: Callable[[float, float], float]
    ) -> list[float]:
        mine, base = self.costs.get(variant.name), self.costs.get(variant.base)
        if mine is None or base is None:
            return []
        return [of(*pair) for pair in zip(figures(mine), figures(base), strict=False)]


def table(findings: Findings) -> list[str]:
    """One line a variant."""
    columns = [f"{'':26}{'req/s, share':>20}", *(f"{f'CPU us added, {each}':>26}" for each in CONCURRENCIES)]
    lines = ["".join([*columns, f"{'commands':>10}  {'Redis killed':56}{'frozen'}"])]
    return lines + [_line(findings, variant) for variant in findings.variants]


def _line(findings: Findings, variant: Variant) -> str:
    name = variant.name
    if name in findings.errors:
        return f"{name:26}FAILED: {findings.errors[name]}"
    costs = findings.costs[name]
    if variant.is_base:
        cells = [f"{f'{statistics.median(costs.per_second):,.0f}/s':>20}"]
        cells += [f"{f'uses {_spread(costs.cpu[each], 1)}':>26}" for each in CONCURRENCIES]
    else:
        cells = [f"{_spread(findings.share(variant), 2):>20}"]
        cells += [f"{_spread(findings.added(variant, each), 1):>26}" for each in CONCURRENCIES]
    seen = findings.seen.get(name, {})
    faults = f"{_fault(seen.get('killed')):56}{_fault(seen.get('frozen'))}"
    without = 1 - statistics.median(costs.reached)
    warning = f"  ({without:.0%} decided without Redis)" if without > _NOTABLE else ""
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


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal: ``met`` is None if it was not measured."""

    text: str
    figure: str
    met: bool | None


def goals(findings: Findings) -> list[Goal]:
    """Our figures against our goals, medians of the rounds."""
    by_name = {variant.name: variant for variant in findings.variants if variant.name in findings.costs}
    ours, limit, refusal = by_name.get(OURS), by_name.get(LIMIT), by_name.get(OURS_REFUSAL)
    found: list[Goal] = []
    for each in CONCURRENCIES:
        text = f"CPU added at concurrency {each}: at most {MOST_TIMES_THE_LIMIT} times the physical limit's"
        if ours is None or limit is None or not findings.added(ours, each):
            found.append(Goal(text, "not measured", None))
            continue
        mine, least = (statistics.median(findings.added(one, each)) for one in (ours, limit))
        figure = f"{mine:.1f} us against {least:.1f} us"
        if least <= 0:
            found.append(Goal(text, f"{figure}: this machine is too noisy to tell, run more rounds", None))
            continue
        found.append(Goal(text, f"{figure}: {mine / least:.2f} times", mine <= least * MOST_TIMES_THE_LIMIT))
    found.extend(_beside_telling(findings, ours, by_name.get(LIMIT_TELLING)))
    found.append(_throughput(findings.costs, ours, limit))
    for each in CONCURRENCIES:
        text = f"a refusal from memory at concurrency {each}: at most {MOST_REFUSAL_MICROSECONDS:.0f} us"
        found.append(_at_most(text, refusal and findings.added(refusal, each), MOST_REFUSAL_MICROSECONDS, " us"))
    commands = findings.costs[OURS].commands if ours else None
    found.append(
        _at_most("one Redis command an admission", None if commands is None else [round(commands, 2)], MOST_COMMANDS)
    )
    found.append(_decided(findings.costs.get(OURS)))
    return found


def _beside_telling(findings: Findings, ours: Variant | None, telling: Variant | None) -> list[Goal]:
    """No goals: the same beside a limit that says what it has decided, as ours does."""
    if ours is None or telling is None:
        return []
    found: list[Goal] = []
    for each in CONCURRENCIES:
        both = [findings.added(one, each) for one in (ours, telling)]
        if all(both):
            mine, least = map(statistics.median, both)
            figure = f"{mine:.1f} us against {least:.1f} us" + (f": {mine / least:.2f} times" if least > 0 else "")
            found.append(Goal(f"(beside the limit that sends the same headers, at concurrency {each})", figure, None))
    return found


def _decided(costs: Costs | None) -> Goal:
    """No goal of its own, but the other figures are those of the fallback if it is missed."""
    text = f"decided by Redis at concurrency {CONCURRENCIES[-1]}: at least {1 - _NOTABLE:.0%}"
    if costs is None:
        return Goal(text, "not measured", None)
    share = statistics.median(costs.reached)
    return Goal(text, f"{share:.0%}", share >= 1 - _NOTABLE)


def _throughput(costs: Mapping[str, Costs], ours: Variant | None, limit: Variant | None) -> Goal:
    text = f"requests/s: at least {LEAST_SHARE_OF_THE_LIMIT} of the physical limit's"
    if ours is None or limit is None:
        return Goal(text, "not measured", None)
    pairs = zip(costs[ours.name].per_second, costs[limit.name].per_second, strict=False)
    share = statistics.median(mine / most for mine, most in pairs)
    return Goal(text, f"{share:.2f}", share >= LEAST_SHARE_OF_THE_LIMIT)


def _at_most(text: str, values: list[float] | None, most: float, unit: str = "") -> Goal:
    if not values:
        return Goal(text, "not measured", None)
    figure = statistics.median(values)
    return Goal(text, f"{figure:.2f}{unit}", figure <= most)


def verdicts(found: list[Goal]) -> list[str]:
    """One line a goal."""
    words = {True: "met", False: "missed", None: "-"}
    return [f"  {words[goal.met]:8}{goal.text}: {goal.figure}" for goal in found]
