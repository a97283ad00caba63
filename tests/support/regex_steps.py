"""Counts what a regular expression costs on a text, step by step: a backtracking matcher over ``re``'s own syntax tree.

It takes the same turns as the library's engine, but counts them, so that growth is measured without a clock.
"""

from __future__ import annotations

import re
import re._compiler as compiler  # type: ignore[import-not-found]
import re._constants as ops  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, AnyStr, Generic

FULL, CHAIN, SCAN = "fullmatch", "match", "scan"
"""How a pattern is used: on a whole text; again and again from where it ended; searched for everywhere."""

ONE_CHARACTER = frozenset({ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN})
_REPEATS = frozenset({ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT})
Node = tuple[Any, Any]


def tree_of(pattern: re.Pattern[Any]) -> list[Node]:
    """The syntax tree of a pattern."""
    return list(parser.parse(pattern.pattern, pattern.flags))


def compiled(node: Node, flags: int) -> re.Pattern[Any]:
    """One node as a pattern of its own."""
    state = parser.State()
    state.flags = flags
    return compiler.compile(parser.SubPattern(state, [node]), flags)  # type: ignore[no-any-return]


class _TooManyError(Exception):
    """More steps than are counted."""


class Steps(Generic[AnyStr]):
    """A pattern whose every use counts its steps, up to ``most``."""

    def __init__(self, pattern: re.Pattern[AnyStr], *, most: int = 100_000) -> None:
        self._most = most
        self._tree = tree_of(pattern)
        self._flags = pattern.flags
        self._known: dict[tuple[int, int], re.Pattern[Any]] = {}
        self._text: AnyStr = pattern.pattern[:0]
        self._taken = 0

    def count(self, text: AnyStr, use: str) -> int:
        """How many steps one use takes."""
        self._text, self._taken = text, 0
        with suppress(_TooManyError):
            {FULL: self._full, CHAIN: self._chain, SCAN: self._scan}[use]()
        return self._taken

    def first_end(self, text: AnyStr, position: int = 0) -> int | None:
        """Where a match at a position ends; None if there is none."""
        self._text, self._taken = text, 0
        return next(self._sequence(self._tree, position, self._flags), None)

    def _full(self) -> None:
        whole = len(self._text)
        any(end == whole for end in self._sequence(self._tree, 0, self._flags))

    def _chain(self) -> None:
        position: int | None = 0
        while position is not None and position < len(self._text):
            end = next(self._sequence(self._tree, position, self._flags), None)
            position = end if end != position else None

    def _scan(self) -> None:
        position = 0
        while position <= len(self._text):
            end = next(self._sequence(self._tree, position, self._flags), None)
            position = max(position + 1, end or 0)

    def _sequence(self, nodes: list[Node], position: int, flags: int) -> Iterator[int]:
        """All ends of these nodes in a row, in the order in which the engine tries them."""
        if not nodes:
            yield position
            return
        stack = [self._ends(nodes[0], position, flags)]
        while stack:
            self._taken += 1
            end = next(stack[-1], None)
            if end is None:
                stack.pop()
            elif len(stack) == len(nodes):
                yield end
            else:
                stack.append(self._ends(nodes[len(stack)], end, flags))

    def _ends(self, node: Node, position: int, flags: int) -> Iterator[int]:
        self._taken += 1
        if self._taken > self._most:
            raise _TooManyError
        op, argument = node
        if op in ONE_CHARACTER:
            return iter((position + 1,) if self._fits(node, position, flags) else ())
        if op is ops.AT:
            return iter((position,) if self._fits(node, position, flags) else ())
        if op in _REPEATS:
            return self._repeat(op, argument, position, flags)
        if op is ops.BRANCH:
            return (end for branch in argument[1] for end in self._sequence(list(branch), position, flags))
        if op is ops.SUBPATTERN:
            _, added, removed, inner = argument
            return self._sequence(list(inner), position, (flags | added) & ~removed)
        if op is ops.ATOMIC_GROUP:
            return self._first(self._sequence(list(argument), position, flags))
        if op in (ops.ASSERT, ops.ASSERT_NOT):
            return self._look(op, argument, position, flags)
        if op is ops.FAILURE:
            return iter(())
        raise NotImplementedError(f"{op} is not counted yet: teach it to {__name__}")

    def _fits(self, node: Node, position: int, flags: int) -> bool:
        key = id(node), flags  # nodes live as long as the tree
        one = self._known.get(key)
        if one is None:
            one = self._known[key] = compiled(node, flags)
        return one.match(self._text, position) is not None

    @staticmethod
    def _first(ends: Iterator[int]) -> Iterator[int]:
        end = next(ends, None)
        return iter(() if end is None else (end,))

    def _look(self, op: Any, argument: Any, position: int, flags: int) -> Iterator[int]:
        direction, inner = argument
        begin = position if direction > 0 else position - inner.getwidth()[0]
        ends = self._sequence(list(inner), begin, flags) if begin >= 0 else iter(())
        return iter((position,) if (next(ends, None) is not None) == (op is ops.ASSERT) else ())

    def _repeat(self, op: Any, argument: Any, position: int, flags: int) -> Iterator[int]:
        least, most, inner = argument
        nodes = list(inner)
        if len(nodes) == 1 and nodes[0][0] in ONE_CHARACTER and op is not ops.MIN_REPEAT:
            ends = self._run(least, most, nodes[0], position, flags)
        else:
            ends = self._repeated(least, most, nodes, position, flags, lazy=op is ops.MIN_REPEAT)
        return self._first(ends) if op is ops.POSSESSIVE_REPEAT else ends

    def _run(self, least: int, most: int, node: Node, position: int, flags: int) -> Iterator[int]:
        """A repeated character: the longest run first."""
        end = position
        while end - position < most and self._fits(node, end, flags):
            self._taken += 1
            end += 1
        while end - position >= least:
            yield end
            self._taken += 1
            end -= 1

    def _repeated(
        self, least: int, most: int, nodes: list[Node], position: int, flags: int, *, lazy: bool
    ) -> Iterator[int]:
        body: Callable[[int], Iterator[int]] = lambda at: self._sequence(nodes, at, flags)  # noqa: E731
        ends, stack = [position], [iter(()) if most == 0 else body(position)]
        if lazy and least == 0:
            yield position
        while stack:
            self._taken += 1
            end = next(stack[-1], None)
            if end is None:
                stack.pop()
                last = ends.pop()
                if not lazy and len(stack) >= least:
                    yield last
            elif end == ends[-1] and len(stack) > least:
                continue  # an empty round brings nothing
            else:
                stack.append(body(end) if len(stack) < most else iter(()))
                ends.append(end)
                if lazy and len(stack) > least:
                    yield end
