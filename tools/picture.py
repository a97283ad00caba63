"""The dashboard as a picture: every panel with its curves, as a live Prometheus has them.

    python -m tools.picture http://127.0.0.1:9090 dashboard.svg [DASHBOARD.json]

The SVG is made here, of nothing but lines and words: it needs no Grafana, and one can search in it. With a name that
ends in .png, a Chromium without a window makes a PNG of it.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from tools.panels import DASHBOARD, Curve, Drawn, drawn

_COLUMN, _LINE, _GAP, _HEAD = 58, 22, 6, 34
_COLUMNS: Final = 24
_INK, _DIM, _GRID, _PANEL, _GROUND, _ALARM = "#d0d3dd", "#8b90a0", "#2b2f38", "#181b20", "#101216", "#f2495c"
_PALETTE: Final = ("#73bf69", "#5794f2", "#f2cc0c", "#ff9830", "#b877d9", "#ff7383", "#37c2c2", "#c8a45c")
_LEAST: Final = 1e-9
"""What is less is nothing."""
_SHOWN: Final = 3
"""Names in a legend, and bars in a ranking twice as many."""
_STYLE: Final = (
    f"text {{ font: 11px Inter, 'DejaVu Sans', sans-serif; fill: {_INK} }} .dim {{ fill: {_DIM} }}"
    " .title { font-weight: 600; font-size: 12px } .row { font-weight: 600; font-size: 14px }"
    " .big { font-weight: 600; font-size: 26px }"
    " polyline { fill: none; stroke-width: 1.5; stroke-linejoin: round }"
)


@dataclass(frozen=True, slots=True)
class _Box:
    """Where something is drawn, in pixels."""

    x: float
    y: float
    width: float
    height: float


def picture(panels: Sequence[Drawn], *, title: str) -> str:
    """An SVG of all panels, each at its place."""
    width = _COLUMNS * _COLUMN + _GAP
    height = _HEAD + max((panel.place["y"] + panel.place["h"] for panel in panels), default=0) * _LINE + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="100%" height="100%" fill="{_GROUND}"/>',
        _text(_GAP * 2, 23, title, "row"),
    ]
    row = ""
    for panel in panels:
        box = _box(panel.place)
        if panel.row != row:
            row = panel.row
            parts.append(_text(_GAP * 2, box.y - 7, row, "row"))
        parts += _panel(panel, box)
    return "\n".join([*parts, "</svg>\n"])


def _box(place: Mapping[str, int]) -> _Box:
    return _Box(
        place["x"] * _COLUMN + _GAP,
        _HEAD + place["y"] * _LINE,
        place["w"] * _COLUMN - _GAP,
        place["h"] * _LINE - _GAP,
    )


def _panel(panel: Drawn, box: _Box) -> Iterator[str]:
    yield f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="3" fill="{_PANEL}"/>'
    yield _text(box.x + 10, box.y + 18, panel.title, "title")
    curves = sorted((curve for curve in panel.curves if curve.points), key=_peak, reverse=True)
    inner = _Box(box.x + 10, box.y + 28, box.width - 20, box.height - 36)
    if not curves:
        yield _text(box.x + box.width / 2 - 22, box.y + box.height / 2 + 8, "no data", "dim")
    else:
        yield from _KINDS.get(panel.kind, _lines)(panel, curves, inner)


def _peak(curve: Curve) -> float:
    return max(value for _, value in curve.points)


def _lines(panel: Drawn, curves: Sequence[Curve], box: _Box) -> Iterator[str]:
    """Curves over time, with the alert's threshold if they come near to it."""
    highest = _peak(curves[0])
    if panel.threshold is not None and highest > panel.threshold / 4:
        highest = max(highest, panel.threshold * 1.1)
    top = 2.0 ** math.ceil(math.log2(max(1.0, highest))) if panel.unit == "bytes" else _round_up(highest)
    left, bottom = box.x + 46, box.y + box.height - 22
    plot = _Box(left, box.y + 4, box.x + box.width - left, bottom - box.y - 4)
    moments = [moment for curve in curves for moment, _ in curve.points]
    first, last = min(moments), max(moments)

    def at(moment: float, value: float) -> str:
        across = (moment - first) / (last - first) if last > first else 1.0
        return f"{plot.x + plot.width * across:.1f},{plot.y + plot.height * (1 - max(0.0, value) / top):.1f}"

    for part in (0.0, 0.5, 1.0):
        y = plot.y + plot.height * (1 - part)
        yield f'<path d="M{plot.x} {y:.1f}h{plot.width}" stroke="{_GRID}"/>'
        yield _text(plot.x - 6, y + 4, spoken(top * part, panel.unit), "dim", anchor="end")
    if panel.threshold is not None and panel.threshold <= top:
        y = plot.y + plot.height * (1 - panel.threshold / top)
        yield f'<path d="M{plot.x} {y:.1f}h{plot.width}" stroke="{_ALARM}" stroke-dasharray="5 4"/>'
    for colour, curve in zip(_colours(), curves, strict=False):
        for piece in _pieces(curve.points):
            yield f'<polyline stroke="{colour}" points="{" ".join(at(*point) for point in piece)}"/>'
    yield from _legend(curves, box)


