"""What a statement does to which table: enough to tell slow queries apart, for labels and log lines. No SQL parser."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from fraiseql_guard.core.context import Statement
from fraiseql_guard.core.lru import Memo
from fraiseql_guard.telemetry.database.sql_tokens import Token, tokens

_PREFIX_CHARS: Final = 8192
_PREFIX_TOKENS: Final = 1000
_REMEMBERED: Final = 512

UNKNOWN: Final = Statement("other", "")

_VERBS: Final = frozenset({"select", "insert", "update", "delete", "merge", "values", "table"})
_LEADS_TO_TABLE: Final = frozenset({"from", "join", "into", "update"})
_MODIFIERS: Final = frozenset({"only", "lateral"})
# Words that stand before a parenthesis and call nothing, and functions that only wrap the one that matters.
_NO_FUNCTION: Final = frozenset(
    """
    all and any array as between by case cast coalesce count distinct else exists filter from greatest group having in
    into is jsonb_agg jsonb_build_array jsonb_build_object json_agg json_build_object least like limit not nullif
    offset on or order over row row_to_json select some then to_json to_jsonb union using values when where within
    """.split()
)
_MARK_AT_END: Final = Token("mark", "")


class Statements:
    """Describes statements and remembers what it found. Never raises; whatever it cannot tell is ``other``."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: Memo[str, Statement] = Memo(parse, _REMEMBERED)

    @property
    def remembered(self) -> int:
        """How many statements are remembered, told apart without the values in them."""
        return len(self._known)

    def describe(self, statement: Any) -> Statement:
        """Of SQL as str or bytes, or of psycopg.sql's Composed and SQL."""
        try:
            return self._known[text_of(statement)]
        except Exception:  # noqa: BLE001 - what a statement is called must never be the reason that it fails
            return UNKNOWN


def text_of(statement: Any) -> str:
    """The beginning of a statement, without the values that psycopg's Literal puts into it."""
    if isinstance(statement, str):
        return statement[:_PREFIX_CHARS]
    if isinstance(statement, bytes | bytearray | memoryview):
        return bytes(statement[:_PREFIX_CHARS]).decode(errors="replace")
    parts: list[str] = []
    _gather(statement, parts)
    return "".join(parts)[:_PREFIX_CHARS]


def _gather(composable: Any, parts: list[str]) -> None:
    for part in composable if type(composable).__name__ == "Composed" else (composable,):
        kind = type(part).__name__
        if kind in ("SQL", "Identifier"):
            parts.append(part.as_string(None))
        elif kind == "Composed":
            _gather(part, parts)
        else:  # a Literal's value must not make a statement unlike all others; a Placeholder is none of our business
            parts.append(" ? ")
        if len(parts) > _PREFIX_CHARS:
            return


def parse(text: str) -> Statement:
    """The kind of a statement, and the first table, view or function that it is about.

    Names are as PostgreSQL reads them (lower case unless quoted), with their schema unless that is ``public``.
    A SELECT that is all about one function is a ``call``. Linear in the text, and never looks beyond its beginning.
    """
    found = list(islice(tokens(text[:_PREFIX_CHARS]), _PREFIX_TOKENS))
    start, ctes = _main_verb(found)
    verb = found[start].text if start < len(found) and found[start].kind == "word" else ""
    if verb == "select":
        return _select(found, start, ctes)
    if verb in ("insert", "delete", "merge"):
        place = _first_word(found, start, "from" if verb == "delete" else "into")
        return Statement("other" if verb == "merge" else verb, _name_at(found, place + 1))
    if verb == "update":
        return Statement(verb, _name_at(found, start + 1))
    if verb == "call":
        return Statement(verb, _name_at(found, start + 1))
    if verb == "table":
        return Statement("select", _name_at(found, start + 1))
    return Statement("select", "") if verb == "values" else UNKNOWN


