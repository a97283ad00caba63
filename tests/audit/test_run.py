"""The audit's own logic: what differs is found, and what is missing is said. ``make audit`` runs the suite itself."""

from __future__ import annotations

import pytest

from tools.audit import run
from tools.audit.npm import NpmError, install


def result(name: str, status: str, http: int | None = None) -> run.Result:
    return run.Result(name, f"MAY {name}", status, None if status == "ok" else "a reason", http)


@pytest.mark.parametrize("statuses", [("ok", "ok"), ("warn", "ok"), ("ok", "notice")])
def test_any_difference_fails_the_audit(monkeypatch, capsys, statuses):
    lists = {True: [result("A", statuses[0]), result("B", "warn", 200)], False: [result("A", statuses[1])]}
    lists[False].append(result("B", "warn", 400))  # the same result for another reason
    monkeypatch.setattr(run, "audited", lambda bare, folder: lists[bare])
    differs = statuses[0] != statuses[1]
    assert run.main([]) == int(differs)
    shown = capsys.readouterr().out
    assert ("missed: 1 audits differ" in shown) is differs
    assert ("WORSE" in shown) is (statuses == ("ok", "notice"))


def test_without_node_it_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NpmError, match="node is not on PATH"):
        install(run.HERE / "package.json", [], "audit", cache=tmp_path)
    assert run.main([]) == 2
    assert "node is not on PATH" in capsys.readouterr().err
