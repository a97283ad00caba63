"""The commands of ``sh`` and ``console`` blocks, and what can be said of them without a server."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import typer
from packaging.requirements import Requirement
from typer.main import get_command

from fraiseql_guard.cli import app
from tests.support.pages import ROOT, Block

GUARD = "fraiseql-guard"
PROMPT = "$ "
WORKS_ALONE = frozenset({"alerts", "api-key", "config", "dashboard", "demo", "token"})
"""Commands of ours that need neither a Redis nor a worker nor a file: they are typed, not only read."""

_SHELL_S_OWN = frozenset({"cd", "mkdir", "unset"})
_OPERATORS = re.compile(r"[|&;]+")
_ASSIGNMENT = re.compile(r"(?:export )?[A-Za-z_]\w*=(?P<value>.*)", re.DOTALL)
_SUBSTITUTION = re.compile(r"^\"?\$\((?P<inner>.*)\)\"?$", re.DOTALL)
_CODE = re.compile(r"\[(\d)\]")
_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it is typed, over several lines if it is, and the output that a console block shows below it."""

    text: str
    output: str | None = None

    @property
    def programs(self) -> list[list[str]]:
        """The words of each program of the line, without redirections and assignments in front."""
        return [words for part in _parts(self.text) if (words := _without_assignments(part))]

    @property
    def code(self) -> int:
        """The exit code that a console block shows as ``[1]`` in its last line."""
        last = (self.output or "").rstrip().rpartition("\n")[2]
        return int(found[1]) if (found := _CODE.fullmatch(last)) else 0

    @property
    def expected(self) -> str:
        """The output without the exit code."""
        lines = (self.output or "").rstrip().split("\n")
        return "\n".join(lines[:-1] if _CODE.fullmatch(lines[-1]) else lines)


def commands(block: Block) -> list[Command]:
    """Of an sh block every command, of a console block those behind a prompt with their output."""
    if block.language == "console":
        return list(_prompted(block))
    return [Command(text) for text in _typed(block.splitlines())]


def problem(words: Sequence[str]) -> str | None:
    """What is wrong with a program and its words; ``claim`` if only a test of the page's own can tell."""
    if words[0] == GUARD:
        return problem_of_ours(words[1:])
    if words[0] == "make":
        unknown = [word for word in words[1:] if "=" not in word and word not in make_targets()]
        return f"the Makefile has no {', '.join(unknown)}" if unknown else None
    if words[:2] == ["pip", "install"]:
        return problem_of_packages([word for word in words[2:] if not word.startswith("-")])
    return "claim"


def problem_of_packages(requirements: Sequence[str]) -> str | None:
    """Whether our own package has the extras that are asked for. tests/packaging installs what is built."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {extra for text in requirements if (each := Requirement(text)).name == GUARD for extra in each.extras}
    unknown = asked - project["optional-dependencies"].keys()
    return f"there is no extra {', '.join(sorted(unknown))}" if unknown else None


@cache
def command_line() -> Any:
    """The real command, whose parser takes a while to make."""
    return get_command(app)


def problem_of_ours(arguments: Sequence[str]) -> str | None:
    """Whether the real command knows these words: its commands, options and arguments."""
    try:
        _parse(command_line(), GUARD, list(arguments))
    except (SystemExit, typer.Exit):
        return None  # --help, --version
    except Exception as error:  # noqa: BLE001 - of click's, wherever this version of typer has it
        return f"{GUARD} {shlex.join(arguments)}: {getattr(error, 'message', error)}"
    return None


def make_targets() -> set[str]:
    """What ``make`` can be told to make."""
    return set(_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))


def _parse(command: Any, name: str, arguments: list[str]) -> None:
    """Read the arguments as the command would, without running it."""
    children = getattr(command, "commands", {})
    if arguments and arguments[0] in children:
        _parse(children[arguments[0]], arguments[0], arguments[1:])
    elif children and arguments and not arguments[0].startswith("-"):
        raise ValueError(f"there is no command {arguments[0]}")
    else:
        command.make_context(name, list(arguments))


def _prompted(block: Block) -> Iterator[Command]:
    """A prompt begins a command, which goes on while its line is not complete; what follows is its output."""
    head, *parts = re.split(rf"^{re.escape(PROMPT)}", block, flags=re.MULTILINE)
    assert not head.strip(), f"{block.place}: output without a command"
    for part in parts:
        lines = part.rstrip("\n").split("\n")
        count = next(n for n in range(1, len(lines) + 1) if _complete("\n".join(lines[:n])) or n == len(lines))
        yield Command("\n".join(lines[:count]), "\n".join(lines[count:]))


def _typed(lines: list[str]) -> Iterator[str]:
    """Logical lines: continued by a backslash, an open quote or a here-document."""
    text = ""
    for line in lines:
        text = f"{text}\n{line}" if text else line
        if _complete(text):
            if shlex.split(text, comments=True):
                yield text.strip()
            text = ""
    assert not text, f"not a complete command: {text}"


def _complete(text: str) -> bool:
    if text.endswith("\\"):
        return False
    if here := re.search(r"<<-?\s*'?(\w+)'?", text):
        return re.search(rf"^\s*{here[1]}$", text, re.MULTILINE) is not None
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def _parts(text: str) -> Iterator[list[str]]:
    """The words of each program in a line; a here-document is input, and no program."""
    text = re.sub(r"<<-?\s*'?(\w+)'?.*", "", text, flags=re.DOTALL)
    whole = _ASSIGNMENT.fullmatch(text.strip())
    if whole and (inner := _SUBSTITUTION.fullmatch(whole["value"].strip())):
        yield from _parts(inner["inner"])
        return
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for word in lexer:
        if _OPERATORS.fullmatch(word):
            yield words
            words = []
        elif re.fullmatch(r"[<>]+&?", word):
            skip = True
        elif skip:
            skip = False
        else:
            words.append(word)
    yield words


def _without_assignments(words: list[str]) -> list[str]:
    while words and (_ASSIGNMENT.fullmatch(words[0]) or words[0] == "export"):
        words = words[1:]
    return words if words and words[0] not in _SHELL_S_OWN else []
