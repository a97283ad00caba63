"""Parses a text that passed the scan into a document that does not contradict itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.graphql.denials import contradiction, over, syntax_error
from fraiseql_guard.graphql.syntax.ast import DocumentNode
from fraiseql_guard.graphql.syntax.parser import Parsed, UnexpectedError, parse
from fraiseql_guard.graphql.syntax.values import Value


def read_document(
    text: str, tokens: list[str] | None = None, *, max_operations: int, max_fragments: int, nested_switches: bool = True
) -> DocumentNode | Denial:
    """Parse a text that passed the scan; the Denial says why it is refused, without repeating the text.

    ``tokens`` are those that the scan has read; None if there was none. ``nested_switches``: the host obeys @skip and
    @include everywhere; else only at the root of an operation.
    """
    try:
        parsed = parse(text, tokens, nested_switches=nested_switches)
    except UnexpectedError as error:
        return syntax_error(text, error.offset)
    except RecursionError:  # the scan bounds the nesting, but the caller may stand deep in its own stack
        return Denial(signals.QUERY_TOO_DEEP)
    # Fragments alone can be parsed, but nothing can be run.
    if not parsed.operations:
        return Denial(signals.OPERATION_NOT_FOUND)
    # The limits come before _build, whose work grows with both numbers.
    if len(parsed.operations) > max_operations:
        return over(signals.TOO_MANY_OPERATIONS, max_operations, len(parsed.operations))
    if len(parsed.fragments) > max_fragments:
        return over(signals.TOO_MANY_FRAGMENTS, max_fragments, len(parsed.fragments))
    if parsed.contradiction is not None:
        return contradiction(parsed.contradiction)
    return _build(parsed)


def _build(parsed: Parsed) -> DocumentNode | Denial:
    operations = tuple(operation for operation, _ in parsed.operations)
    fragments = {fragment.name: fragment for fragment, _ in parsed.fragments}
    if not _are_distinct([operation.name for operation in operations]):
        return contradiction("Two operations share a name, or one of several has none.")
    # The dict keeps one of two fragments with one name.
    if len(fragments) < len(parsed.fragments):
        return contradiction("Two fragments share a name.")
    try:
        order = _fragments_in_order(parsed)
    except OrderError as error:
        return contradiction(str(error))
    defaults = _defaults(parsed.declared)
    # No switches with several operations: one may undo the @skip of another with its own default.
    # Sorted, since the positions of switches are the key of a document's variants.
    switches = sorted(parsed.conditions & defaults.keys()) if len(operations) == 1 else []
    return DocumentNode(
        operations,
        {name: fragments[name] for name in order},
        defaults,
        tuple(switches),
        parsed.removes or bool(switches),
    )


def _are_distinct(names: Sequence[str | None]) -> bool:
    """Whether a request can select each operation by its name. A single operation needs no name."""
    return len(names) == 1 or (len(set(names)) == len(names) and None not in names)


def _fragments_in_order(parsed: Parsed) -> list[str]:
    inside = {fragment.name: spreads for fragment, spreads in parsed.fragments}
    spread = [name for _, spreads in parsed.operations for name in spreads]
    return in_order(inside, spread)


def _defaults(declared: Iterable[Mapping[str, Value]]) -> dict[str, tuple[Value, ...]]:
    """All defaults that operations declare for each variable, by its name; ABSENT where an operation declares none."""
    found: dict[str, tuple[Value, ...]] = {}
    for variables in declared:
        for name, default in variables.items():
            found[name] = (*found.get(name, ()), default)
    return found


class OrderError(Exception):
    """A fragment that is spread does not exist, or one spreads itself."""


def in_order(inside: Mapping[str, Iterable[str]], spread: Iterable[str]) -> list[str]:
    """The names of the fragments, ordered so that each comes after those that it spreads. OrderError.

    ``inside`` has the spreads of each fragment, ``spread`` those of the operations. A depth-first search without
    recursion: a fragment that is met again while it is open spreads itself.
    """
    # A missing fragment is found here, so that the walk below needs no test.
    if not all(inside.keys() >= set(names) for names in (spread, *inside.values())):
        raise OrderError("A fragment that is spread is not defined.")
    done: dict[str, None] = {}
    opened: set[str] = set()
    pending = list(inside)
    while pending:
        name = pending[-1]
        # Several fragments may have pushed the same name.
        if name in done:
            pending.pop()
        # All that it spreads is done: nothing else stands above it on the stack.
        elif name in opened:
            done[pending.pop()] = None
        else:
            opened.add(name)
            for used in inside[name]:
                if used in opened and used not in done:
                    raise OrderError("A fragment spreads itself.")
                pending.append(used)
    return list(done)
