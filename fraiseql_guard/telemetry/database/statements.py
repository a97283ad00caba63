"""Finds out what a statement does to which table, for labels and log lines. No SQL parser: it reads the first tokens,
which is enough to tell slow queries apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from fraiseql_guard.core.lru import Memo
from fraiseql_guard.core.statement import Statement
from fraiseql_guard.telemetry.database.sql_tokens import Token, tokens

_PREFIX_CHARS: Final = 8192
_PREFIX_TOKENS: Final = 1000
_REMEMBERED: Final = 512

UNKNOWN: Final = Statement("other", "")

_VERBS: Final = frozenset({"select", "insert", "update", "delete", "merge", "values", "table"})
_LEADS_TO_TABLE: Final = frozenset({"from", "join", "into", "update"})
_MODIFIERS: Final = frozenset({"only", "lateral"})
# Words before a parenthesis that call no function, and functions that only wrap the function of interest.
_NO_FUNCTION: Final = frozenset(
    """
    all and any array as between by case cast coalesce count distinct else exists filter from greatest group having in
    into is jsonb_agg jsonb_build_array jsonb_build_object json_agg json_build_object least like limit not nullif
    offset on or order over row row_to_json select some then to_json to_jsonb union using values when where within
    """.split()
)
_MARK_AT_END: Final = Token("mark", "")


class Statements:
    """Describes statements, and remembers the last 512. Never raises: a statement that it cannot read is ``other``."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: Memo[str, Statement] = Memo(parse, _REMEMBERED)

    @property
    def remembered(self) -> int:
        """How many statements are remembered. Statements that differ only in psycopg's Literals are one."""
        return len(self._known)

    def describe(self, statement: Any) -> Statement:
        """Type and table of a statement: SQL as str or bytes, or a Composed or SQL object of psycopg.sql."""
        try:
            return self._known[text_of(statement)]
        except Exception:  # noqa: BLE001 - a label must never be the reason that a statement fails
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
        else:  # a Literal, whose value would make each statement a new one to remember, or a Placeholder
            parts.append(" ? ")
        # Every part has a character at least, so that this is enough text.
        if len(parts) > _PREFIX_CHARS:
            return


def parse(text: str) -> Statement:
    """The type of a statement, and the first table, view or function that it names.

    Names are as PostgreSQL reads them (lower case unless quoted), with their schema unless that is ``public``. A SELECT
    that only calls a function is a ``call``. Linear in the text, of which only the first 8,192 characters are read.
    """
    # 1. Read the first tokens. 2. Find the verb, behind parentheses and WITH. 3. Find the table that it is about.
    found = list(islice(tokens(text[:_PREFIX_CHARS]), _PREFIX_TOKENS))
    start, ctes = _main_verb(found)
    verb = found[start].text if start < len(found) and found[start].kind == "word" else ""
    if verb == "select":
        return _select(found, start, ctes)
    if verb in _NAMED_AFTER:
        query_type, word = _NAMED_AFTER[verb]
        return Statement(query_type, _name_at(found, _first_word(found, start, word) + 1))
    if verb in _NAMED_NEXT:
        return Statement(_NAMED_NEXT[verb], _name_at(found, start + 1))
    return Statement("select", "") if verb == "values" else UNKNOWN


_NAMED_AFTER: Final = {"insert": ("insert", "into"), "delete": ("delete", "from"), "merge": ("other", "into")}
"""By verb, for statements that name their table behind a certain word: the type, and that word."""
_NAMED_NEXT: Final = {"update": "update", "call": "call", "table": "select"}
"""By verb, for statements that name their table or procedure right behind it: the type."""


def _main_verb(found: list[Token]) -> tuple[int, frozenset[str]]:
    """Where the statement itself begins, behind opening parentheses and WITH, and the names that WITH defines."""
    start = next((place for place, token in enumerate(found) if token.text != "("), len(found))
    if start >= len(found) or found[start] != ("word", "with"):
        return start, frozenset()
    names: set[str] = set()
    for place in _places_outside(found, start):
        token, before = found[place], found[place - 1]
        if _begins_statement(token, before):
            return place, frozenset(names)
        # WITH a AS (...), b AS (...): a name follows WITH, RECURSIVE or a comma, outside of parentheses.
        if token.is_name and before.text in ("with", "recursive", ","):
            names.add(token.text)
    return len(found), frozenset(names)


