"""The app of examples/deploy as a container or a unit runs it: from the Dockerfile's own lines, on a root that nothing
can write to, without capabilities, with the variables of an example."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import site
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.waiting import until_now
from tools.expressions import ROOT

DEPLOY = ROOT / "examples" / "deploy"
SECRETS = "/run/secrets"
WRITABLE = "/run/blog"
_CONFINE = """
mount -o remount,bind,ro / && mount -t tmpfs -o mode=0700 none "$0" && mkdir "$0/tmp" &&
touch "$0/.s.PGSQL.5432" && mount --bind "$DATABASE_SOCKET" "$0/.s.PGSQL.5432" &&
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
"""A root that nothing can write to, but for one tmpfs, in which the database is reached; and no capability."""
_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""An image has its bytecode from its build; here commands beside the server may leave some for the next one."""
_NO_WRITABLE_CODE = 65, 1
"""prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN): what systemd's MemoryDenyWriteExecute= asks for."""


def instructions(name: str, text: str | None = None) -> list[str]:
    """What stands behind an instruction of the Dockerfile, each time, on one line."""
    whole = (DEPLOY / "Dockerfile").read_text(encoding="utf-8") if text is None else text
    lines = [line for line in whole.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return re.findall(rf"^\s*{name} (.+)$", joined, re.MULTILINE)


def image_environment() -> dict[str, str]:
    """The variables that the image brings, but for its PATH: those of the last stage."""
    words = instructions("ENV")[-1].split()
    return dict(word.split("=", 1) for word in words if not word.startswith("PATH="))


@dataclass(frozen=True, slots=True)
class Image:
    """What the Dockerfile makes, in a folder: ``venv`` is its /opt/venv and ``app`` its /opt/blog."""

    folder: Path

    @property
    def venv(self) -> Path:
        return self.folder / "venv"

    @property
    def app(self) -> Path:
        return self.folder / "blog"

    def build(self) -> None:
        """Run the line that installs, and copy what the image copies.

        The environment is new and sees the packages of the development's: the line installs what they lack.
        """
        build = self.folder / "build"
        build.mkdir()
        (sources,) = (line for line in instructions("COPY") if line.startswith("app/"))
        shutil.copy(DEPLOY / sources.split()[0], build)
        (install,) = (line for line in instructions("RUN") if "pip install" in line)
        line = install.replace("/opt/venv", str(self.venv))
        environment = {**os.environ, **self.environment(), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "1"}
        done = subprocess.run(["sh", "-ec", line], cwd=build, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{line} failed: {done.stderr}")
        self.app.mkdir()
        for line in instructions("COPY"):
            if not line.startswith(("--from", "app/")):
                for name in line.split()[:-1]:
                    shutil.copy(DEPLOY / name, self.app)

    def environment(self) -> dict[str, str]:
        """Where programs and packages are; none of the variables of this process that the guard or FraiseQL reads."""
        ours = ("FRAISEQL_", "PROMETHEUS_", "WEB_CONCURRENCY", "PYTEST", "NOTIFY_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        packages = self.venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        python = f"{packages}:{ROOT}:{site.getsitepackages()[0]}"
        path = f"{self.venv / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**inherited, "PATH": path, "PYTHONPATH": python}


@dataclass(slots=True)
class DeployedApp:
    """One start of the app: ``command`` with ``environment``, as the example says them but for the folders."""

    image: Image
    command: list[str]
    environment: Mapping[str, str]
    port: int
    secrets: Path
    database_socket: Path
    told: list[str] = field(default_factory=list)
    """What the server has told its manager (sd_notify)."""

    @property
    def writable(self) -> Path:
        return self.image.folder / "run"

    def in_time(self, process: subprocess.Popen[bytes], true: Callable[[], bool]) -> None:
        """Wait until something is true; the server's log if it never is."""
        try:
            until_now(true)
        except AssertionError:
            raise AssertionError(f"it never came true, {process.poll()}: {self.log()[-4000:]}") from None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self) -> dict[str, str]:
        """All variables of the process."""
        given = {name: self._here(value) for name, value in self.environment.items() if name != _BYTECODE}
        return {**self.image.environment(), **given, "TMPDIR": str(self.writable / "tmp")}

    def _here(self, value: str) -> str:
        return value.replace(SECRETS, str(self.secrets)).replace(WRITABLE, str(self.writable))

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Serve until left, at the latest."""
        self.writable.mkdir(exist_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
            (self.image.folder / "log").open("wb") as log,
        ):
            # An abstract name: reached from a root that nothing can write to, too.
            name = f"fraiseql-guard-deployed-{os.getpid()}-{self.port}"
            manager.bind(f"\0{name}")
            manager.setblocking(False)
            process = subprocess.Popen(
                ["unshare", *_as_root(), "--mount", "sh", "-c", _CONFINE, str(self.writable), *self.command],
                cwd=self.image.app,
                env={**self.variables(), "NOTIFY_SOCKET": f"@{name}", "DATABASE_SOCKET": str(self.database_socket)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_refuse_writable_code,
            )
            try:
                self.in_time(process, lambda: self._ready(process))
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(timeout=45)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                self._hear(manager)

    def _ready(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"the app ended with {process.returncode}: {self.log()}")
        try:
            return self.get("/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def _hear(self, manager: socket.socket) -> None:
        while True:
            try:
                self.told.append(manager.recv(4096).decode())
            except BlockingIOError:
                return

    def get(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(f"{self.url}{path}", headers=named, timeout=10, trust_env=False)

    def ask(self, query: str, **more: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/graphql", json={"query": query}, timeout=10, trust_env=False, **more)

    def log(self) -> str:
        return (self.image.folder / "log").read_text(encoding="utf-8", errors="replace")

    def log_lines(self) -> list[dict[str, Any]]:
        """The guard's lines so far."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith('{"timestamp"')]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command beside the server, with its variables: what ``docker compose exec`` and ``kubectl exec`` do."""
        return subprocess.run(
            command, env=self.variables(), cwd=self.image.app, capture_output=True, text=True, timeout=60, check=False
        )


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["--map-root-user"]


def _refuse_writable_code() -> None:
    ctypes.CDLL(None).prctl(*_NO_WRITABLE_CODE, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
