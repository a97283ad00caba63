"""The dashboard's picture: every panel is in it, at its place, whatever its series are called."""

from __future__ import annotations

import json
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.operations.runbooks.dashboard import dashboard
from tools.docs import ROOT
from tools.panels import Curve, Drawn
from tools.picture import main, picture, save, spoken

SVG = "{http://www.w3.org/2000/svg}"
PICTURE = ROOT / "docs" / "images" / "dashboard.png"
LEVEL = tuple((float(at), 3.0) for at in range(10))


def panel(*curves: Curve, kind: str = "timeseries", unit: str = "short", threshold: float | None = None) -> Drawn:
    place = {"x": 0, "y": 1, "w": 8, "h": 8}
    return Drawn("A panel", "A row", unit, kind, ("vector(1)",), curves, place, threshold)


def words(svg: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("kind", ["timeseries", "bargauge", "stat", "table"])
@given(name=st.text(max_size=60), values=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20))
def test_any_name_and_any_number_can_be_drawn(kind, name, values) -> None:
    curve = Curve(name, tuple((float(at), value) for at, value in enumerate(values)))
    assert "A panel" in words(picture([panel(curve, kind=kind)], title="All"))


def test_a_panel_without_series_says_so() -> None:
    assert words(picture([panel(Curve("x", ()))], title="All")) == ["All", "A row", "A panel", "no data"]


def test_a_curve_is_not_drawn_across_a_gap() -> None:
    broken = (*LEVEL, *((at + 30, value) for at, value in LEVEL))
    drawn = picture([panel(Curve("x", broken))], title="All")
    assert len(list(ET.fromstring(drawn).iter(f"{SVG}polyline"))) == 2


def test_the_threshold_is_drawn_when_the_curve_comes_near_to_it() -> None:
    assert "stroke-dasharray" in picture([panel(Curve("x", LEVEL), threshold=5)], title="All")
    assert "stroke-dasharray" not in picture([panel(Curve("x", LEVEL), threshold=500)], title="All")


def test_every_panel_of_the_dashboard_has_a_place() -> None:
    shown = [each for each in dashboard()["panels"] if each.get("targets")]
    panels = [
        Drawn(each["title"], "row", "short", each["type"], (), (Curve("x", LEVEL),), each["gridPos"]) for each in shown
    ]
    assert {each["title"] for each in shown} <= set(words(picture(panels, title="All")))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "reqps", "0/s"),
        (31.25, "reqps", "31.2/s"),
        (12_345, "short", "12,345"),
        (0.8657, "percentunit", "86.6 %"),
        (0.0031, "s", "3.1 ms"),
        (12, "s", "12 s"),
        (3 * 1024**2, "bytes", "3 MiB"),
        (5 * 1024**3, "bytes", "5 GiB"),
    ],
)
def test_values_are_spoken_with_their_unit(value, unit, text) -> None:
    assert spoken(value, unit) == text


def test_an_svg_is_saved_as_it_is(tmp_path: Path) -> None:
    save("<svg/>", tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == "<svg/>"


def test_without_a_file_the_usage_is_told(capsys) -> None:
    assert main(["http://127.0.0.1:1"]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_picture_in_the_documentation_is_small_enough_to_be_committed() -> None:
    assert PICTURE.read_bytes()[:4] == b"\x89PNG"
    assert PICTURE.stat().st_size < 300_000
    page = (ROOT / "docs" / "runbooks" / "README.md").read_text(encoding="utf-8")
    assert "../images/dashboard.png" in page
    assert json.dumps(dashboard()["title"]).strip('"') in page


def test_a_png_is_as_large_as_its_drawing(tmp_path: Path) -> None:
    curve = Curve("a curve", ((0.0, 1.0), (1.0, 2.0)))
    panel = Drawn("A panel", "A row", "short", "timeseries", (), (curve,), {"x": 0, "y": 1, "w": 24, "h": 8})
    drawing = picture([panel], title="All")
    save(drawing, tmp_path / "all.png")
    data = (tmp_path / "all.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert f'width="{width}" height="{height}"' in drawing
    assert len(data) > 3000
