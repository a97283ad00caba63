"""The dashboard: in the shape that Grafana imports, one row a runbook, and what the tables say."""

from __future__ import annotations

import itertools
import json

import pytest

from fraiseql_guard.operations.runbooks.dashboard import dashboard, render_dashboard
from fraiseql_guard.operations.runbooks.model import Runbook
from fraiseql_guard.operations.runbooks.recordings import RECORDINGS
from fraiseql_guard.operations.runbooks.render import ALERTS, Choices
from tools.expressions import RUNBOOKS

SHIPPED = json.loads((RUNBOOKS / "grafana" / "fraiseql-ops.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in SHIPPED["panels"] if panel["type"] not in ("row", "text")]
GUIDES = [panel for panel in SHIPPED["panels"] if panel["type"] == "text"]
LINES = [panel for panel in SHIPPED["panels"] if panel["type"] == "row"]


def test_the_shipped_file_is_what_the_tables_say():
    text = (RUNBOOKS / "grafana" / "fraiseql-ops.json").read_text(encoding="utf-8")
    assert text == render_dashboard(), (
        "run: fraiseql-guard dashboard --out fraiseql_guard/operations/runbooks/grafana/fraiseql-ops.json"
    )


def test_grafana_can_import_it():
    assert SHIPPED["schemaVersion"] >= 36
    assert "id" not in SHIPPED  # Grafana gives it; an import that brings one is refused or overwrites another
    assert (SHIPPED["uid"], SHIPPED["title"]) == ("fraiseql-ops", "FraiseQL operations")


def test_every_panel_asks_the_source_that_was_chosen():
    ids = [panel["id"] for panel in SHIPPED["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {each["name"]: each for each in SHIPPED["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_every_panel_says_what_it_shows():
    for panel in PANELS:
        assert panel["targets"]
        assert [target["refId"] for target in panel["targets"]] == ["A", "B", "C", "D"][: len(panel["targets"])]
        assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_no_panel_covers_another_and_none_leaves_the_grid():
    places = [panel["gridPos"] for panel in SHIPPED["panels"]]
    assert all(at["x"] >= 0 and at["x"] + at["w"] <= 24 and at["w"] > 0 and at["h"] > 0 for at in places)
    for one, two in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        above = one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        assert beside or above


def test_every_runbook_has_a_row_that_leads_to_it():
    titles = [line["title"] for line in LINES]
    assert titles == ["Overview", *(runbook.spoken for runbook in Runbook), "WebSockets and subscriptions"]
    for runbook, guide in zip(Runbook, GUIDES, strict=True):
        assert f"(docs/runbooks/{runbook.value}.md)" in guide["options"]["content"]
        for alert in ALERTS:
            assert (f"`{alert.name}`" in guide["options"]["content"]) is (alert.runbook is runbook)
    there = dashboard(Choices(runbook_url="https://wiki.example/books/"))
    assert [link["url"] for link in there["links"]] == [
        f"https://wiki.example/books/{each.value}.md" for each in Runbook
    ]
    row = None
    for panel in there["panels"]:
        row = panel["title"] if panel["type"] == "row" else row
        runbook = next((each for each in Runbook if each.spoken == row), None)
        if panel["type"] not in ("row", "text") and runbook is not None:
            assert [link["url"] for link in panel["links"]] == [f"https://wiki.example/books/{runbook.value}.md"]


@pytest.mark.parametrize(
    "metric", ["fraiseql_guard_store_breaker_open", "fraiseql:server_errors:ratio", "fraiseql:cpu:rate"]
)
def test_breaker_server_errors_and_processors_have_panels(metric):
    assert any(metric in target["expr"] for panel in PANELS for target in panel["targets"])


def test_what_the_http_api_takes():
    sent = json.loads(render_dashboard(folder_uid="ops"))
    assert (sent["folderUid"], sent["overwrite"], sent["dashboard"].pop("id")) == ("ops", True, None)
    assert sent["dashboard"] == SHIPPED


def test_other_labels_are_variables_selectors_and_legends():
    shown = dashboard(Choices(by=("cluster", "namespace")))
    names = [each["name"] for each in shown["templating"]["list"]]
    assert names == ["datasource", "cluster", "namespace", "instance"]
    asked = shown["templating"]["list"][2]["query"]["query"]
    assert asked == 'label_values(fraiseql_response_time_seconds_count{cluster=~"$cluster"}, namespace)'
    text = json.dumps([panel.get("targets") for panel in shown["panels"]])
    assert "$job" not in text
    assert "{{job}}" not in text
    assert '{cluster=~\\"$cluster\\", namespace=~\\"$namespace\\"}' in text


def test_titles_within_a_row_differ():
    for _, panels in itertools.groupby(SHIPPED["panels"], key=lambda panel: panel["type"] == "row"):
        titles = [panel["title"] for panel in panels]
        assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda each: each.name)
def test_what_is_recorded_is_read(recording):
    drawn = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    alerted = " ".join(alert.expression for alert in ALERTS)
    others = " ".join(each.expression for each in RECORDINGS)
    assert any(recording.name in text for text in (drawn, alerted, others))


def test_scaled_for_a_drill():
    assert "[5m]" not in render_dashboard(Choices(scale=0.05))
