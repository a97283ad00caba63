"""The audit's own logic: what differs is found, and what is missing is said. ``make audit`` runs the suite itself."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def test_several_that_ask_for_one_folder_install_it_once(monkeypatch, tmp_path):
    programs, calls = tmp_path / "programs", tmp_path / "calls"
    programs.mkdir()
    for name in ("node", "npm"):
        (programs / name).write_text(f"#!/bin/sh\necho {name} >> {calls}\nsleep 0.2\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    manifest, script = tmp_path / "package.json", tmp_path / "audit.mjs"
    manifest.write_text(json.dumps({"private": True}))

    def installed(_number: int) -> Path:
        return install(manifest, [script], "several", cache=tmp_path / "cache")

    for text in ("1;", "2;"):
        script.write_text(text)
        with ThreadPoolExecutor(4) as pool:
            (folder,) = set(pool.map(installed, range(4)))
        assert (folder / script.name).read_text() == text
    assert calls.read_text() == "npm\n"
    assert {each.name for each in folder.iterdir()} == {"audit.mjs", "package.json", ".installed", ".lock"}
