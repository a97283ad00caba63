"""Counts of a document as far as its tokens make them certain: what is refused before the parser has cost anything.

Parsing and analyzing cost many times as much as the scan. So the scan also counts what no parser is needed for: a name
followed by a colon between two braces is an alias, names side by side are response keys, and so on. These are lower
bounds: what fragments add, and what @skip may take out, is left to the analysis, which alone accepts a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fraiseql_guard.graphql.syntax.counts import Trail, unfold
from fraiseql_guard.graphql.syntax.prescan_blocks import AliasTotals, PrescanBlock, PrescanLevel

_OPERATIONS: Final = frozenset({"query", "mutation", "subscription"})
_DEFINITIONS: Final = frozenset(
    {"schema", "scalar", "type", "interface", "union", "enum", "input", "directive", "extend"}
)


@dataclass(frozen=True, slots=True)
class PrescanBounds:
    """Where counting stops: there is nothing to learn from more."""

    aliases: int
    root_fields: int
    repetitions: int
    operations: int
    fragments: int
    nesting: int


_ANY: Final = 10**9
UNBOUNDED: Final = PrescanBounds(_ANY, _ANY, _ANY, _ANY, _ANY, nesting=200)
_OUTSIDE: Final = PrescanBlock(PrescanLevel(), 0, None, certain=False, counts=False)


class PrescanCounters:
    """Counts by the tokens outside of parentheses. No count is more than what the analysis of the document finds.

    Methods answer whether the scan is to stop because a count is out of bounds.
    """

    __slots__ = (
        "_block",
        "_blocks",
        "_bounds",
        "_conditional",
        "_definition",
        "_edges_node_one_level",
        "_field",
        "_inline",
        "_key",
        "_last",
        "_most_repeated",
        "_on",
        "_own",
        "_plain",
        "_roots",
        "aliases",
        "depth",
        "foreign",
        "fragments",
        "operations",
        "repetitions",
        "root_fields",
        "stray",
    )

    def __init__(self, bounds: PrescanBounds, *, plain: bool = False, edges_node_one_level: bool = True) -> None:
        self._bounds = bounds
        self._edges_node_one_level = edges_node_one_level
        self._plain = plain  # there is no directive in the whole text
        self._blocks: list[PrescanBlock] = []  # the open ones
        self._block = _OUTSIDE  # the innermost
        self._definition = ""  # its first word
        self._last = ""  # the token before, if it says what a name is: ... on @ :
        self._key = self._field = self._on = ""
        self._inline = self._conditional = False  # what is said of the next block
        self._own, self._roots = AliasTotals(), 0  # of this definition
        self.depth = self.aliases = self.root_fields = self.operations = self.fragments = 0
        self.repetitions = 1
        self._most_repeated: Trail = None
        self.foreign = False
        """A type system definition stands here."""
        self.stray = False
        """No definition begins like this."""

    @property
    def path(self) -> tuple[str, ...]:
        """Of the key that is repeated most."""
        return unfold(self._most_repeated)[::-1]

    def name(self, text: str) -> bool:
        """A name: a response key, unless the token before says otherwise. Whether to stop."""
        block = self._block
        # One test for the usual case: a field's name is preceded by nothing that gives it another meaning.
        if self._last or block is _OUTSIDE:
            return self._named(text)
        self._key = self._field = text
        self._inline = self._conditional = False
        # Root fields count by themselves, whatever their keys.
        if block.counts:
            self._roots += 1
            if self._roots > self._bounds.root_fields:
                return True
        # Equal keys of one level are merged by execution.
        keys = block.level.keys
        if text not in keys:
            keys[text] = [1, None]
            return False
        key = keys[text]
        key[0] += 1
        if key[0] > self.repetitions:
            self.repetitions = key[0]
            self._most_repeated = text, block.trail
        return self.repetitions >= self._bounds.repetitions

    def _named(self, text: str) -> bool:
        """A name that is no field's."""
        last, self._last = self._last, ""
        if self._block is _OUTSIDE:
            # Only the first word outside of braces begins a definition; its name and its types say nothing here.
            return not self._definition and self._begin(text)
        if last == ":":
            return self._aliased(text)
        if last == "on":
            self._on = text
        elif last == "...":
            if text == "on":
                self._last = "on"
            elif self._plain and self._block.counts:  # a fragment has a field at least, if nothing is taken out
                self._roots += 1
                return self._roots > self._bounds.root_fields
        return False

    def _aliased(self, name: str) -> bool:
        """The field behind an alias: only what asks for one again counts, with the first of its aliases."""
        self._field = name
        level = self._block.level
        key = level.keys.get(self._key)
        if key is None or key[0] > 1 or name == self._key:  # it is no alias of a field, or the same once more
            return False
        if level.aliased is None:
            level.aliased = {}
        before = level.aliased.get(name, 0)
        level.aliased[name] = before + 1
        if before:
            # The second alias of a field counts the first one, too.
            self._own.aliases += 1 if before > 1 else 2
        return self._own.aliases >= self._bounds.aliases

    def colon(self) -> bool:
        """The name before was an alias. Whether to stop."""
        self._last = ":"
        return False

    def spread(self) -> bool:
        """A fragment's name, or the block of an inline fragment comes."""
        self._last = "..."
        self._on = ""
        self._inline, self._conditional = True, False
        return False

    def directive(self) -> bool:
        """It may take out the field before, or the block to come."""
        self._last = "@"
        self._conditional = True
        # It may take out the root field just counted: what may be missing is not counted.
        if self._block.depth == 1 and not self._inline:
            self._roots -= 1
        return False

    def open(self) -> bool:
        """Whether to stop at a brace that opens."""
        self._last = ""
        stop = False
        outer = self._block
        if outer is _OUTSIDE:  # the selection of a definition
            # A selection without a keyword is a query.
            stop = not self._definition and self._begin("query")
            block = PrescanBlock(PrescanLevel(), 1, None, certain=True, counts=self._definition != "fragment")
        elif self._inline:  # an inline fragment: it adds to the level around it, or to what a type has there
            certain = outer.certain and not self._conditional
            level, counts = outer.level, outer.counts and certain
            if self._on:
                level = level.on(self._on)
                # An object is of one type only, so that of several types the most counts, and not the sum.
                self._own = AliasTotals(self._own)
            block = PrescanBlock(level, outer.depth, outer.trail, certain, counts, outer.of_edges, bool(self._on))
        else:
            block = self._below(outer)
        self._blocks.append(block)
        self._block = block
        self._inline = self._conditional = False
        return stop or len(self._blocks) >= self._bounds.nesting

    def _below(self, outer: PrescanBlock) -> PrescanBlock:
        """The block of a field."""
        key = outer.level.keys.get(self._key)
        if key is None:  # no field stands before the brace
            level = PrescanLevel()
        elif key[1] is None:
            level = key[1] = PrescanLevel()
        else:
            level = key[1]
        certain = outer.certain and not self._conditional
        counted = not (outer.of_edges and self._field == "node")
        # Only what no directive or fragment can take away makes a depth certain.
        if certain and counted and outer.depth > self.depth and self._definition != "fragment":
            self.depth = outer.depth
        of_edges = self._field == "edges" and self._edges_node_one_level
        return PrescanBlock(
            level, outer.depth + counted, (self._key, outer.trail), certain, counts=False, of_edges=of_edges
        )

    def close(self) -> None:
        """A brace closes."""
        if self._blocks.pop().typed:
            self._own = self._own.close()
        self._block = self._blocks[-1] if self._blocks else _OUTSIDE
        self._last, self._inline, self._conditional = "", False, False
        if self._block is _OUTSIDE:
            self._end(self._roots)

    def cut(self) -> None:
        """The scan ends here. A directive that takes out the last field may come next."""
        self._end(self._roots - 1)

    def _end(self, roots: int) -> None:
        # A scan that was cut ends inside of types that are still open.
        while self._own.outer is not None:
            self._own = self._own.close()
        self.aliases = max(self.aliases, self._own.aliases + self._own.typed)
        self.root_fields = max(self.root_fields, roots)
        self._own, self._roots = AliasTotals(), 0
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
