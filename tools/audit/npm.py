"""npm packages in a folder of the cache: installed once per manifest, never on the system."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache"
_INSTALL_SECONDS = 300.0
_STAMP = ".installed"
_LOCK = ".lock"


class NpmError(Exception):
    """Node or a package cannot be had; the text says why."""


def install(manifest: Path, scripts: Iterable[Path], name: str, *, cache: Path = CACHE) -> Path:
    """A folder of the cache with the packages of ``manifest`` (a package.json) and copies of ``scripts``.

    Node looks for packages upwards from a script's own folder, so the scripts have to stand beside them. No lock file
    of npm is written: it would name the registry. Several processes may ask for the same folder at once.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NpmError(f"{program} is not on PATH. Node 20 or newer and npm are needed: apt-get install nodejs npm")
    folder = cache / name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        for script in scripts:
            _put(folder / script.name, script.read_bytes())
        stamp, wanted = folder / _STAMP, manifest.read_text(encoding="utf-8")
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            (folder / "package.json").write_text(wanted, encoding="utf-8")
            _npm(folder)
            stamp.write_text(wanted, encoding="utf-8")
    return folder


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process changes the folder meanwhile."""
    with (folder / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _put(path: Path, content: bytes) -> None:
    """Write a script at once and whole, for another process may be about to run it."""
    if path.exists() and path.read_bytes() == content:
        return
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_bytes(content)
    new.replace(path)


def _npm(folder: Path) -> None:
    command = "npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error".split()
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise NpmError(f"npm install did not end in {_INSTALL_SECONDS:g} s") from None
    if done.returncode != 0:
        raise NpmError(f"npm install failed: {done.stderr.strip()[-500:]}")
