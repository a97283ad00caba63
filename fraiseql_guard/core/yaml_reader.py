"""Reads YAML into plain values.

Import it where a text is read, not before: most guards are given no YAML, and do not load its package.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

_IN_C: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CAUSES: Final = (yaml.YAMLError, RecursionError, ValueError, OverflowError, TypeError)
"""What a loader raises: nested deeply enough, YAML exhausts the stack of its parser; a date that is none is a
ValueError."""


class NotYamlError(ValueError):
    """A text that is not YAML. ``where`` names the line (`` in line 3``), ``problem`` what is wrong with it; both are
    empty where that is unknown."""

    def __init__(self, cause: Exception) -> None:
        mark = getattr(cause, "problem_mark", None)
        self.where = f" in line {mark.line + 1}" if mark is not None else ""
        self.problem = str(getattr(cause, "problem", None) or "")
        super().__init__(f"it is not YAML{self.where}")


def read_yaml(text: str) -> Any:
    """The value of a text. NotYamlError."""
    return _loaded(text, yaml.SafeLoader)


def read_unique_keys(text: str) -> Any:
    """The value of a text in which no mapping has a key twice. NotYamlError."""
    return _loaded(text, _UniqueKeys)


def read_shallow(text: str, *, deepest: int) -> Any:
    """The value of a text with at most so many levels, by the loader in C where there is one. NotYamlError."""
    try:
        _check_depth(text, deepest)
    except _CAUSES as error:
        raise NotYamlError(error) from None
    return _loaded(text, _IN_C)


class _UniqueKeys(yaml.SafeLoader):
    """Reads plain values, and no key twice: of two the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _loaded(text: str, loader: type) -> Any:
    try:
        return yaml.load(text, loader)  # noqa: S506 - all loaders here are safe ones
    except _CAUSES as error:
        raise NotYamlError(error) from None


def _check_depth(text: str, deepest: int) -> None:
    """ValueError for deeper nesting: the loader calls itself for each level, and one in C would end the process where
    the stack does."""
    depth = 0
    for event in yaml.parse(text, _IN_C):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > deepest:
            raise ValueError("nested too deeply")
