"""A server program gets a port of its own, also when another one is quicker; one that does not start has its say."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import httpx
import pytest

from tools.listening import end, listening

READY = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/-/ready" else 404)
        self.end_headers()
host, port = sys.argv[1].split(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""
TAKEN = "print('address already in use', flush=True); raise SystemExit(1)"
SILENT = "import time; time.sleep(600)"


def run(*programs: str):
    """Commands for the addresses, one after the other; the last one for all further ones."""
    texts = itertools.chain(programs, itertools.repeat(programs[-1]))
    return lambda address: [sys.executable, "-c", next(texts), address]


def test_a_port_that_is_taken_meanwhile_is_changed_for_another(tmp_path: Path) -> None:
    process, address = listening(run(TAKEN, READY), tmp_path / "log", start_seconds=60)
    try:
        assert httpx.get(f"http://{address}/-/ready", trust_env=False).status_code == 200
        assert "already in use" in (tmp_path / "log").read_text()
    finally:
        end(process)
    assert process.poll() is not None
    end(process)


def test_a_program_that_ends_has_its_last_words_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"did not start:\n(address already in use\n){3}"):
        listening(run(TAKEN), tmp_path / "log", start_seconds=60)


def test_a_program_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        listening(lambda _: [sys.executable, "-c", SILENT, tmp_path], tmp_path / "log", start_seconds=0.5)
    commands = [entry / "cmdline" for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    assert [each for each in commands if str(tmp_path).encode() in read(each)] == []


def read(file: Path) -> bytes:
    """Its content; nothing if its process is gone."""
    try:
        return file.read_bytes()
    except OSError:
        return b""
