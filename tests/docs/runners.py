"""How a code block is run, by its language. A runner returns what is wrong, a line each; nothing is right."""

from __future__ import annotations

import ast
import configparser
import inspect
import json
import re
import shutil
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from graphql import GraphQLError, GraphQLSchema, build_schema, graphql, parse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from typer.testing import CliRunner

from fraiseql_guard.cli import app as command_line
from fraiseql_guard.core.settings import VARIABLES, Settings
from fraiseql_guard.core.variables import SettingsError
from tests.docs.claims import claimed_command
from tests.docs.shell import GUARD, WORKS_ALONE, Command, commands, problem
from tests.support.pages import Block
from tools.expressions import page_expressions

SECRET = "a-secret-of-thirty-two-bytes-at-least"
DEVELOPMENT = {"FRAISEQL_ENVIRONMENT": "development", "FRAISEQL_JWT_SECRET": SECRET}
_PEOPLE = "type Query { me: Person, people(limit: Int = 10): [Person!]! } type Person { id: ID!, name: String! }"
_ADA = {"id": "1", "name": "Ada"}
_SECRET_FILES = {f"{row.name}_FILE": row for row in VARIABLES if row.form.secret}


def begin() -> dict[str, Any]:
    """The names that the Python of a page begins with: an app that is not guarded, its schema, a key for tokens."""
    schema = build_schema(_PEOPLE)
    return {"app": _bare_app(schema), "schema": schema, "secret": SECRET}


def _bare_app(schema: GraphQLSchema) -> Starlette:
    async def answer(request: Request) -> JSONResponse:
        root = {"me": _ADA, "people": [_ADA]}
        result = await graphql(schema, (await request.json())["query"], root_value=root)
        return JSONResponse(result.formatted)

    return Starlette(routes=[Route("/graphql", answer, methods=["POST"])])


async def run_python(block: Block, names: dict[str, Any]) -> None:
    """Run a block in its page's names; top-level await is allowed."""
    code = compile(block, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    outcome = eval(code, names)
    if inspect.isawaitable(outcome):
        await outcome


def check_json(block: Block, _folder: Path) -> list[str]:
    """One value, or one a line."""
    try:
        json.loads(block)
    except ValueError as error:
        lines = block.splitlines()
        return [] if len(lines) > 1 and all(map(_is_json, lines)) else [str(error)]
    return []


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def check_yaml(block: Block, _folder: Path) -> list[str]:
    """One document, or several."""
    return _error_of(lambda: list(yaml.safe_load_all(block)), yaml.YAMLError)


def check_toml(block: Block, _folder: Path) -> list[str]:
    """A file of TOML."""
    return _error_of(lambda: tomllib.loads(block), tomllib.TOMLDecodeError)


def check_ini(block: Block, _folder: Path) -> list[str]:
    """Sections and values; a key may be repeated, as in units of systemd."""
    reader = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    return _error_of(lambda: reader.read_string(block), configparser.Error)


def check_graphql(block: Block, _folder: Path) -> list[str]:
    """Operations or type definitions."""
    return _error_of(lambda: parse(block), GraphQLError)


def check_dotenv(block: Block, folder: Path) -> list[str]:
    """The settings that the variables make, read as at a start."""
    lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
    wrong = [f"not NAME=value: {line}" for line in lines if not re.fullmatch(r"[A-Za-z_]\w*=.*", line)]
    return wrong or _error_of(lambda: Settings.load(_existing(variables_of(block), folder)), SettingsError)


def variables_of(block: Block) -> dict[str, str]:
    """The variables of a dotenv block: without comments, and without the quotes around a value."""
    pairs = (line.partition("=") for line in block.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): re.sub(r"\s+#.*$", "", value).strip().strip("'\"") for name, _, value in pairs}


def _existing(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The variables, with a file for each secret that is said to be in one."""
    found = dict(variables)
    for name in _SECRET_FILES.keys() & variables.keys():
        path = folder / name
        path.write_text(_SECRET_FILES[name].form.example, encoding="utf-8")
        found[name] = str(path)
    return found


def check_js(block: Block, folder: Path) -> list[str]:
    """A module that node can read; a claim says what runs it."""
    node = shutil.which("node")
    if node is None:
        return ["node is not on PATH"]
    path = folder / "block.mjs"
    path.write_text(block, encoding="utf-8")
    done = subprocess.run([node, "--check", str(path)], capture_output=True, text=True, check=False)
    return [done.stderr] if done.returncode else []


def check_promql(block: Block, _folder: Path) -> list[str]:
    """tests/operations/runbooks/test_promql.py judges every expression that is found; here it must have been found."""
    found = _judged()
    parts = re.split(r"\n\s*\n", block.strip())
    return [part for part in parts if "\n".join(_code_lines(part)).strip() not in found[block.page]]


@cache
def _judged() -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for page, expression in page_expressions():
        found[page].add(expression)
    return found


def _code_lines(part: str) -> list[str]:
    return [line for line in part.splitlines() if not line.strip().startswith("#")]


def check_shell(block: Block, folder: Path) -> list[str]:
    """Each command: ours is read by the real command line, and typed if it needs nothing; others are claimed."""
    return [found for command in commands(block) for found in _check_command(block, command, folder)]


def _check_command(block: Block, command: Command, folder: Path) -> list[str]:
    wrong = [found for words in command.programs if (found := problem(words)) not in (None, "claim")]
    if wrong or claimed_command(block, command.text):
        return wrong
    if _can_be_typed(command):
        return _type(command, folder)
    others = [words[0] for words in command.programs if problem(words) == "claim"]
    if others or command.output:
        return [f"no test claims: {command.text}"]
    return []


def _can_be_typed(command: Command) -> bool:
    programs = command.programs
    return (
        len(programs) == 1 and programs[0][:1] == [GUARD] and programs[0][1:2] != [] and programs[0][1] in WORKS_ALONE
    )


def _type(command: Command, folder: Path) -> list[str]:
    """Type a command of ours in a folder of the page's own; a console block has its output, ``...`` being anything."""
    with chdir(folder):
        done = CliRunner().invoke(command_line, command.programs[0][1:], env=DEVELOPMENT)
    said = re.sub(r"[ \t]+", " ", done.output).strip()
    if done.exit_code != command.code:
        return [f"{command.text} ends with {done.exit_code}: {said}"]
    pattern = ".*".join(map(re.escape, re.sub(r"[ \t]+", " ", command.expected).strip().split("...")))
    if command.output and not re.fullmatch(pattern, said, re.DOTALL):
        return [f"{command.text} says:\n{said}\n--- the page says:\n{command.expected}"]
    return []


def _error_of(read: Callable[[], object], *kinds: type[Exception]) -> list[str]:
    try:
        read()
    except kinds as error:
        return [str(error)]
    return []


RUNNERS: Mapping[str, Callable[[Block, Path], list[str]]] = {
    "json": check_json,
    "yaml": check_yaml,
    "toml": check_toml,
    "ini": check_ini,
    "graphql": check_graphql,
    "dotenv": check_dotenv,
    "js": check_js,
    "promql": check_promql,
    "sh": check_shell,
    "console": check_shell,
}
"""Of python see :func:`run_python`; a block of any other language needs a claim."""
