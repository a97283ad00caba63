"""The check's own logic: what the compiler says is told. ``make audit`` asks the compiler itself."""

from __future__ import annotations

import json

import pytest

from tools.audit.grafana import __main__ as grafana

MISTAKES = [name for name, _ in grafana.mistakes()]


def test_without_node_it_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert grafana.main() == 2
    assert "node is not on PATH" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "status", "sentence"),
    [
        ({name: ["line 3: no"] for name in MISTAKES}, 0, "met: the dashboard is what Grafana's schema says"),
        ({}, 1, "missed: links_of_a_row: passes, and must not"),
        ({"sent": ["line 9: Property 'x' is missing"]}, 1, "missed: sent: line 9: Property 'x' is missing"),
    ],
)
def test_what_the_compiler_says_is_told(monkeypatch, capsys, tmp_path, said, status, sentence):
    monkeypatch.setattr(grafana, "install", lambda *_: tmp_path)
    monkeypatch.setattr(grafana, "problems", lambda _, texts: {name: said.get(name, []) for name in texts})
    assert grafana.main() == status
    assert sentence in capsys.readouterr().out


def test_every_mistake_differs_from_the_dashboard():
    shipped = json.dumps(grafana.dashboard())
    assert all(json.dumps(each) != shipped for _, each in grafana.mistakes())


def test_no_registry_is_named():
    text = (grafana.HERE / "package.json").read_text("utf-8")
    assert "://" not in text
    assert not (grafana.HERE / "package-lock.json").exists()
