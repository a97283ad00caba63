"""Denials of GraphQL requests: they give numbers and places, and of the text of the query at most a field's name."""

from __future__ import annotations

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import Code, PolicyName

UNPARSED_TOKENS = 10
"""Tokens of the rate limit that a document which cannot be parsed costs."""

LONGEST_NAME = 100
"""Most characters of a field's name that a denial repeats."""

FOREIGN = "The document holds definitions that cannot be executed."


def offence_factor(code: Code) -> int:
    """From how many times its limit on a refusal is an offence. What a page costs is an estimate that is easily wrong
    by a few times; how deep or how long it is, is not."""
    return 10 if code is signals.QUERY_TOO_COMPLEX else 2


def over(code: Code, limit: float, actual: float, *, offends: bool = False, path: str | None = None) -> Denial:
    """A limit was exceeded; where ``offends``, from a multiple of the limit on it is an offence."""
    # Far above the limit is no mistake of an honest client.
    offence = PolicyName.DOS if offends and actual >= offence_factor(code) * limit else None
    return Denial(code, limit=limit, actual=actual, path=path, offence=offence)


def syntax_error(text: str, offset: int) -> Denial:
    """The document is no GraphQL at ``offset``. The detail gives line and column alone."""
    # Lines end as the specification says: with LF, CR, or both.
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return Denial(
        signals.GRAPHQL_PARSE_FAILED, detail=f"Syntax error at line {line}, column {column}.", tokens=UNPARSED_TOKENS
    )


def malformed(detail: str) -> Denial:
    """The request is no well-formed GraphQL request."""
    return Denial(signals.BAD_REQUEST, detail=detail)


def contradiction(detail: str, path: tuple[str, ...] = ()) -> Denial:
    """The document contradicts itself or the schema."""
    return Denial(signals.GRAPHQL_INVALID, detail=detail, path=".".join(path) or None)


def unknown_field(owner: str, name: str, path: tuple[str, ...]) -> Denial:
    """The schema has no such field on the type ``owner``: as the app would say it, without suggestions."""
    shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
    return contradiction(f"Cannot query field '{shown}' on type '{owner}'.", path)
