"""Draws a distribution with its limit: as an SVG file, and as a strip of characters for a terminal.

The SVG has no script and no font of its own, and follows the reader's light or dark setting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from fraiseql_guard.operations.tuning.histogram import COLUMNS, Histogram, column_of
from fraiseql_guard.operations.tuning.limit_advice import PRESENT, QUANTILES, RECOMMENDED, LimitAdvice

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 24, 24, 78, 48
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
    """The chart of one limit as an SVG document."""
    marks = advice.histogram.marks
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(advice.title)}</title><style>{_STYLE.strip()}</style>",
        f'<text x="{_LEFT}" y="22" font-weight="600">{escape(advice.title)}</text>',
        f'<text x="{_LEFT}" y="40" class="quiet">{escape(_caption(advice))}</text>',
        *_bars(advice.histogram),
        *_axis(advice),
        *(_mark(_at(marks[name]), name, number) for number, name in enumerate(QUANTILES)),
        _limit(_at(marks[PRESENT]), "now", f"now {_short(advice.present)}", 0),
    ]
    if advice.recommended is not None:
        parts.append(_limit(_at(marks[RECOMMENDED]), "fit", f"recommended {_short(advice.recommended)}", 1))
    return "\n".join([*parts, "</svg>", ""])


def _caption(advice: LimitAdvice) -> str:
    n = next(iter(advice.distribution.values()))["n"]
    return f"{advice.variable}, {n:,.0f} observations, in {advice.unit or 'numbers'} (logarithmic)"


def _at(place: float) -> float:
    return _LEFT + place * (_WIDTH - _LEFT - _RIGHT)


def _bars(seen: Histogram) -> Iterator[str]:
    highest = max(seen.columns, default=0)
    width, height = (_WIDTH - _LEFT - _RIGHT) / COLUMNS, _HEIGHT - _TOP - _BOTTOM
    for number, count in enumerate(seen.columns):
        if count:
            # Scaled by the square root, so that a tail of a few requests in a million is visible.
            tall = max(1.5, height * math.sqrt(count / highest))
            left, top = _LEFT + number * width, _HEIGHT - _BOTTOM - tall
            yield (
                f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{width - 1:.1f}" height="{tall:.1f}">'
                f"<title>{count:,}</title></rect>"
            )


def _axis(advice: LimitAdvice) -> Iterator[str]:
    base, seen = _HEIGHT - _BOTTOM, advice.histogram
    yield f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
    tick = 10.0 ** math.floor(math.log10(seen.low))
    while tick <= seen.high:
        if tick >= seen.low:
            left = _at(seen.place(tick))
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


def strip(advice: LimitAdvice) -> str:
    """The distribution as a strip of characters, darker where more requests are. ``|`` stands at the present limit,
    ``R`` at the recommended one, ``X`` where both are the same."""
    seen = advice.histogram
    highest = max(seen.columns, default=0) or 1
    shades = [_shade(count, highest) for count in seen.columns]
    now = column_of(seen.marks[PRESENT])
    shades[now] = "|"
    if advice.recommended is not None:
        fits = column_of(seen.marks[RECOMMENDED])
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