def _places_outside(found: list[Token], start: int) -> Iterator[int]:
    """The places behind ``start`` that hold no mark and are inside of no parentheses, up to a parenthesis that closes
    one opened before ``start``."""
    depth = 0
    for place in range(start + 1, len(found)):
        token = found[place]
        if token.kind != "mark":
            if depth == 0:
                yield place
            continue
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0:
            return


def _begins_statement(token: Token, before: Token) -> bool:
    """Whether a word behind WITH begins the statement itself: a SELECT, or another verb behind a definition."""
    if token.kind != "word":
        return False
    return token.text == "select" or (token.text in _VERBS and before.text == ")")


def _select(found: list[Token], start: int, ctes: frozenset[str]) -> Statement:
    # The table that its own FROM names, unless WITH defines that name.
    place = _own_from(found, start)
    if place is not None:
        name = _name_at(found, place + 1)
        if name and name not in ctes:
            return Statement("call" if _is_called(found, place + 1) else "select", name)
    # The first table of a subquery, or of a definition of WITH.
    name = _first_table(found, ctes)
    if name or place is not None:
        return Statement("select", name)
    # A SELECT without tables, that calls a function.
    function = next(_functions(found, start), "")
    return Statement("call" if function else "select", function)


def _own_from(found: list[Token], start: int) -> int | None:
    """The place of the FROM clause of the SELECT at ``start``; None without one. IS DISTINCT FROM begins no clause."""
    for place in _places_outside(found, start):
        if found[place] == ("word", "from") and found[place - 1] != ("word", "distinct"):
            return place
    return None


def _first_table(found: list[Token], ctes: frozenset[str]) -> str:
    """The first table at any depth."""
    for place, token in enumerate(found):
        if token.kind == "word" and token.text in _LEADS_TO_TABLE and found[place - 1] != ("word", "distinct"):
            name = _name_at(found, place + 1)
            if name and name not in ctes and not _in_function(found, place):
                return name
    return ""


def _in_function(found: list[Token], place: int) -> bool:
    """Whether a FROM belongs to a function: extract(year FROM x), substring(x FROM 1), trim(both FROM x)."""
    depth = 0
    # Such functions have few words before their FROM: 32 tokens are looked at, so that the work stays linear.
    for before in range(place - 1, max(-1, place - 32), -1):
        text = found[before].text
        depth += (text == ")") - (text == "(")
        if depth < 0:
            return before > 0 and found[before - 1].text in ("extract", "substring", "trim", "overlay", "position")
    return False


def _functions(found: list[Token], start: int) -> Iterator[str]:
    """The names of the functions that are called, without the functions of _NO_FUNCTION."""
    for place in range(start + 1, len(found) - 1):
        token = found[place]
        qualified = found[place - 1].text == "."
        if token.is_name and not qualified and token.text not in _NO_FUNCTION and _is_called(found, place):
            yield _name_at(found, place)


def _first_word(found: list[Token], start: int, word: str) -> int:
    return next((place for place in range(start, len(found)) if found[place] == ("word", word)), len(found))


def _name_at(found: list[Token], place: int) -> str:
    """The name that begins at a place, with its schema unless that is ``public``; empty if there is none."""
    return ".".join(_public_dropped([token.text for token in _name_tokens(found, place)]))


def _public_dropped(parts: list[str]) -> list[str]:
    return parts[1:] if len(parts) > 1 and parts[0] == "public" else parts


def _is_called(found: list[Token], place: int) -> bool:
    # A name of n parts takes 2n - 1 tokens, with the dots between them.
    after = _skip_modifiers(found, place) + max(0, 2 * len(_name_tokens(found, place)) - 1)
    return (found[after] if after < len(found) else _MARK_AT_END) == ("mark", "(")


def _name_tokens(found: list[Token], place: int) -> list[Token]:
    """The parts of the name that begins at ``place``, without the dots: schema and name."""
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
