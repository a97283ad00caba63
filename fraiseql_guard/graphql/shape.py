"""The shape of a document as far as its tokens make it certain: what is refused before the parser has cost anything.

Parsing costs twenty times as much as the scan. So the scan also counts what no parser is needed for: a name followed
by a colon between two braces is an alias, names side by side are response keys, and so on. These are lower bounds: what
fragments add, and what @skip may take out, is left to the measuring walk, which alone accepts a document.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_OPERATIONS: Final = frozenset({"query", "mutation", "subscription"})
_DEFINITIONS: Final = frozenset(
    {"schema", "scalar", "type", "interface", "union", "enum", "input", "directive", "extend"}
)

_Level = dict[str, "_Key"]
"""The response keys of selections that execution merges."""


@dataclass(slots=True, eq=False)
class _Key:
    times: int = 0
    inside: _Level = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Block:
    """What stands between two braces. Inline fragments share the level of what they stand in."""

    level: _Level
    depth: int  # of the fields in it
    path: tuple[str, ...]
    certain: bool  # no directive further out can take it away


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where counting stops: there is nothing to learn from more."""

    aliases: int
    root_fields: int
    repetitions: int
    operations: int
    fragments: int
    nesting: int


_ANY: Final = 10**9
UNBOUNDED: Final = Bounds(_ANY, _ANY, _ANY, _ANY, _ANY, nesting=200)


class Shape:
    """Fed with the tokens outside of parentheses. What is reported is never more than the measuring walk finds."""

    __slots__ = (
        "_blocks",
        "_bounds",
        "_conditional",
        "_definition",
        "_inline",
        "_key",
        "_last",
        "_own_aliases",
        "_plain",
        "_roots",
        "aliases",
        "depth",
        "foreign",
        "fragments",
        "operations",
        "path",
        "repetitions",
        "root_fields",
        "stray",
    )

    def __init__(self, bounds: Bounds, *, plain: bool = False) -> None:
        self._bounds = bounds
        self._plain = plain  # there is no directive in the whole text
        self._blocks: list[_Block] = []
        self._definition = ""  # its first word
        self._last = ""  # the token before, if it says what a name is: ... on @ :
        self._key = ""
        self._inline = self._conditional = False  # what is said of the next block
        self._own_aliases = self._roots = 0  # of this definition
        self.depth = self.aliases = self.root_fields = self.repetitions = self.operations = self.fragments = 0
        self.path: tuple[str, ...] = ()
        """Of the key that is repeated most."""
        self.foreign = False
        """A type system definition stands here."""
        self.stray = False
        """No definition begins like this."""

    def name(self, text: str) -> bool:
        """Whether to stop."""
        last, self._last = self._last, ""
        if not self._blocks:
            return not self._definition and self._begin(text)
        if last:
            if last == "..." and text == "on":
                self._last = "on"
            elif last == "..." and self._plain:  # a fragment has a field at least, if nothing is taken out
                return self._root_field()
            return False
        block = self._blocks[-1]
        self._key = text
        self._inline = self._conditional = False
        key = block.level.get(text)
        if key is None:
            key = block.level[text] = _Key()
        key.times += 1
        if key.times > self.repetitions:
            self.repetitions = key.times
            self.path = (*block.path, text) if key.times > 1 else ()
        return self._root_field() or self.repetitions >= self._bounds.repetitions

    def _root_field(self) -> bool:
        block = self._blocks[-1]
        if block.depth == 1 and block.certain and self._definition != "fragment":
            self._roots += 1
        return self._roots > self._bounds.root_fields

    def punctuator(self, text: str) -> bool:
        """Whether to stop."""
        if text == "...":
            self._spread()
        return text == ":" and self._colon()

    def _colon(self) -> bool:
        """The name before was an alias."""
        self._last = ":"
        if self._blocks:
            self._own_aliases += 1
        return self._own_aliases >= self._bounds.aliases

    def _spread(self) -> None:
        """A fragment's name, or the block of an inline fragment comes."""
        self._last = "..."
        self._inline, self._conditional = True, False

    def directive(self) -> None:
        """It may take out the field before, or the block to come."""
        self._last = "@"
        self._conditional = True
        if self._blocks and not self._inline and self._blocks[-1].depth == 1:
            self._roots -= 1

    def open(self) -> bool:
        """Whether to stop at a brace that opens."""
        self._last = ""
        if not self._blocks:
            stop = not self._definition and self._begin("query")
            self._blocks.append(_Block({}, 1, (), True))
            self._inline = self._conditional = False
            return stop
        outer = self._blocks[-1]
        certain = outer.certain and not self._conditional
        if self._inline:
            block = _Block(outer.level, outer.depth, outer.path, certain)
        else:
            key = outer.level.get(self._key)
            block = _Block(key.inside if key else {}, outer.depth + 1, (*outer.path, self._key), certain)
            if certain and self._definition != "fragment":
                self.depth = max(self.depth, outer.depth)
        self._blocks.append(block)
        self._inline = self._conditional = False
        return len(self._blocks) >= self._bounds.nesting

    def close(self) -> None:
        """A brace closes."""
        self._blocks.pop()
        self._last, self._inline, self._conditional = "", False, False
        if not self._blocks:
            self._end(self._roots)

    def cut(self) -> None:
        """Nobody looks further. A directive that takes out the last field may come next."""
        self._end(self._roots - 1)

    def _end(self, roots: int) -> None:
        self.aliases = max(self.aliases, self._own_aliases)
        self.root_fields = max(self.root_fields, roots)
        self._own_aliases = self._roots = 0
        self._definition = ""

    def _begin(self, word: str) -> bool:
        self._definition = word
        if word in _OPERATIONS:
            self.operations += 1
        elif word == "fragment":
            self.fragments += 1
        else:
            self.foreign = word in _DEFINITIONS
            self.stray = not self.foreign
            return True
        return self.operations >= self._bounds.operations or self.fragments >= self._bounds.fragments
