"""Tests look at the package from outside. ruff's SLF forbids private attributes; here is what it cannot see: private
names that are imported, and those that are replaced or read by a text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
BY_NAME = frozenset({"setattr", "getattr", "delattr", "hasattr", "__setattr__"})
FOREIGN = {
    "fraiseql/test_protect.py": {"_db_pool"},  # of FraiseQL
    "guard/test_tracing.py": {"_TRACER_PROVIDER", "_TRACER_PROVIDER_SET_ONCE"},  # of OpenTelemetry
    "support/properties.py": {"_get_local_constants"},  # of Hypothesis
}
"""Names of other software, which has no public ones for what these tests need."""


def is_private(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last.startswith("_") and not last.startswith("__")


def private_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fraiseql_guard"):
            yield from (name.name for name in node.names if is_private(name.name))
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            texts = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            if name in BY_NAME:
                yield from (text.rpartition(".")[2] for text in texts if isinstance(text, str) and is_private(text))


def test_no_test_reaches_into_the_package() -> None:
    trees = {str(path.relative_to(TESTS)): ast.parse(path.read_text(encoding="utf-8")) for path in TESTS.rglob("*.py")}
    found = {path: set(private_names(tree)) for path, tree in trees.items()}
    assert {path: names for path, names in found.items() if names} == FOREIGN


@pytest.mark.parametrize(
    "source",
    [
        "from fraiseql_guard.graphql.cost.limits import _LIMITS",
        "monkeypatch.setattr(module, '_SMALL', 0)",
        "monkeypatch.setattr('fraiseql_guard.identity.tokens._SMALL', 0)",
        "getattr(guard, '_runtime')",
        "object.__setattr__(store, '_clock', clock)",
    ],
)
def test_every_way_of_reaching_in_is_seen(source: str) -> None:
    assert list(private_names(ast.parse(source)))
