"""Reads operations and fragments of many files, and assembles each operation with its fragments, as a client sends
it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from graphql import FragmentDefinitionNode, GraphQLSyntaxError, OperationDefinitionNode, Token, TokenKind, parse

_MOST_FRAGMENTS: Final = 2_000
_NO_TOKENS: Final = (TokenKind.SOF, TokenKind.EOF, TokenKind.COMMENT)


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """A place in a source: a file, and the line in it (from 1)."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class SourceDefinition:
    """An operation or a fragment in a source. ``kind`` is query, mutation, subscription or fragment; ``spreads`` names
    the fragments that it spreads."""

    name: str
    kind: str
    text: str
    tokens: str
    """The text without blanks, commas and comments, which mean nothing: equal definitions have equal tokens."""
    spreads: frozenset[str]
    place: SourcePlace


@dataclass(frozen=True, slots=True)
class SourceOperation:
    """A document with one operation, as a client sends it. ``fault`` says why the text is not known; else it is
    empty."""

    name: str
    kind: str
    text: str
    place: SourcePlace
    fault: str = ""


def definitions_of(text: str, file: Path, first_line: int = 1) -> list[SourceDefinition]:
    """The operations and fragments in a text, without type definitions. ``first_line`` is the line of the file in which
    the text begins. ValueError if it is no GraphQL."""
    try:
        document = parse(text)
    except (GraphQLSyntaxError, RecursionError) as error:
        # graphql-core's parser is recursive, and a RecursionError has no message of its own.
        raise ValueError(f"it is not GraphQL: {getattr(error, 'message', 'it is nested too deeply')}") from None
    found: list[SourceDefinition] = []
    for node in document.definitions:
        if not isinstance(node, OperationDefinitionNode | FragmentDefinitionNode) or node.loc is None:
            continue
        kind = "fragment" if isinstance(node, FragmentDefinitionNode) else node.operation.value
        tokens = list(_tokens(node.loc.start_token, node.loc.end_token))
        found.append(
            SourceDefinition(
                name=node.name.value if node.name else "",
                kind=kind,
                text=text[node.loc.start : node.loc.end],
                tokens=" ".join([token.value or token.kind.value for token in tokens]),
                spreads=_spreads(tokens),
                place=SourcePlace(file, first_line + node.loc.start_token.line - 1),
            )
        )
    return found


def with_fragments(definitions: Iterable[SourceDefinition]) -> Iterator[SourceOperation]:
    """Assemble each operation with all fragments that it needs, from any file. An operation that stands in several
    files (generated code repeats it) comes once."""
    definitions = list(definitions)
    fragments: dict[str, list[SourceDefinition]] = {}
    for each in definitions:
        if each.kind == "fragment":
            fragments.setdefault(each.name, []).append(each)
    seen: set[str] = set()
    for each in definitions:
        if each.kind != "fragment" and each.tokens not in seen:
            seen.add(each.tokens)
            yield _assembled(each, fragments)


def _assembled(operation: SourceDefinition, fragments: Mapping[str, list[SourceDefinition]]) -> SourceOperation:
    parts, fault = [operation.text], ""
    wanted, known = sorted(operation.spreads), set(operation.spreads)
    while wanted and not fault:
        name = wanted.pop(0)
        candidates = fragments.get(name, [])
        chosen = _chosen(candidates, operation.place.file)
        if chosen is None:
            where = ", ".join(str(each.place) for each in candidates[:3])
            fault = f"fragment {name} stands in several files: {where}" if candidates else f"no fragment {name}"
            break
        parts.append(chosen.text)
        further = chosen.spreads - known
        known |= further
        wanted += sorted(further)
        if len(parts) > _MOST_FRAGMENTS:
            fault = f"it has more than {_MOST_FRAGMENTS} fragments"
    return SourceOperation(operation.name, operation.kind, "\n".join(parts), operation.place, fault)


def _chosen(candidates: list[SourceDefinition], file: Path) -> SourceDefinition | None:
    """The fragment that an operation of a file means: the one in its file, else the only one; None if there is none, or
    several that differ."""
    own = [each for each in candidates if each.place.file == file]
    if own:
        return own[0]
    different = {each.tokens for each in candidates}
    return candidates[0] if len(different) == 1 else None


def _spreads(tokens: list[Token]) -> frozenset[str]:
    """The names of the fragments that a definition spreads."""
    return frozenset(
        following.value
        for token, following in pairwise(tokens)
        if token.kind is TokenKind.SPREAD and following.kind is TokenKind.NAME and following.value not in (None, "on")
    )


def _tokens(first: Token, last: Token) -> Iterator[Token]:
    token: Token | None = first
    while token is not None:
        if token.kind not in _NO_TOKENS:
            yield token
        token = None if token is last else token.next
