"""The package as it is published: built, and installed beside nothing but what it needs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_CACHE = ROOT / ".cache" / "packaging"


@dataclass(frozen=True, slots=True)
class Archives:
    """The two archives that are published."""

    sdist: Path
    wheel: Path


def build(folder: Path) -> Archives:
    """Build the sdist, and the wheel from it, as a publisher would."""
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Archives(sdist, wheel)


@dataclass(frozen=True, slots=True)
class Installation:
    """A Python that finds the package in a folder, and other packages only where it was installed with them."""

    python: Path
    folder: Path

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments and variables, and no others that say anything to the guard."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return subprocess.run(
            [str(self.python), "-W", "error", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=self.folder,
            env={**kept, "PYTHONPATH": str(self.folder), **variables},
        )

    def printed(self, code: str, **variables: str) -> Any:
        """The JSON that a program prints in its last line."""
        done = self.run("-c", code, **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


def unpack(wheel: Path, folder: Path) -> Path:
    """The folder with the wheel's files, as an installer would put them."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def with_base_alone(unpacked: Path) -> Installation:
    """The package in a Python that has its base dependencies and nothing else."""
    return Installation(_python_with(PROJECT["dependencies"]), unpacked)


def with_everything(unpacked: Path) -> Installation:
    """The package in the Python of these tests, which has all extras."""
    return Installation(Path(sys.executable), unpacked)


def _python_with(dependencies: list[str]) -> Path:
    """A virtual environment with these dependencies alone, made once for each list of them."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    key = hashlib.sha256(json.dumps([sys.version, dependencies, constraints]).encode()).hexdigest()[:16]
    folder = _CACHE / key
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.exists():
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python))
        _run(*pip, "install", "-qq", "--constraint", str(ROOT / "constraints.txt"), *dependencies)
        complete.touch()
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
