"""The reference of the ``fraiseql-guard`` command, from the command itself: each command with its options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from fraiseql_guard.cli import app

_NAME = "fraiseql-guard"


def commands_reference() -> str:
    """A heading, the usage, what it does and its options for each command, in alphabetical order."""
    return "\n\n".join(_section(path, command) for path, command in sorted(_leaves(_NAME, get_command(app))))


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that does something, under the words that are typed."""
    children = getattr(command, "commands", {})
    if not children or (getattr(command, "invoke_without_command", False) and path != _NAME):
        yield path, command
    for name, child in children.items():
        yield from _leaves(f"{path} {name}", child)


def _section(path: str, command: Any) -> str:
    words = " ".join([path, "[OPTIONS]", *(_metavar(each) for each in command.params if _is_argument(each))])
    lines = [f"### {path.removeprefix(_NAME + ' ')}", "", f"`{words}`", "", _sentences(command.help or "")]
    rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        lines += ["", "| argument or option | default | what it does |", "|---|---|---|", *rows]
    return "\n".join(lines)


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _row(parameter: Any) -> str:
    if _is_argument(parameter):
        name = f"`{_metavar(parameter)}`"
    else:
        spelled = ", ".join(parameter.opts)
        switch = getattr(parameter, "is_flag", False)
        name = f"`{spelled}`" if switch else f"`{spelled} {parameter.metavar or 'VALUE'}`"
    return f"| {_cell(name)} | {_default(parameter)} | {_cell(_sentences(getattr(parameter, 'help', None) or ''))} |"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if value in (None, False, "", (), []) or callable(value) or getattr(parameter, "is_flag", False):
        return ""
    return f"`{_cell(str(getattr(value, 'value', value)))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentences(text: str) -> str:
    """Text of the command as text of a page: nothing in it is a mark."""
    return re.sub(r"([`*<])", r"\\\1", " ".join(text.split()))
