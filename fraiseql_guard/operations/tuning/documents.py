"""The documents of an app, read from a manifest or from a folder of .graphql files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSyntaxError,
    Node,
    OperationDefinitionNode,
    Visitor,
    parse,
    print_ast,
    visit,
)

from fraiseql_guard.graphql.documents.manifests import parse_manifest

_ENDINGS: Final = frozenset({".graphql", ".gql"})


@dataclass(frozen=True, slots=True)
class NamedDocument:
    """A document to be sent as it is: its operation's name, where it stands, and its text."""

    name: str
    where: str
    text: str


def documents_at(path: Path) -> list[NamedDocument]:
    """The documents of a manifest (Relay's or Apollo's), of one .graphql file, or of all in a folder and below it.

    In files each operation is a document of its own, with the fragments that it spreads, in whichever file of the
    folder they stand. OSError, and ValueError if one of them is no GraphQL, or if there is no operation.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in _ENDINGS)
    elif path.suffix in _ENDINGS:
        files = [path]
    else:
        return _of_manifest(path)
    parsed = {file: _parsed(file) for file in files}
    fragments = {
        each.name.value: each
        for document in parsed.values()
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    found = [each for file, document in parsed.items() for each in _operations(file, document, fragments)]
    if not found:
        raise ValueError(f"{path}: there is no operation in it. Accepted: a manifest, .graphql files, or their folder")
    return found


def _of_manifest(path: Path) -> list[NamedDocument]:
    try:
        manifest = parse_manifest(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return [NamedDocument(each.name or id_[:12], str(path), each.text) for id_, each in manifest.documents.items()]


def _parsed(file: Path) -> DocumentNode:
    try:
        return parse(file.read_text(encoding="utf-8"), no_location=True)
    except (GraphQLSyntaxError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: it is not GraphQL: {getattr(error, 'message', error)}") from None


def _operations(
    file: Path, document: DocumentNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[NamedDocument]:
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            needed: dict[str, FragmentDefinitionNode] = {}
            _gather(each, fragments, needed)
            text = "\n\n".join(map(print_ast, (each, *needed.values())))
            yield NamedDocument(each.name.value if each.name else "(without a name)", str(file), text)


def _gather(
    node: Node, fragments: Mapping[str, FragmentDefinitionNode], needed: dict[str, FragmentDefinitionNode]
) -> None:
    """Add the fragments that a definition spreads, and those that they spread. One that is nowhere is left out: the
    verdict on the document names it."""
    waiting = [node]
    while waiting:
        for name in _spreads(waiting.pop()):
            if name in fragments and name not in needed:
                needed[name] = fragments[name]
                waiting.append(fragments[name])


def _spreads(node: Node) -> list[str]:
    found: list[str] = []

    class Spreads(Visitor):
        def enter_fragment_spread(self, node: FragmentSpreadNode, *_: object) -> None:
            found.append(node.name.value)

    visit(node, Spreads())
    return found
