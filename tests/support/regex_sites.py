"""Every regular expression of the package: found in its source, and taken as it is compiled there."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import fraiseql_guard
from tests.support.regex_steps import CHAIN, FULL, SCAN

PACKAGE: Final = Path(fraiseql_guard.__file__).parent
_USES: Final = {
    "match": CHAIN,
    "fullmatch": FULL,
    **dict.fromkeys(("search", "sub", "subn", "split", "findall", "finditer"), SCAN),
}
_HARMLESS: Final = {"escape", "Pattern", "Match"} | {flag for flag in dir(re) if flag.isupper()}
_COMPILE_TOO: Final = {"regex", "fnmatch", "glob", "sre_compile", "sre_parse", "_sre"}
"""Modules that make regular expressions of what they are given."""


@dataclass(frozen=True, slots=True)
class Site:
    """One place of the source that compiles a regular expression."""

    module: str
    line: int
    function: str
    """The innermost function that it stands in; empty at the level of a module or class."""
    arguments: tuple[ast.expr, ...]
    name: str
    """What the pattern is assigned to, if that is one name."""
    use: str
    """How it is used where that is said on the spot."""

    def __str__(self) -> str:
        return f"{self.module}:{self.line}"

    @property
    def where(self) -> str:
        """Where it is compiled, without the line."""
        return f"{self.module}:{self.function}"

    def pattern(self) -> re.Pattern[Any]:
        """The pattern, from what the module's own names say. NameError if a function's own names take part."""
        names = vars(importlib.import_module(self.module))
        given = [eval(compile(ast.Expression(each), f"<{self.module}>", "eval"), names) for each in self.arguments]
        return re.compile(*given)

    def uses(self) -> set[str]:
        """All ways in which the pattern is used; every way where that cannot be told."""
        if self.use:
            return {self.use}
        known = _uses_of(self.module, self.name) if self.name else set()
        return known or {FULL, CHAIN, SCAN}


@cache
def trees() -> dict[str, ast.Module]:
    """The source of every module, by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def sites() -> list[Site]:
    """Every place that compiles a regular expression."""
    return [site for module, tree in trees().items() for site in sites_of(module, tree)]


def sites_of(module: str, tree: ast.Module) -> Iterator[Site]:
    """Those of one module."""
    yield from _inside(module, tree, "", "")


def _inside(module: str, node: ast.AST, function: str, name: str) -> Iterator[Site]:
    for child in ast.iter_child_nodes(node):
        inner, assigned = function, name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner, assigned = getattr(child, "name", "lambda"), ""
        elif isinstance(child, ast.Assign | ast.AnnAssign):
            target = child.targets[0] if isinstance(child, ast.Assign) else child.target
            direct = isinstance(child.value, ast.Call) and _is_re(child.value.func)
            assigned = target.id if direct and isinstance(target, ast.Name) else ""
        if isinstance(child, ast.Call) and _is_re(child.func):
            yield _site(module, child, function, assigned)
        elif isinstance(child, ast.Attribute) and child.attr in _USES and _is_compile(child.value):
            call: Any = child.value
            yield _site(module, call, function, "", use=_USES[child.attr])
            continue
        yield from _inside(module, child, inner, assigned)


def _is_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "re"
        and (node.attr == "compile" or node.attr in _USES)
    )


def _is_compile(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and _is_re(node.func)
        and isinstance(node.func, ast.Attribute)
        and (node.func.attr == "compile")
    )


def _site(module: str, call: ast.Call, function: str, name: str, use: str = "") -> Site:
    """The text and the flags come first in ``re.compile``; elsewhere the flags come last."""
    assert isinstance(call.func, ast.Attribute)
    named = {each.arg: each.value for each in call.keywords}
    count = {"sub": 2, "subn": 2}.get(call.func.attr, 1)
    has_flags = len(call.args) > count + (call.func.attr != "compile")
    flags = [named["flags"]] if "flags" in named else call.args[-1:] if has_flags else []
    arguments = (call.args[0], *flags)
    return Site(module, call.lineno, function, arguments, name, use or _USES.get(call.func.attr, ""))


@cache
def _loads(module: str) -> dict[str, set[str]]:
    """Every name that a module reads, and the attributes of it that it asks for; an empty one if it does else."""
    found: dict[str, set[str]] = {}
    asked = {id(node.value): node.attr for node in ast.walk(trees()[module]) if isinstance(node, ast.Attribute)}
    for node in ast.walk(trees()[module]):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.setdefault(node.id, set()).add(asked.get(id(node), ""))
    return found


def _uses_of(module: str, name: str) -> set[str]:
    """How a pattern of a module is used, there and wherever its name is imported; nothing if that cannot be told."""
    methods = set(_loads(module).get(name, ()))
    for other, tree in trees().items():
        for known_as in _imported(tree, module, name):
            methods |= _loads(other).get(known_as, set())
    return {_USES[method] for method in methods} if methods <= _USES.keys() else set()


def _imported(tree: ast.Module, module: str, name: str) -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
        if alias.name == name
    }


def hidden(tree: ast.Module) -> list[int]:
    """Lines on which something could compile a regular expression that :func:`sites` does not see."""
    lines = [node.lineno for node in ast.walk(tree) if _hides(node)]
    seen = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_known(node)}
    lines += [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "re" and id(node) not in seen
    ]
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    lines += [node.lineno for node in ast.walk(tree) if _is_re(node) and id(node) not in called]  # type: ignore[attr-defined]
    return sorted(lines)


def _is_known(node: ast.Attribute) -> bool:
    return node.attr in _HARMLESS or node.attr == "compile" or node.attr in _USES


def _hides(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module is not None and node.module.split(".")[0] in {"re", *_COMPILE_TOO}
    if isinstance(node, ast.Import):
        return any(
            (alias.name.split(".")[0] == "re" and (alias.name != "re" or alias.asname is not None))
            or alias.name.split(".")[0] in _COMPILE_TOO
            for alias in node.names
        )
    return isinstance(node, ast.Constant) and node.value == "re"  # import_module("re")
