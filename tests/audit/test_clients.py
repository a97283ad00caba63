"""The clients' own logic: what they do not show is found. ``make audit`` runs the clients themselves."""

from __future__ import annotations

import pytest

from tools.audit.clients import __main__ as clients

CASE = clients.Case("401", "plain", {}, "UNAUTHENTICATED", 401)
GOOD = clients.Seen("Relay", "single", "UNAUTHENTICATED", (401,), batch=0)


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (GOOD, None),
        (clients.Seen("urql", "single", "hidden: Error", (401,), batch=0), "urql (single) shows hidden: Error"),
        (clients.Seen("urql", "single", "UNAUTHENTICATED", (200,), batch=0), "no client was answered 401"),
        (clients.Seen("urql", "batch", "UNAUTHENTICATED", (401,), batch=0), "urql sent no batch"),
    ],
)
def test_what_is_missing_is_found(monkeypatch, capsys, seen, sentence):
    monkeypatch.setattr(clients, "CASES", (CASE,))
    monkeypatch.setattr(clients, "asked", lambda case, folder: [seen])
    assert clients.main() == int(sentence is not None)
    assert (sentence or "met: ") in capsys.readouterr().out


def test_without_node_it_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert clients.main() == 2
    assert "node is not on PATH" in capsys.readouterr().err
