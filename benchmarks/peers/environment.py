"""The virtual environment of the servers: all peers, what uvicorn needs to be fast, and what our package depends on."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.variants import Variant

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".cache" / "benchmarks" / "peers"
PINS = ROOT / "benchmarks" / "peers-requirements.txt"
_EXTRAS = ("redis", "jwt")
_SERVER = ("uvicorn", "httptools", "uvloop", "fastapi")


class PeersEnvironmentError(Exception):
    """It cannot be made; the text is pip's."""


def python() -> Path:
    """Its interpreter."""
    return FOLDER / "bin" / "python"


def prepare(variants: Sequence[Variant]) -> dict[str, str]:
    """Make it, or use the one that is there. Returns the errors of the peers that cannot be installed."""
    stamp = FOLDER / "made-from"
    ours = _our_dependencies()
    text = hashlib.sha256(b"\n".join([PINS.read_bytes(), sys.version.encode(), *map(str.encode, ours)])).hexdigest()
    if not stamp.exists() or stamp.read_text() != text:
        print("making the environment of the servers ...", file=sys.stderr)
        shutil.rmtree(FOLDER, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(FOLDER)], check=True)
        if (error := _install((*_SERVER, *ours))) is not None:
            raise PeersEnvironmentError(error)
        stamp.write_text(text)
    everything = tuple(package for variant in variants for package in variant.packages)
    if not everything or _install(everything) is None:
        return {}
    # Together they do not come: find out which one it is.
    errors = {variant.name: _install(variant.packages) for variant in variants if variant.packages}
    return {name: error for name, error in errors.items() if error is not None}


def _our_dependencies() -> list[str]:
    """Of the package, and of its extras that the servers use."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {})
    return [*project["dependencies"], *(each for name in _EXTRAS for each in extras.get(name, ()))]


def _install(packages: Sequence[str]) -> str | None:
    """What pip says if it failed."""
    command = [sys.executable, "-m", "pip", "--python", str(python()), "install", "--quiet"]
    command += ["--disable-pip-version-check", "--constraint", str(PINS), *dict.fromkeys(packages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    words = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
    return words[0].removeprefix("ERROR: ")
