"""Charts can be read: by programs that draw them, by people in light and dark, and by those who hear them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from benchmarks.charts import OURS, Axis, Bar, Line, bars, lines, number_of

SVG = "{http://www.w3.org/2000/svg}"
BARS = [Bar("ours & <mine>", 12.5, OURS), Bar("another one", 1_250.0, note="(2 stopped)"), Bar("nothing", 0.0)]
LINES = [Line("ideal", [(1, 10), (100, 1_000)], ideal=True), Line("one node", [(1, 10), (10, 98.7), (100, 400)], 2)]
CHARTS = {
    "bars": lambda: bars("CPU of a request", Axis(label="CPU, µs"), BARS),
    "bars, log": lambda: bars("CPU of a request", Axis(label="CPU, µs", log=True), BARS),
    "lines": lambda: lines("What is carried", Axis(label="workers"), Axis(label="requests/s"), LINES),
    "lines, log": lambda: lines(
        "What is carried", Axis(label="workers", log=True), Axis(label="requests/s", log=True), LINES
    ),
}


def words(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_well_formed_and_tells_what_it_shows(name: str) -> None:
    root = ElementTree.fromstring(CHARTS[name]())
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    named = {each.get("id"): each.text for each in root if each.get("id")}
    assert set((root.get("aria-labelledby") or "").split()) == set(named)
    assert named["title"] in words(root)
    style = root.find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme: dark" in (style.text or "")
    used = {each for element in root.iter() for each in (element.get("class") or "").split()}
    assert all(f".{each} " in (style.text or "") for each in used)


@pytest.mark.parametrize("name", ["bars", "bars, log"])
def test_every_bar_has_its_name_its_value_and_a_length_that_fits(name: str) -> None:
    root = ElementTree.fromstring(CHARTS[name]())
    shown = words(root)
    described = root.findtext(f"{SVG}desc") or ""
    for told in ("12.5", "1,250 (2 stopped)", "0"):
        assert told in shown
    for bar in BARS:
        assert bar.name in shown
        assert f"{bar.name}: {number_of(bar.value)}" in described
    drawn = [each for each in root.iter(f"{SVG}rect") if each.get("class") != "ground"]
    lengths = [float(each.get("width") or 0) for each in drawn]
    assert len(lengths) == len(BARS)
    assert lengths[2] < lengths[0] < lengths[1]
    if name == "bars":
        assert lengths[1] / lengths[0] == pytest.approx(100, rel=0.01)
    assert all(float(each.get("x") or 0) + float(each.get("width") or 0) < 760 for each in drawn)


@pytest.mark.parametrize("name", ["lines", "lines, log"])
def test_every_point_of_a_line_is_named_with_its_figures(name: str) -> None:
    root = ElementTree.fromstring(CHARTS[name]())
    titles = [each.findtext(f"{SVG}title") for each in root.iter(f"{SVG}circle")]
    assert titles == ["one node: 10 at 1", "one node: 98.7 at 10", "one node: 400 at 100"]
    assert {"ideal", "one node"} <= set(words(root))
    for each in root.iter(f"{SVG}polyline"):
        points = [tuple(map(float, point.split(","))) for point in (each.get("points") or "").split()]
        across, up = zip(*points, strict=True)
        assert list(across) == sorted(across)
        assert list(up) == sorted(up, reverse=True)  # an SVG counts from the top


@pytest.mark.parametrize("name", CHARTS)
def test_axes_name_their_units_and_say_if_they_are_logarithmic(name: str) -> None:
    units = {"bars": ["CPU, µs"], "lines": ["workers", "requests/s"]}[name.partition(",")[0]]
    shown = words(ElementTree.fromstring(CHARTS[name]()))
    for unit in units:
        assert f"{unit} (logarithmic)" in shown if "log" in name else unit in shown


def test_figures_are_short_and_true() -> None:
    told = {0: "0", 0.01234: "0.0123", 1.5: "1.5", 12.34: "12.3", 99.96: "100", 1234.5: "1,234", -3.21: "-3.21"}
    assert {value: number_of(value) for value in told} == told


def test_no_figures_make_no_chart() -> None:
    with pytest.raises(ValueError, match="no bars"):
        bars("", Axis(label=""), [])
    with pytest.raises(ValueError, match="no points"):
        lines("", Axis(label=""), Axis(label=""), [Line("none", [])])


def test_colours_differ_between_light_and_dark() -> None:
    light, dark = CHARTS["bars"]().split("@media", 1)
    colours = [dict(re.findall(r"\.(f\d) { fill: (#[0-9a-f]{6}) }", each)) for each in (light, dark)]
    assert colours[0].keys() == colours[1].keys()
    assert all(colours[0][each] != colours[1][each] for each in colours[0])
