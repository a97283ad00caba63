"""Recommends a value for each limit: the smallest round one that ordinary use fits into.

Use fits into a value that would refuse at most 0.1 % of the ordinary requests, and no number that more than three
callers have reached with one operation. At most three callers never move a limit, however many requests they send. A
request is ordinary unless its operation was refused (or would be) by a limit in force, and was sent by at most three
callers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from fraiseql_guard.core.amounts import amount
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.token_buckets import Limit, Rate
from fraiseql_guard.operations.tuning.histogram import Histogram, histogram
from fraiseql_guard.operations.tuning.limit_advice import PRESENT, QUANTILES, RECOMMENDED, Effect, LimitAdvice
from fraiseql_guard.operations.tuning.measures import MEASURES, Measure
from fraiseql_guard.operations.tuning.sketch import QuantileSketch, summary
from fraiseql_guard.operations.tuning.usage import SHARED_BY
from fraiseql_guard.operations.tuning.usage_report import MeasureUse, RateSummary, UsageReport

REFUSED_SHARE: Final = 0.001
"""Share of the ordinary requests that a recommended limit may refuse."""
FEW_CALLERS: Final = SHARED_BY - 1
"""At most so many callers never move a limit."""
ENOUGH_REQUESTS: Final = 1_000
"""Least ordinary requests for a recommendation: of fewer, one in a thousand says too little."""
ENOUGH_CALLERS: Final = 10
ENOUGH_MINUTES: Final = 30
"""Least minutes, summed over callers, for a recommended rate."""
_STEPS: Final = (10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100)
_MINUTE: Final = 60
_LEAST_RATE: Final = 10
_RATE_HEADROOM: Final = 2
_RATE_REASON: Final = "twice what all callers but three stay below, or all but 0.1 % of their minutes: use has its days"


def round_up(number: float) -> int:
    """The smallest round number that is at least ``number``: 1 to 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 80,
    100, and the two-digit ones times powers of ten."""
    if number <= 10:
        return max(1, math.ceil(number))
    scale: int = 10 ** (math.floor(math.log10(number)) - 1)
    return min(step * scale for step in (*_STEPS, 120) if step * scale >= number)


def advise(report: UsageReport, settings: Settings) -> list[LimitAdvice]:
    """The advice for every limit whose measure was seen, and for the rates."""
    limits = [_limit(measure, report, settings) for measure in MEASURES if measure.name in report.measures]
    return [*limits, *_rates(report, settings)]


# --- limits of single requests ----------------------------------------------------------------------------------------


def _limit(measure: Measure, report: UsageReport, settings: Settings) -> LimitAdvice:
    use, scale = report.measures[measure.name], measure.scale
    present = measure.present(settings)
    everything = use.everything

    def effect(limit: float) -> Effect:
        return _effect(use, report, measure.name, everything, limit * scale)

    why = _too_little(report, use.ordinary.total)
    found = None if why else _fitting(use, measure)
    distribution = {name: _in_units(sketch, scale) for name, sketch in _by_tier(use.by_tier, everything)}
    value, shown = "" if found is None else _written(found), _written(present)
    return LimitAdvice(
        option=measure.option,
        variable=name_of(measure.option),
        title=measure.title,
        unit=measure.unit,
        present=present,
        shown=shown,
        recommended=found,
        value=value,
        sets="" if value == shown else value,
        why=why or _reason(use, measure, everything, found or 0),
        distribution=distribution,
        histogram=_histogram(everything, scale, distribution["all"], present, found),
        at_present=effect(present),
        as_recommended=None if found is None else effect(found),
    )


def _fitting(use: MeasureUse, measure: Measure) -> int:
    """The smallest round value that ordinary use fits into."""
    allowed = use.ordinary.total * REFUSED_SHARE

    def fits(number: int) -> bool:
        few = use.ordinary_callers.above(number) <= FEW_CALLERS
        return number >= use.shared and (few or use.ordinary.above(number) <= allowed)

    # The smallest number that fits is one that was seen.
    candidates: list[int] = [use.shared, *(number for number, _ in use.ordinary.bins()), 0]
    needed = min(filter(fits, candidates), default=use.ordinary.largest)
    return max(measure.least, round_up(needed * measure.headroom / measure.scale))


def _effect(use: MeasureUse, report: UsageReport, name: str, everything: QuantileSketch, limit: float) -> Effect:
    over = everything.above(limit)
    return Effect(
        requests=over,
        share=over / everything.total if everything.total else 0.0,
        operations=sum(each.largest.get(name, 0) > limit for each in report.operations.values()),
        callers=use.callers.above(limit),
    )


def _too_little(report: UsageReport, ordinary: int) -> str:
    callers = report.callers.estimate()
    if callers < ENOUGH_CALLERS:
        return f"too few callers to say: {callers} were seen, and {ENOUGH_CALLERS} are needed"
    if ordinary < ENOUGH_REQUESTS:
        return f"too few requests to say: {ordinary} were ordinary, and {ENOUGH_REQUESTS} are needed"
    return ""


def _reason(use: MeasureUse, measure: Measure, everything: QuantileSketch, found: float) -> str:
    """The reason of a recommended value, and the requests above it, as text."""
    shared = f"{use.shared / measure.scale:,g} {measure.unit}"
    parts = [f"more than three callers have reached {shared} with one operation" if use.shared else "nothing is shared"]
    if measure.headroom != 1:
        parts.append(f"{measure.headroom:g} times what was seen, since it grows with the load")
    over, learned = everything.above(found * measure.scale), use.ordinary.above(found * measure.scale)
    if over > learned:
        parts.append(f"{over - learned} requests above it are of a few callers that limits in force refuse")
    if learned:
        callers = use.ordinary_callers.above(found * measure.scale)
        parts.append(f"{learned} above it are of {amount(callers, 'caller')}")
    return "; ".join(parts)


# --- rates ------------------------------------------------------------------------------------------------------------


def _rates(report: UsageReport, settings: Settings) -> Iterator[LimitAdvice]:
    """Advice for the rates: of addresses, of users, and of each tier that the settings name."""
    for tier, use in sorted(report.rates.items()):
        found = _rate_of(tier, settings)
        # A rate without a window of a minute says nothing about minutes.
        if found is not None and (limit := _a_minute(found[1])) is not None:
            yield _rate(tier, use, found[0], found[1], limit, settings)


def _rate_of(tier: str, settings: Settings) -> tuple[str, Rate] | None:
    """The option and the rate of a tier; None for a tier without a rate of its own."""
    if tier in settings.tiers:
        return "tiers", settings.tiers[tier]
    option = {"anonymous": "rate_limit_default", "authenticated": "rate_limit_authenticated"}.get(tier)
    rate: Rate | None = getattr(settings, option) if option is not None else None
    return None if option is None or rate is None else (option, rate)


def _rate(tier: str, use: RateSummary, option: str, present: Rate, limit: Limit, settings: Settings) -> LimitAdvice:
    def effect(tokens: float) -> Effect:
        over = use.peaks.above(tokens)
        share = over / use.peaks.total if use.peaks.total else 0.0
        return Effect(requests=over, share=share, operations=None, callers=use.callers.above(tokens))

    enough = use.peaks.total >= ENOUGH_MINUTES
    found = max(_LEAST_RATE, round_up(_RATE_HEADROOM * _fitting_rate(use))) if enough else None
    few = f"too few minutes to say: {use.peaks.total} of callers were seen, and {ENOUGH_MINUTES} are needed"
    value = "" if found is None else _with_minute(present, found)
    numbers = _in_units(use.peaks, 1)
    changed = value not in ("", str(present))
    whole = _tiers_with(settings, {tier: value}) if option == "tiers" else value
    return LimitAdvice(
        option=option,
        variable=name_of(option),
        tier=tier if option == "tiers" else "",
        title=f"Requests of a caller in 60 seconds: {tier}",
        unit="a minute",
        present=limit.tokens,
        shown=str(present),
        recommended=found,
        value=value,
        sets=whole if changed else "",
        why=_RATE_REASON if enough else few,
        distribution={tier: numbers},
        histogram=_histogram(use.peaks, 1, numbers, limit.tokens, found),
        at_present=effect(limit.tokens),
        as_recommended=None if found is None else effect(found),
    )


def _a_minute(rate: Rate) -> Limit | None:
    return next((each for each in rate.limits if each.window_seconds == _MINUTE), None)


def _with_minute(rate: Rate, tokens: int) -> str:
    """A rate as text, with ``tokens`` in its window of a minute; other windows stay."""
    limits = [Limit(tokens, _MINUTE) if each.window_seconds == _MINUTE else each for each in rate.limits]
    return str(Rate(tuple(limits)))


def assignments(advice: Iterable[LimitAdvice], settings: Settings) -> Mapping[str, str]:
    """The recommended values by variable, without those that are set already."""
    changing = [each for each in advice if each.changes]
    found = {each.variable: each.sets for each in changing}
    # The tiers have one variable together.
    tiers = {each.tier: each.value for each in changing if each.tier}
    return {**found, name_of("tiers"): _tiers_with(settings, tiers)} if tiers else found


def _tiers_with(settings: Settings, changed: Mapping[str, str]) -> str:
    """The value of the variable for tiers, with the ``changed`` rates in place of those of the settings."""
    rates = {**{name: str(each) for name, each in settings.tiers.items()}, **changed}
    return ",".join(f"{name}={rate}" for name, rate in rates.items())


def _fitting_rate(rate: RateSummary) -> int:
    """The smallest count that at most three callers exceed, or at most 0.1 % of the minutes."""
    allowed = rate.peaks.total * REFUSED_SHARE

    def fits(number: int) -> bool:
        return rate.callers.above(number) <= FEW_CALLERS or rate.peaks.above(number) <= allowed

    return min(filter(fits, [0, *(number for number, _ in rate.peaks.bins())]), default=rate.peaks.largest)


# --- numbers ----------------------------------------------------------------------------------------------------------


def _by_tier(by_tier: Mapping[str, QuantileSketch], everything: QuantileSketch) -> Iterator[tuple[str, QuantileSketch]]:
    yield "all", everything
    if len(by_tier) > 1:
        yield from sorted(by_tier.items())


def _histogram(
    sketch: QuantileSketch, scale: int, numbers: Mapping[str, float], present: float, recommended: float | None
) -> Histogram:
    marks = {name: numbers[name] for name in QUANTILES} | {PRESENT: present}
    if recommended is not None:
        marks[RECOMMENDED] = recommended
    return histogram([(number / scale, count) for number, count in sketch.bins()], marks)


def _in_units(sketch: QuantileSketch, scale: int) -> Mapping[str, float]:
    found = summary(sketch)
    return {name: value if name == "n" or scale == 1 else round(value / scale, 3) for name, value in found.items()}


def _written(number: float) -> str:
    """A number as text for a variable, without a fraction if it is whole."""
    return f"{number:.0f}" if float(number).is_integer() else f"{number:g}"
