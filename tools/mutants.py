"""Mutation tests of what decides: changes the checks and stores in small ways, and looks whether a test fails.

    python -m tools.mutants                                 25 mutants of each module, chosen by the seed
    python -m tools.mutants checks/blocks.py --sample 0     all mutants of one module

mutmut makes the mutants and runs, for each, the tests of TESTS that reach the changed function: those alone which need
no server and take seconds. The same seed chooses the same mutants, as long as the module stays as it is. A mutant that
no test notices is a survivor: a test has to be written, or tools/mutants.yml has to say why no caller could notice it.
Ends with 1 for a survivor without an explanation, and for an explanation whose line is no longer in its module.

mutmut changes what stands in functions: constants of a module, decorated functions and properties are left as they are.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = "fraiseql_guard"
TREE: Final = ROOT / ".mutants_cache"
EXPLAINED: Final = Path(__file__).with_suffix(".yml")
COPIED: Final = (PACKAGE, "tests", "tools", "examples", "benchmarks", "README.md", "pyproject.toml")
KILLED: Final = frozenset({"killed", "timeout", "segfault"})

MODULES: Final = (
    *(
        f"checks/{name}.py"
        for name in (
            "admission", "authentication", "bills", "blocked_documents", "blocks", "concurrency", "cost_budgets",
            "lockouts", "memory_pressure", "metrics_access", "mixed_documents", "query_limits", "rate_limits",
            "sanctions", "socket_room",
        )
    ),
    *(
        f"stores/{name}.py"
        for name in (
            "blocked", "breaker", "credit", "failover", "ledger", "limits", "local_share", "memory", "memory_offences",
            "memory_sanctions", "refusals",
        )
    ),
)  # fmt: skip
"""What decides about requests. What speaks with Redis is not among them: its tests need a server."""

TESTS: Final = ("tests/checks", "tests/stores", "tests/guard/test_nested_charges.py")
"""Those that need no server and no guard around an app, but for what guards inside guards pay."""
DESELECTED: Final = (
    "test_every_method_has_a_failure_policy",  # lists the methods of classes, where mutmut's copies stand as well
    "test_an_override_ends_by_itself",  # waits for real time, which other tests do not
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why no caller notices that a line reads otherwise; ``becomes`` is None for any change of it."""

    module: str
    was: str
    becomes: str | None
    why: str

    def covers(self, module: str, was: str, becomes: str) -> bool:
        """Whether it is about this mutant."""
        return (self.module, self.was) == (module, was) and self.becomes in (None, becomes)


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that no test has noticed."""

    name: str
    module: str
    was: str
    becomes: str


def explanations(path: Path = EXPLAINED) -> list[Explanation]:
    """Those that are written down."""
    listed = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return [
        Explanation(module, each["was"], each.get("becomes"), each["why"])
        for module, entries in listed.items()
        for each in entries
    ]


def outdated(written: Sequence[Explanation]) -> list[str]:
    """Explanations of lines that no module has any more."""
    lines = {
        module: {line.strip() for line in (ROOT / PACKAGE / module).read_text(encoding="utf-8").splitlines()}
        for module in {each.module for each in written}
    }
    return [f"{each.module}: {each.was}" for each in written if each.was not in lines[each.module]]


# --- mutmut ----------------------------------------------------------------------------------------------------------


def prepare() -> None:
    """Bring the tree that mutmut works in up to date. What has not changed keeps its mutants."""
    changed = False
    for name in COPIED:
        source = ROOT / name
        files = [source] if source.is_file() else sorted(source.rglob("*"))
        wanted = {path.relative_to(ROOT) for path in files if path.is_file() and "__pycache__" not in path.parts}
        for path in wanted:
            changed |= _written(TREE / path, _configured(path))
        for path in (TREE / name).rglob("*") if source.is_dir() else ():
            if path.is_file() and "__pycache__" not in path.parts and path.relative_to(TREE) not in wanted:
                path.unlink()
                (TREE / "mutants" / path.relative_to(TREE)).unlink(missing_ok=True)
                changed = True
    if changed:  # other tests may reach a function now
        (TREE / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)


def _configured(path: Path) -> bytes:
    text = (ROOT / path).read_bytes()
    if path.name != "pyproject.toml" or path.parent != Path():
        return text
    options = {
        "source_paths": [PACKAGE],
        "only_mutate": [f"{PACKAGE}/{module}" for module in MODULES],
        "also_copy": [name for name in COPIED if name != PACKAGE],
        "pytest_add_cli_args": [
            *("-m", "not redis and not fraiseql", "--hypothesis-profile", "check", "-p", "no:cacheprovider"),
            *("--ignore", "tests/checks/test_origin.py", "--ignore", "tests/stores/redis"),
            *("-k", " and ".join(f"not {name}" for name in DESELECTED)),
        ],
        "pytest_add_cli_args_test_selection": list(TESTS),
    }
    lines = [f"{name} = {value}".replace("'", '"') for name, value in options.items()]
    switches = ["use_git_change_detection = false", "track_dependencies = false"]
    return text + "\n".join(["\n[tool.mutmut]", *lines, *switches, ""]).encode()


def _written(path: Path, text: bytes) -> bool:
    """Write a file that reads otherwise, with the time of now: by times mutmut sees what has changed."""
    if path.is_file() and path.read_bytes() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return True


def mutmut(*arguments: str) -> str:
    """What a command of mutmut prints. SystemExit if it fails."""
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("\n".join((done.stdout + done.stderr).replace("\r", "\n").splitlines()[-60:]))
    return done.stdout


def statuses() -> dict[str, dict[str, str]]:
    """By module and name of the mutant: what became of it."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for line in mutmut("results", "--all", "true").splitlines():
        name, _, status = line.strip().rpartition(": ")
        module = "/".join(name.split(".")[1:3]) + ".py"
        if module in MODULES:
            found[module][name] = status
    return found


