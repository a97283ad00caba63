"""Texts that make a regular expression work as hard as it can, made from its own syntax tree.

What costs most is what nearly matches: the examples of its parts, over and over, with a beginning that leads to them
and an end that no match has.
"""

from __future__ import annotations

import itertools
import re
import re._constants as ops  # type: ignore[import-not-found]
from collections.abc import Iterator
from typing import Any, AnyStr

from tests.support.regex_steps import ONE_CHARACTER, Node, compiled, tree_of

_LETTERS = [chr(number) for number in (*range(97, 123), *range(65, 91), *range(48, 58))]
_ALPHABET = [*_LETTERS, *' \t\n\r"', *(chr(n) for n in range(33, 127)), "\x00", "\x7f", "\xe9", "\u2028"]
_LONG = 8
"""A repetition that may go on for longer is worth pumping."""
_MOST_PAIRS = 7


class _Examples:
    """Examples of what a pattern matches, and of each part that it repeats, with what leads there."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        self._bytes = isinstance(pattern.pattern, bytes)
        self._alphabet = [letter for letter in dict.fromkeys(_ALPHABET) if not self._bytes or ord(letter) < 256]
        self.sets: set[frozenset[str]] = set()
        self.repeated: list[tuple[str, str]] = []  # what leads to it, and one round
        self.whole = self._row(tree_of(pattern), "", pattern.flags)

    def classes(self) -> list[str]:
        """One character for each kind of characters that the pattern tells apart."""
        ordered = sorted(self.sets, key=sorted)
        found: dict[tuple[bool, ...], str] = {}
        for letter in self._alphabet:
            found.setdefault(tuple(letter in one for one in ordered), letter)
        return list(found.values())

    def _row(self, nodes: list[Node], before: str, flags: int) -> str:
        text = ""
        for node in nodes:
            text += self._of(node, before + text, flags)
        return text

    def _of(self, node: Node, before: str, flags: int) -> str:
        op, argument = node
        if op in ONE_CHARACTER:
            return self._letter(node, flags)
        if op is ops.BRANCH:
            texts = [self._row(list(branch), before, flags) for branch in argument[1]]  # each is looked into
            return texts[0]
        if op is ops.SUBPATTERN:
            return self._row(list(argument[3]), before, (flags | argument[1]) & ~argument[2])
        if op is ops.ATOMIC_GROUP:
            return self._row(list(argument), before, flags)
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            return self._rounds(argument, before, flags)
        if op in (ops.ASSERT, ops.ASSERT_NOT):
            self._row(list(argument[1]), before, flags)
        return ""

    def _rounds(self, argument: Any, before: str, flags: int) -> str:
        least, most, inner = argument
        nodes = list(inner)
        rounds = [self._row(nodes, before, flags)]
        if len(nodes) == 1 and nodes[0][0] is ops.BRANCH:
            rounds = [self._row(list(branch), before, flags) for branch in nodes[0][1][1]]
        if len(nodes) == 1 and nodes[0][0] is ops.SUBPATTERN:
            self._rounds((least, most, nodes[0][1][3]), before, flags)
        if most >= _LONG:
            self.repeated += [(before, one) for one in rounds if one]
        return rounds[0] * max(1, least) if least < 1000 else rounds[0]

    def _letter(self, node: Node, flags: int) -> str:
        one = compiled(node, flags)
        fits = [x for x in self._alphabet if one.match(x.encode("latin-1") if self._bytes else x)]
        self.sets.add(frozenset(fits))
        if fits:
            return fits[0]
        return chr(node[1]) if node[0] is ops.LITERAL else ""


def hard_texts(pattern: re.Pattern[AnyStr]) -> Iterator[tuple[AnyStr, AnyStr, AnyStr]]:
    """Beginnings, what to repeat after them, and endings."""
    examples = _Examples(pattern)
    classes, repeated = examples.classes(), list(dict.fromkeys(examples.repeated))
    rounds = list(dict.fromkeys(one for _, one in repeated))
    pumps = [*classes, *rounds, *(before + one for before, one in repeated), examples.whole]
    pumps += map("".join, itertools.permutations(rounds[:_MOST_PAIRS], 2))
    if len(classes) <= _MOST_PAIRS:
        pumps += map("".join, itertools.permutations(classes, 2))
    beginnings = dict.fromkeys(["", *(before for before, _ in repeated)])
    endings = dict.fromkeys(["", *(classes if len(classes) <= _MOST_PAIRS else (classes[0], classes[-1]))])
    for pump in dict.fromkeys(filter(None, pumps)):
        for beginning, ending in itertools.product(beginnings, endings):
            yield tuple(_as(pattern, part) for part in (beginning, pump, ending))  # type: ignore[misc]


def _as(pattern: re.Pattern[AnyStr], text: str) -> AnyStr:
    return text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text  # type: ignore[return-value]
