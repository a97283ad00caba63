"""Pictures of a distribution with its limit: an SVG file, and a strip of characters for a terminal.

The axis is logarithmic, since real use has a long tail. The SVG has no script and no font of its own, and follows the
reader's light or dark setting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

from fraiseql_guard.operations.tuning.advice import LimitAdvice

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 24, 24, 78, 48
_COLUMNS: Final = 60
_SHADES: Final = " .:-=+*#"
_STYLE: Final = """
svg{background:#fff;color:#1b1f24;font:13px system-ui,sans-serif}
text{fill:currentColor}.quiet{opacity:.7}.axis{stroke:currentColor;opacity:.5}
.bar{fill:#4878a8}.mark{stroke:currentColor;stroke-dasharray:2 3;opacity:.7}
.now{stroke:#b3541e;stroke-width:2}.fit{stroke:#2a7d3f;stroke-width:2;stroke-dasharray:6 3}
.nowt{fill:#b3541e}.fitt{fill:#2a7d3f}
@media(prefers-color-scheme:dark){svg{background:#15181c;color:#e6e8ea}.bar{fill:#7aa7d6}
.now{stroke:#f0935a}.nowt{fill:#f0935a}.fit{stroke:#6fcf8a}.fitt{fill:#6fcf8a}}
"""


def svg(advice: LimitAdvice) -> str:
    """The picture of one limit."""
    place, ends = _scale(advice, _WIDTH - _LEFT - _RIGHT)
    everything = next(iter(advice.distribution.values()))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(advice.title)}</title><style>{_STYLE.strip()}</style>",
        f'<text x="{_LEFT}" y="22" font-weight="600">{escape(advice.title)}</text>',
        f'<text x="{_LEFT}" y="40" class="quiet">{escape(_caption(advice))}</text>',
        *_bars(advice, place),
        *_axis(advice, place, ends),
        *(_mark(_LEFT + place(everything[name]), name, number) for number, name in enumerate(("p50", "p99", "p99.9"))),
        _limit(_LEFT + place(advice.present), "now", f"now {_short(advice.present)}", 0),
    ]
    if advice.recommended is not None:
        fits = f"recommended {_short(advice.recommended)}"
        parts.append(_limit(_LEFT + place(advice.recommended), "fit", fits, 1))
    return "\n".join([*parts, "</svg>", ""])


def _caption(advice: LimitAdvice) -> str:
    n = next(iter(advice.distribution.values()))["n"]
    return f"{advice.variable}, {n:,.0f} observations, in {advice.unit or 'numbers'} (logarithmic)"


def _scale(advice: LimitAdvice, width: float) -> tuple[Callable[[float], float], tuple[float, float]]:
    """Where a number stands, from 0 to ``width``; and the ends of the axis. 0 stands at the left end."""
    numbers = [number for number, _ in advice.bins if number > 0] or [1.0]
    limits = [advice.present, advice.recommended or advice.present]
    low, high = min(*numbers, *limits, 1.0), max(*numbers, *limits) * 1.1
    low = max(low, high / 1e7)
    span = math.log(high / low) or 1.0

    def place(number: float) -> float:
        return width * min(1.0, max(0.0, math.log(max(number, low) / low) / span))

    return place, (low, high)


def _bars(advice: LimitAdvice, place: Callable[[float], float]) -> Iterator[str]:
    columns = _columns(advice, place, _WIDTH - _LEFT - _RIGHT)
    highest = max(columns, default=0)
    width, height = (_WIDTH - _LEFT - _RIGHT) / _COLUMNS, _HEIGHT - _TOP - _BOTTOM
    for number, count in enumerate(columns):
        if count:
            # By the square root, so that a tail of a few requests in a million can still be seen.
            tall = max(1.5, height * math.sqrt(count / highest))
            left, top = _LEFT + number * width, _HEIGHT - _BOTTOM - tall
            yield (
                f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{width - 1:.1f}" height="{tall:.1f}">'
                f"<title>{count:,}</title></rect>"
            )


def _columns(advice: LimitAdvice, place: Callable[[float], float], width: float) -> Sequence[int]:
    columns = [0] * _COLUMNS
    for number, count in advice.bins:
        columns[min(_COLUMNS - 1, int(place(number) / width * _COLUMNS))] += count
    return columns


def _axis(advice: LimitAdvice, place: Callable[[float], float], ends: tuple[float, float]) -> Iterator[str]:
    base = _HEIGHT - _BOTTOM
    yield f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
    tick = 10.0 ** math.floor(math.log10(ends[0]))
    while tick <= ends[1]:
        if tick >= ends[0]:
            left = _LEFT + place(tick)
            yield f'<line class="axis" x1="{left:.1f}" x2="{left:.1f}" y1="{base}" y2="{base + 5}"/>'
            yield f'<text x="{left:.1f}" y="{base + 19}" text-anchor="middle">{_short(tick)}</text>'
        tick *= 10
    yield f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" text-anchor="middle" class="quiet">{escape(advice.unit)}</text>'


def _mark(left: float, name: str, number: int) -> str:
    top = _TOP - 8 + number * 12
    return (
        f'<line class="mark" x1="{left:.1f}" x2="{left:.1f}" y1="{top}" y2="{_HEIGHT - _BOTTOM}"/>'
        f'<text x="{left + 3:.1f}" y="{top + 6}" font-size="11" class="quiet">{name}</text>'
    )


def _limit(left: float, kind: str, text: str, row: int) -> str:
    anchor, offset = ("end", -4) if left > _WIDTH * 0.75 else ("start", 4)
    top = 50 + row * 14
    return (
        f'<line class="{kind}" x1="{left:.1f}" x2="{left:.1f}" y1="{top}" y2="{_HEIGHT - _BOTTOM}"/>'
        f'<text class="{kind}t" x="{left + offset:.1f}" y="{top + 8}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def strip(advice: LimitAdvice, width: int = 60) -> str:
    """The distribution as a strip of characters, darker where more requests are. ``|`` stands at the present limit,
    ``R`` at the recommended one, ``X`` where both are the same."""
    place, _ = _scale(advice, width - 1)
    counts = [0] * width
    for number, count in advice.bins:
        counts[round(place(number))] += count
    highest = max(counts, default=0) or 1
    shades = [_shade(count, highest) for count in counts]
    now = round(place(advice.present))
    shades[now] = "|"
    if advice.recommended is not None:
        fits = round(place(advice.recommended))
        shades[fits] = "X" if fits == now else "R"
    return "".join(shades)


def _shade(count: int, highest: int) -> str:
    if not count:
        return _SHADES[0]
    return _SHADES[max(1, round(math.sqrt(count / highest) * (len(_SHADES) - 1)))]


def _short(number: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= 10 * size or (number >= size and not number % size):
            return f"{number / size:g}{letter}"
    return f"{number:g}"
