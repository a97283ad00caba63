"""The dashboard's picture as a PNG: of the size that the drawing has, and not empty."""

from __future__ import annotations

import struct
from pathlib import Path

from tools.panels import Curve, Drawn
from tools.picture import picture, save


def test_a_png_is_as_large_as_its_drawing(tmp_path: Path) -> None:
    curve = Curve("a curve", ((0.0, 1.0), (1.0, 2.0)))
    panel = Drawn("A panel", "A row", "short", "timeseries", (), (curve,), {"x": 0, "y": 1, "w": 24, "h": 8})
    drawing = picture([panel], title="All")
    save(drawing, tmp_path / "all.png")
    data = (tmp_path / "all.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert f'width="{width}" height="{height}"' in drawing
    assert len(data) > 3000
