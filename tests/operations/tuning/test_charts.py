"""Pictures are well-formed, show both limits, and harm no reader."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.operations.tuning.advice import advise
from fraiseql_guard.operations.tuning.charts import strip, svg
from tests.operations.tuning.seen import ordinary, report_on

FEW, MANY = ordinary(20), ordinary(2_000, complexity=143, list_size=0, in_flight=1, query_ms=17)


@pytest.mark.parametrize("seen", [FEW, MANY], ids=["too little", "enough"])
def test_a_picture_of_each_limit(seen):
    advice = advise(report_on(*seen, *ordinary(10, tier='<"&>')), Settings.load({}))
    assert advice
    for each in advice:
        drawn = svg(each)
        root = ElementTree.fromstring(drawn)
        texts = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert each.title in texts
        assert {"p50", "p99", "p99.9"} <= set(texts)
        assert any(text.startswith("now ") for text in texts)
        assert any(text.startswith("recommended ") for text in texts) is (each.recommended is not None)
        assert "prefers-color-scheme: dark".replace(" ", "") in drawn.replace(" ", "")
        assert "<script" not in drawn
        assert "nan" not in drawn


def test_a_strip_shows_where_the_limits_are():
    advice = {each.option: each for each in advise(report_on(*MANY), Settings.load({}, max_query_depth=3))}
    assert len(strip(advice["max_query_complexity"])) == 60
    assert strip(advice["max_query_complexity"]).count("R") == strip(advice["max_query_complexity"]).count("|") == 1
    assert "X" in strip(advice["max_query_depth"])
