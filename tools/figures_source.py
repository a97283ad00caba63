"""Figures of the package's source: rooms and what they import, lines, complexity, names. Read, never run."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MOST_COMPLEX: Final = 10
MOST_STATEMENTS: Final = 40
_TO_TOOLS: Final = ("# noqa", "# type:", "# fmt:", "# pragma", "#!")
"""How comments begin that are for programs."""
_BRANCHES: Final = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert, ast.match_case
)  # fmt: skip
_RULES: Final = ("C901", "PLR0915")
_COUNTED: Final = re.compile(r"(?:`(?P<name>\w+)` is )?\D*\((?P<count>\d+) > 0\)")


@dataclass(slots=True)
class Figures:
    """``numbers`` by what they count, and the ``names`` behind some of them."""

    numbers: dict[str, float] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def count(self, what: str, names: Iterable[str]) -> None:
        """A number, and what was counted."""
        self.names[what] = sorted(names)
        self.numbers[what] = len(self.names[what])


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str
    tree: ast.Module


def figures_of(package: Path) -> Figures:
    """All figures of a package's folder. FileNotFoundError if it is none."""
    files = [_read(path) for path in sorted(package.rglob("*.py"))]
    if not files:
        raise FileNotFoundError(f"{package} holds no Python files")
    found = Figures()
    _house(found, package, files)
    found.numbers["files"] = len(files)
    found.numbers["lines"] = lines = sum(file.text.count("\n") for file in files)
    _complexity(found, package, files)
    comments = [comment for file in files for comment in _comments(file.text)]
    own = [comment for comment in comments if not comment.startswith(_TO_TOOLS)]
    found.numbers["comments per thousand lines"] = round(len(comments) / lines * 1000, 1)
    found.numbers["comments per thousand lines, without those for tools"] = round(len(own) / lines * 1000, 1)
    _names(found, package, files)
    return found


def _read(path: Path) -> _File:
    text = path.read_text(encoding="utf-8")
    return _File(path, text, ast.parse(text))


# --- the house -------------------------------------------------------------------------------------------------------


def _house(found: Figures, package: Path, files: Iterable[_File]) -> None:
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    rooms.discard("__init__")
    arrows: dict[str, set[str]] = {room: set() for room in rooms}
    for file in files:
        room = _room(package, file.path)
        if room in rooms:
            arrows[room] |= set(_imported(file, package)) & rooms - {room}
    found.count("rooms", rooms)
    found.numbers["floors"] = floors(arrows)
    found.numbers["layers that the linter holds"] = _layers(package)
    found.numbers["arrows between rooms"] = sum(map(len, arrows.values()))


def _room(package: Path, path: Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def _imported(file: _File, package: Path) -> Iterator[str]:
    """Rooms, or names of the package itself, that a file imports anywhere in it."""
    within = [package.name, *file.path.relative_to(package).parts[:-1]]
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = within[: len(within) - node.level + 1] if node.level else []
            module = ".".join([*parent, *([node.module] if node.module else [])])
            full = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in full if name.startswith(f"{package.name}."))


def floors(arrows: Mapping[str, Iterable[str]]) -> int:
    """How many rooms the longest chain of imports has. Rooms that import each other in a circle stand on one floor."""
    below: dict[str, set[str]] = {room: _reached(room, arrows) for room in arrows}

    def height(room: str, known: dict[str, int]) -> int:
        if room not in known:
            circle = {other for other in below[room] if room in below[other]}
            known[room] = 1 + max((height(other, known) for other in below[room] - circle - {room}), default=0)
        return known[room]

    known: dict[str, int] = {}
    return max((height(room, known) for room in arrows), default=0)


def _reached(room: str, arrows: Mapping[str, Iterable[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(arrows[room])
    while waiting:
        if (other := waiting.pop()) not in reached:
            reached.add(other)
            waiting += arrows[other]
    return reached


def _layers(package: Path) -> int:
    project = package.parent / "pyproject.toml"
    if not project.exists():
        return 0
    linter = tomllib.loads(project.read_text(encoding="utf-8")).get("tool", {}).get("importlinter", {})
    own = [package.name]
    contracts = [each for each in linter.get("contracts", ()) if each["type"] == "layers"]
    return sum(len(each["layers"]) for each in contracts if each.get("containers", own) == own)


# --- functions -------------------------------------------------------------------------------------------------------


def _complexity(found: Figures, package: Path, files: Iterable[_File]) -> None:
    measured = _ruff(package)
    complexity, statements = (measured[rule] for rule in _RULES)
    _spread(found, "complexity", "", complexity)
    _spread(found, "complexity", " with conditions inside expressions", _by_expressions(package, files))
    long = [f"{name} ({count})" for name, count in statements if count > MOST_STATEMENTS]
    found.count(f"functions above {MOST_STATEMENTS} statements", long)


def _spread(found: Figures, what: str, how: str, counts: list[tuple[str, int]]) -> None:
    mean = sum(count for _, count in counts) / max(1, len(counts))
    found.numbers[f"mean {what}{how}"] = round(mean, 2)
    above = [f"{name} ({count})" for name, count in counts if count > MOST_COMPLEX]
    found.count(f"functions above {what} {MOST_COMPLEX}{how}", above)


def _ruff(package: Path) -> dict[str, list[tuple[str, int]]]:
    """Every function with its McCabe complexity and its statements, as ruff counts them. RuntimeError without ruff."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--ignore-noqa", "--exit-zero"]
    command += ["--select", ",".join(_RULES), "--output-format", "json", "--no-cache"]
    command += ["--config", "lint.mccabe.max-complexity=0", "--config", "lint.pylint.max-statements=0", str(package)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ruff failed: {done.stderr.strip()}")
    counts: dict[str, list[tuple[str, int]]] = {rule: [] for rule in _RULES}
    known: dict[str, str] = {}  # ruff names a function in one of the two messages alone, which comes first
    for each in sorted(json.loads(done.stdout), key=lambda each: str(each["code"])):
        if (said := _COUNTED.match(each["message"])) is not None:
            path = Path(each["filename"]).relative_to(package.resolve())
            place = f"{path}:{each['location']['row']}"
            name = known.setdefault(place, f"{path}:{said['name']}" if said["name"] else place)
            counts[each["code"]].append((name, int(said["count"])))
    return counts


def _by_expressions(package: Path, files: Iterable[_File]) -> list[tuple[str, int]]:
    return [
        (f"{file.path.relative_to(package)}:{node.name}", _decisions(node))
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _decisions(function: ast.AST) -> int:
    """One more than a function's branches: also those of ``and``, ``or``, conditional expressions and
    comprehensions."""
    count = 1
    for node in ast.walk(function):
        if isinstance(node, _BRANCHES):
            count += 1
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            count += 1 + len(node.ifs)
    return count


# --- words -----------------------------------------------------------------------------------------------------------


def _comments(text: str) -> Iterator[str]:
    lines = iter(text.splitlines(keepends=True))
    for token in tokenize.generate_tokens(lambda: next(lines, "")):
        if token.type == tokenize.COMMENT:
            yield token.string


def _names(found: Figures, package: Path, files: Iterable[_File]) -> None:
    classes, stems = defaultdict(set), defaultdict(set)
    for file in files:
        where = str(file.path.relative_to(package))
        stems[file.path.stem].add(where)
        for node in ast.walk(file.tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name].add(where)
    stems.pop("__init__", None)
    for what, places in (("class names", classes), ("file names", stems)):
        shared = [f"{name}: {', '.join(sorted(where))}" for name, where in places.items() if len(where) > 1]
        found.count(f"{what} that stand for two or more things", shared)