def _bars(panel: Drawn, curves: Sequence[Curve], box: _Box) -> Iterator[str]:
    """The last value of each, the largest first."""
    ranked = sorted(((curve.points[-1][1], curve.legend) for curve in curves), reverse=True)[: 2 * _SHOWN]
    most = ranked[0][0] or 1.0
    height = min(24.0, box.height / len(ranked))
    for number, (value, legend) in enumerate(ranked):
        y = box.y + number * height
        width = max(1.0, (box.width - 70) * max(0.0, value) / most)
        yield f'<rect x="{box.x}" y="{y:.1f}" width="{width:.1f}" height="{height - 5:.1f}" fill="{_PALETTE[1]}55"/>'
        yield _text(box.x + 5, y + height / 2 + 2, _cut(legend, 34))
        yield _text(box.x + box.width, y + height / 2 + 2, spoken(value, panel.unit), anchor="end")


def _numbers(panel: Drawn, curves: Sequence[Curve], box: _Box) -> Iterator[str]:
    """The last value of each, large."""
    for number, curve in enumerate(curves[:_SHOWN]):
        x = box.x + number * box.width / min(len(curves), _SHOWN)
        yield _text(x, box.y + box.height / 2, spoken(curve.points[-1][1], panel.unit), "big")
        yield _text(x, box.y + box.height / 2 + 18, _cut(curve.legend, 30), "dim")


_KINDS: Final[Mapping[str, Callable[[Drawn, Sequence[Curve], _Box], Iterator[str]]]] = {
    "bargauge": _bars,
    "table": _bars,
    "stat": _numbers,
}


def _legend(curves: Sequence[Curve], box: _Box) -> Iterator[str]:
    x, y = box.x, box.y + box.height
    room = 30 if len(curves) < _SHOWN else 15
    for colour, curve in zip(_colours(), curves[:_SHOWN], strict=False):
        name = _cut(curve.legend, room)
        yield f'<rect x="{x}" y="{y - 7}" width="10" height="3" fill="{colour}"/>'
        yield _text(x + 14, y - 2, name, "dim")
        x += 26 + 7 * len(name)
    if len(curves) > _SHOWN:
        yield _text(x, y - 2, f"+{len(curves) - _SHOWN}", "dim")


def _pieces(points: Sequence[tuple[float, float]]) -> Iterator[Sequence[tuple[float, float]]]:
    """A curve is not drawn across a time of which nothing is known."""
    step = min((later[0] - earlier[0] for earlier, later in pairwise(points)), default=0.0)
    begin = 0
    for number, (earlier, later) in enumerate(pairwise(points), start=1):
        if later[0] - earlier[0] > 1.5 * step:
            yield points[begin:number]
            begin = number
    yield points[begin:]


def spoken(value: float, unit: str) -> str:
    """A value with its unit, in three digits or so."""
    if unit == "bytes":
        for name in ("B", "KiB", "MiB"):
            if abs(value) < 1024:
                return f"{value:.3g} {name}"
            value /= 1024
        return f"{value:.3g} GiB"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{1000 * value:.3g} ms"
    number = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{number}/s" if unit in ("reqps", "ops") else number


def _round_up(value: float) -> float:
    """The next round number: 1, 2 or 5 times a power of ten."""
    if value < _LEAST:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 5) if step * power >= value * 0.999), 10 * power)


def _colours() -> Iterator[str]:
    while True:
        yield from _PALETTE


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    shown = "".join(each for each in text if each.isprintable())  # XML knows no control characters
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(shown)}</text>'


def save(svg: str, path: Path) -> None:
    """Write a picture: as it is, or as PNG where the name says so."""
    if path.suffix != ".png":
        path.write_text(svg, encoding="utf-8")
        return
    from tools.browser import chromium

    width, height = (int(svg.split(f'{name}="', 1)[1].split('"', 1)[0]) for name in ("width", "height"))
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_content(f"<!doctype html><meta charset=utf-8><body style='margin:0'>{svg}")
        page.screenshot(path=path)


def main(arguments: Iterable[str]) -> int:
    """Draw; 2 without an address and a file. ComponentError if a PNG is wanted and there is no Chromium."""
    given = list(arguments)
    if len(given) < 2:
        print("usage: python -m tools.picture PROMETHEUS_URL FILE.svg|FILE.png [DASHBOARD.json]", file=sys.stderr)
        return 2
    dashboard = json.loads(Path(given[2] if len(given) > 2 else DASHBOARD).read_text(encoding="utf-8"))
    save(picture(list(drawn(dashboard, given[0])), title=dashboard["title"]), Path(given[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
