"""Charts of benchmarks' figures as SVG: bars and lines, nothing but shapes and words.

They follow the reader's light or dark scheme on a ground of their own, so that they can be read on any page. A screen
reader is told the title and every figure; axes name their units.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

_WIDTH: Final = 760
_EDGE: Final = 20
_TOP: Final = 58
_BAR: Final = 16
_STEP: Final = 24
_BELOW: Final = 56
_PLOT_HEIGHT: Final = 270
_CHARACTER: Final = 7.6
"""Pixels, about, that a character of the text takes."""
_FEW_TICKS: Final = 5
_STYLE: Final = """
text { font: 13px Inter, 'DejaVu Sans', sans-serif; fill: #1f2430 }
.ground { fill: #ffffff } .title { font-weight: 600; font-size: 15px } .dim { fill: #5b6472 } .grid { stroke: #dfe4ea }
.ours { font-weight: 600 } .line { fill: none; stroke-width: 2 } .ideal { stroke-dasharray: 5 4 }
.f0 { fill: #2563c9 } .f1 { fill: #94a0b0 } .f2 { fill: #c2570c } .f3 { fill: #0f8a6d } .f4 { fill: #8a4bc2 }
.s0 { stroke: #2563c9 } .s1 { stroke: #94a0b0 } .s2 { stroke: #c2570c } .s3 { stroke: #0f8a6d } .s4 { stroke: #8a4bc2 }
@media (prefers-color-scheme: dark) {
text { fill: #e4e7ee } .ground { fill: #14171c } .dim { fill: #a3acba } .grid { stroke: #2c333d }
.f0 { fill: #6ea3f5 } .f1 { fill: #77828f } .f2 { fill: #f0924d } .f3 { fill: #43c5a3 } .f4 { fill: #bf8df0 }
.s0 { stroke: #6ea3f5 } .s1 { stroke: #77828f } .s2 { stroke: #f0924d } .s3 { stroke: #43c5a3 } .s4 { stroke: #bf8df0 }
}
"""
OURS, OTHERS = 0, 1
"""Colours of bars: this package, and what it is compared with."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar. ``note`` stands behind its value; ``colour`` is a number from 0 to 4."""

    name: str
    value: float
    colour: int = OTHERS
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line through its points (x, y); an ``ideal`` one is dashed and has no dots."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = OURS
    ideal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What an axis shows, with its unit. A logarithmic one says so itself."""

    label: str
    log: bool = False

    @property
    def told(self) -> str:
        """As it is written."""
        return f"{self.label} (logarithmic)" if self.log else self.label


def bars(title: str, axis: Axis, given: Sequence[Bar]) -> str:
    """A bar for each, from top to bottom in the order given, with its value beside it. ValueError without any."""
    if not given:
        raise ValueError("no bars, no chart")
    told = [f"{number_of(bar.value)}{f' {bar.note}' if bar.note else ''}" for bar in given]
    names, values = (max(map(len, words)) * _CHARACTER + 12 for words in ([bar.name for bar in given], told))
    height = _TOP + len(given) * _STEP + _BELOW
    scale = _Scale(axis, [bar.value for bar in given], _EDGE + names, _WIDTH - _EDGE - values)
    bottom = _TOP + len(given) * _STEP
    parts = [*_vertical_grid(scale, _TOP - 6, bottom), _text(scale.first, bottom + 42, axis.told, "dim")]
    for number, (bar, words) in enumerate(zip(given, told, strict=True)):
        y = _TOP + number * _STEP
        width = max(1.0, scale.at(bar.value) - scale.first)
        style = "ours" if bar.colour == OURS else ""
        parts.append(_text(scale.first - 8, y + 13, bar.name, style, anchor="end"))
        parts.append(
            f'<rect class="f{bar.colour}" x="{scale.first:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2">'
            f"<title>{escape(f'{bar.name}: {words}')}</title></rect>"
        )
        parts.append(_text(scale.first + width + 6, y + 13, words, style))
    described = "; ".join(f"{bar.name}: {words}" for bar, words in zip(given, told, strict=True))
    return _picture(title, f"{axis.told}. {described}.", height, parts)


def lines(title: str, x: Axis, y: Axis, given: Sequence[Line]) -> str:
    """Lines over a number, with a legend above. ValueError without any point."""
    points = [point for line in given for point in line.points]
    if not points:
        raise ValueError("no points, no chart")
    top, bottom = _TOP + 24, _TOP + 24 + _PLOT_HEIGHT
    across = _Scale(x, [point[0] for point in points], _EDGE + 64, _WIDTH - _EDGE - 16)
    up = _Scale(y, [point[1] for point in points], bottom, top)
    parts = list(_vertical_grid(across, top, bottom))
    for tick in up.ticks():
        parts.append(f'<path class="grid" d="M{across.first:.1f} {up.at(tick):.1f}H{across.last:.1f}"/>')
        parts.append(_text(across.first - 8, up.at(tick) + 4, number_of(tick), "dim", anchor="end"))
    parts.append(_text(across.last, bottom + 42, x.told, "dim", anchor="end"))
    parts.append(_text(_EDGE, _TOP + 12, y.told, "dim"))
    parts += _legend(given)
    for line in given:
        path = " ".join(f"{across.at(one):.1f},{up.at(other):.1f}" for one, other in line.points)
        style = f"line s{line.colour}{' ideal' if line.ideal else ''}"
        parts.append(f'<polyline class="{style}" points="{path}"/>')
        for one, other in () if line.ideal else line.points:
            told = escape(f"{line.name}: {number_of(other)} at {number_of(one)}")
            where = f'cx="{across.at(one):.1f}" cy="{up.at(other):.1f}"'
            parts.append(f'<circle class="f{line.colour}" {where} r="3.5"><title>{told}</title></circle>')
    described = "; ".join(
        f"{line.name}: " + ", ".join(f"{number_of(other)} at {number_of(one)}" for one, other in line.points)
        for line in given
    )
    return _picture(title, f"{y.told} by {x.told}. {described}.", bottom + _BELOW, parts)


def number_of(value: float) -> str:
    """A figure with three significant digits, thousands set apart."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    told = f"{value:,.{digits}f}"
    return told.rstrip("0").rstrip(".") if "." in told else told


class _Scale:
    """From values to pixels."""

    def __init__(self, axis: Axis, values: Sequence[float], first: float, last: float) -> None:
        self.first, self.last, self._log = first, last, axis.log
        least, most = min(values), max(values)
        if axis.log:
            positive = [value for value in values if value > 0]
            if not positive:
                raise ValueError("a logarithmic axis needs something above 0")
            self._low = float(math.floor(math.log10(min(positive))))
            self._high = max(float(math.ceil(math.log10(most))), self._low + 1)
        else:
            self._step = _nice((max(most, 0.0) - min(least, 0.0) or 1.0) / _FEW_TICKS)
            self._low = math.floor(min(least, 0.0) / self._step) * self._step
            self._high = max(math.ceil(max(most, 0.0) / self._step), 1) * self._step

    def at(self, value: float) -> float:
        """Where a value is; what a logarithm has no place for is at the beginning."""
        if self._log:
            value = math.log10(value) if value > 0 else self._low
        return self.first + (value - self._low) / (self._high - self._low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Values that the axis names."""
        if self._log:
            return [10.0**power for power in range(int(self._low), int(self._high) + 1)]
        count = round((self._high - self._low) / self._step)
        return [self._low + number * self._step for number in range(count + 1)]


def _nice(step: float) -> float:
    """The next of 1, 2, 5, 10, ... that is at least so large."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * each for each in (1, 2, 5, 10) if power * each >= step * 0.999)


def _vertical_grid(scale: _Scale, top: float, bottom: float) -> Iterator[str]:
    for tick in scale.ticks():
        x = scale.at(tick)
        yield f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>'
        yield _text(x, bottom + 20, number_of(tick), "dim", anchor="middle")


def _legend(given: Sequence[Line]) -> Iterator[str]:
    """From the right, so that it does not meet what the axis on the left says."""
    x = float(_WIDTH - _EDGE)
    for line in reversed(given):
        x -= len(line.name) * _CHARACTER
        yield _text(x, _TOP + 12, line.name)
        style = f"line s{line.colour}{' ideal' if line.ideal else ''}"
        yield f'<path class="{style}" d="M{x - 26:.1f} {_TOP + 8}h20"/>'
        x -= 44


def _picture(title: str, described: str, height: float, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" '
            f'viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-labelledby="title described">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="described">{escape(described)}</desc>',
            f"<style>{_STYLE}</style>",
            '<rect class="ground" width="100%" height="100%" rx="6"/>',
            _text(_EDGE, 32, title, "title"),
            *parts,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, words: str, style: str = "", *, anchor: str = "start") -> str:
    named = f" class={quoteattr(style)}" if style else ""
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text{named} x="{x:.1f}" y="{y:.1f}"{placed}>{escape(words)}</text>'
