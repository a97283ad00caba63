"""Makes the denials of GraphQL requests. They tell numbers and places, and repeat at most a field's name of the
text."""

from __future__ import annotations

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import Code, PolicyName

UNPARSED_TOKENS = 10
"""Tokens of the rate limit that a request with an unparsable document costs."""

LONGEST_NAME = 100
"""Most characters of a field's name that a denial repeats."""

FOREIGN = "The document holds definitions that cannot be executed."


def offence_factor(code: Code) -> int:
    """The multiple of a limit from which on exceeding it is an offence. It is higher for complexity, which is an
    estimate that may be wrong by a few times; depth and length are exact."""
    return 10 if code is signals.QUERY_TOO_COMPLEX else 2


def over(code: Code, limit: float, actual: float, *, offends: bool = False, path: str | None = None) -> Denial:
    """The denial for an exceeded limit. With ``offends`` it is an offence from :func:`offence_factor` times the limit
    on.
    """
    # Far above the limit is no mistake of an honest client.
    offence = PolicyName.DOS if offends and actual >= offence_factor(code) * limit else None
    return Denial(code, limit=limit, actual=actual, path=path, offence=offence)


def syntax_error(text: str, offset: int) -> Denial:
    """The denial for a syntax error at the character ``offset``. Its detail gives line and column, and no text."""
    # Lines end as the specification says: with LF, CR, or both.
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return Denial(
        signals.GRAPHQL_PARSE_FAILED, detail=f"Syntax error at line {line}, column {column}.", tokens=UNPARSED_TOKENS
    )


def malformed(detail: str) -> Denial:
    """The denial for a request that is not well-formed."""
    return Denial(signals.BAD_REQUEST, detail=detail)


def contradiction(detail: str, path: tuple[str, ...] = ()) -> Denial:
    """The denial for a document that contradicts itself or the schema."""
    return Denial(signals.GRAPHQL_INVALID, detail=detail, path=".".join(path) or None)


def unknown_field(owner: str, name: str, path: tuple[str, ...]) -> Denial:
    """The denial for a field that the type ``owner`` lacks, in the words of graphql-core but without suggestions."""
    shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
    return contradiction(f"Cannot query field '{shown}' on type '{owner}'.", path)