def chosen(names: Sequence[str], most: int, seed: int) -> list[str]:
    """So many of a module's mutants, all for 0."""
    names = sorted(names)
    return names if not most or len(names) <= most else random.Random(f"{seed} {names[0]}").sample(names, most)  # noqa: S311


def survivor(module: str, name: str) -> Survivor:
    """What a mutant has changed: the lines that it took, and those that it put in their place."""
    lines = mutmut("show", name).splitlines()
    was = [line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")]
    becomes = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")]
    return Survivor(name, module, " ".join(was), " ".join(becomes))


# --- the report ------------------------------------------------------------------------------------------------------


def table(tried: Mapping[str, Mapping[str, str]], of: Mapping[str, int], unexplained: Counter[str]) -> Iterator[str]:
    """A line for each module, and one for all of them."""
    yield f"{'module':32}{'mutants':>9}{'tried':>7}{'killed':>8}{'survived':>10}{'explained':>11}"
    sums = [0] * 5
    for module, results in tried.items():
        killed = sum(status in KILLED for status in results.values())
        survived = len(results) - killed
        numbers = [of[module], len(results), killed, survived, survived - unexplained[module]]
        sums = [before + number for before, number in zip(sums, numbers, strict=True)]
        yield _row(module, numbers)
    yield _row("together", sums)


def _row(name: str, numbers: Sequence[int]) -> str:
    return f"{name:32}" + "".join(
        f"{number:>{width}}" for number, width in zip(numbers, (9, 7, 8, 10, 11), strict=True)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants, print what became of them, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=MODULES, metavar="MODULE", help="such as checks/blocks.py")
    parser.add_argument("--sample", type=int, default=25, help="mutants of each module, 0 for all (default: 25)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default: 1)")
    parser.add_argument("--processes", type=int, default=2, help="mutants that are tried at once (default: 2)")
    options = parser.parse_args(arguments)
    if unknown := set(options.modules) - set(MODULES):
        parser.error(f"{', '.join(sorted(unknown))}: not among {', '.join(MODULES)}")
    written = explanations()
    if lines := outdated(written):
        sys.exit("\n".join(["explained in tools/mutants.yml, and no longer there:", *lines]))
    if shutil.which("mutmut", path=str(Path(sys.executable).parent)) is None:
        sys.exit("mutmut is missing: make install")

    # Make the mutants; a first run of a few tells their names, and which tests reach which function.
    prepare()
    processes = ("--max-children", str(options.processes))
    mutmut("run", *processes, f"{PACKAGE}.checks.mixed_documents.*__mutmut_1")
    all_of = {module: sorted(names) for module, names in statuses().items() if module in options.modules}
    names = {module: chosen(all_of[module], options.sample, options.seed) for module in options.modules}
    mutmut("run", *processes, *(name for each in names.values() for name in each))

    # What has survived, and is not explained?
    results = statuses()
    tried = {module: {name: results[module][name] for name in names[module]} for module in options.modules}
    left = [
        survivor(module, name)
        for module, found in tried.items()
        for name, status in found.items()
        if status not in KILLED
    ]
    unexplained = [each for each in left if not any(one.covers(each.module, each.was, each.becomes) for one in written)]
    which = f"{options.sample} of each module, seed {options.seed}" if options.sample else "all"
    print(f"mutants tried: {which}")
    print(
        *table(
            tried,
            {module: len(found) for module, found in all_of.items()},
            Counter(each.module for each in unexplained),
        ),
        sep="\n",
    )
    for each in unexplained:
        print(f"\n{each.name} ({results[each.module][each.name]})\n  - {each.was}\n  + {each.becomes}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
