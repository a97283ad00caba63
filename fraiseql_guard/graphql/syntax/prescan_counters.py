"""Counts depth, aliases, root fields and repeated keys from tokens alone, to refuse a document before it is parsed.

Parsing and analyzing cost many times as much as the scan. So the scan counts whatever needs no parser: a name followed
by a colon between two braces is an alias, names side by side are response keys, and so on. The counts are lower bounds:
what fragments add and what @skip may remove is left to the analysis, which alone accepts a document.
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
    """The counts at which the scan stops, since the document is refused at these in any case."""

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
    """Counts by the tokens outside of parentheses. No count exceeds that of the analysis.

    Methods for a token return whether to stop the scan, because a count is out of bounds or no definition begins so.
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
        self._blocks: list[PrescanBlock] = []  # the open blocks, innermost last
        self._block = _OUTSIDE  # the innermost open block
        self._definition = ""  # first word of the current definition; empty between two
        self._last = ""  # the token before, if it gives a name another meaning: ... on @ :
        self._key = self._field = self._on = ""
        self._inline = self._conditional = False  # the next block is an inline fragment; a directive may remove it
        self._own, self._roots = AliasTotals(), 0  # aliases and root fields of the current definition
        self.depth = self.aliases = self.root_fields = self.operations = self.fragments = 0
        self.repetitions = 1
        self._most_repeated: Trail = None
        self.foreign = False
        """Whether the scan met a type system definition, which cannot be executed."""
        self.stray = False
        """Whether the scan met a word that begins no definition."""

    @property
    def path(self) -> tuple[str, ...]:
        """The path of the response key that is repeated most often."""
        return unfold(self._most_repeated)[::-1]

    def name(self, text: str) -> bool:
        """Count a name: a response key, unless the token before gives it another meaning."""
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
        """Handle a name that the token before, or the place outside of braces, gives another meaning."""
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
        """Count the alias of the field ``name``. A single alias of a field only renames it: from the second on all
        count.
        """
        self._field = name
        level = self._block.level
        key = level.keys.get(self._key)
        if key is None or key[0] > 1 or name == self._key:  # no alias of a field, or a repeated one
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
        """Note that the name before was an alias."""
        self._last = ":"
        return False

    def spread(self) -> bool:
        """Note that a fragment's name or an inline fragment follows."""
        self._last = "..."
        self._on = ""
        self._inline, self._conditional = True, False
        return False

    def directive(self) -> bool:
        """Note a directive, which may remove the field before it or the block after it."""
        self._last = "@"
        self._conditional = True
        # It may remove the root field that was just counted, which is not certain any more.
        if self._block.depth == 1 and not self._inline:
            self._roots -= 1
        return False

    def open(self) -> bool:
        """Open a block."""
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
        """Close a block."""
        if self._blocks.pop().typed:
            self._own = self._own.close()
        self._block = self._blocks[-1] if self._blocks else _OUTSIDE
        self._last, self._inline, self._conditional = "", False, False
        if self._block is _OUTSIDE:
            self._end(self._roots)

    def cut(self) -> None:
        """End the counts where the scan stops. The last field does not count: a directive may follow that removes
        it."""
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