def _main_verb(found: list[Token]) -> tuple[int, frozenset[str]]:
    """Where the statement itself begins, after opening parentheses and WITH, and the names that WITH defines."""
    start = next((place for place, token in enumerate(found) if token.text != "("), len(found))
    if start >= len(found) or found[start] != ("word", "with"):
        return start, frozenset()
    names: set[str] = set()
    depth = 0
    for place in range(start + 1, len(found)):
        token, before = found[place], found[place - 1]
        if token.kind == "mark":
            depth += (token.text == "(") - (token.text == ")")
        elif depth == 0 and token.is_name:
            if token.kind == "word" and (token.text == "select" or (token.text in _VERBS and before.text == ")")):
                return place, frozenset(names)
            if before.text in ("with", "recursive", ","):
                names.add(token.text)
    return len(found), frozenset(names)


def _select(found: list[Token], start: int, ctes: frozenset[str]) -> Statement:
    depth, reads = 0, False
    for place in range(start + 1, len(found)):
        token = found[place]
        if token.kind == "mark":
            depth += (token.text == "(") - (token.text == ")")
            if depth < 0:
                break
        elif depth == 0 and token == ("word", "from") and found[place - 1] != ("word", "distinct"):
            name, reads = _name_at(found, place + 1), True
            if name and name not in ctes:
                return Statement("call" if _is_called(found, place + 1) else "select", name)
            break
    name = _first_table(found, ctes)
    if name or reads:
        return Statement("select", name)
    function = next(_functions(found, start), "")
    return Statement("call" if function else "select", function)


def _first_table(found: list[Token], ctes: frozenset[str]) -> str:
    """The first table at any depth: of a subquery, or of what WITH defines."""
    for place, token in enumerate(found):
        if token.kind == "word" and token.text in _LEADS_TO_TABLE and found[place - 1] != ("word", "distinct"):
            name = _name_at(found, place + 1)
            if name and name not in ctes and not _in_function(found, place):
                return name
    return ""


def _in_function(found: list[Token], place: int) -> bool:
    """extract(year FROM x), substring(x FROM 1), trim(both FROM x): a FROM that belongs to a function."""
    depth = 0
    for before in range(place - 1, max(-1, place - 32), -1):
        text = found[before].text
        depth += (text == ")") - (text == "(")
        if depth < 0:
            return before > 0 and found[before - 1].text in ("extract", "substring", "trim", "overlay", "position")
    return False


def _functions(found: list[Token], start: int) -> Iterator[str]:
    for place in range(start + 1, len(found) - 1):
        token = found[place]
        qualified = found[place - 1].text == "."
        if token.is_name and not qualified and token.text not in _NO_FUNCTION and _is_called(found, place):
            yield _name_at(found, place)


def _first_word(found: list[Token], start: int, word: str) -> int:
    return next((place for place in range(start, len(found)) if found[place] == ("word", word)), len(found))


def _name_at(found: list[Token], place: int) -> str:
    return ".".join(_public_dropped([token.text for token in _name_tokens(found, place)]))


def _public_dropped(parts: list[str]) -> list[str]:
    return parts[1:] if len(parts) > 1 and parts[0] == "public" else parts


def _is_called(found: list[Token], place: int) -> bool:
    after = _skip_modifiers(found, place) + max(0, 2 * len(_name_tokens(found, place)) - 1)
    return (found[after] if after < len(found) else _MARK_AT_END) == ("mark", "(")


def _name_tokens(found: list[Token], place: int) -> list[Token]:
    """The parts of the name that begins there: ``schema . name``."""
    place = _skip_modifiers(found, place)
    parts: list[Token] = []
    while place < len(found) and found[place].is_name and len(parts) < 3:
        parts.append(found[place])
        if place + 1 >= len(found) or found[place + 1] != ("mark", "."):
            break
        place += 2
    return parts


def _skip_modifiers(found: list[Token], place: int) -> int:
    while place < len(found) and found[place].kind == "word" and found[place].text in _MODIFIERS:
        place += 1
    return place
