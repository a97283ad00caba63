"""Reads and writes manifests of trusted documents, in the two forms of build tools.

Relay's form is an object of texts by hash; Apollo's manifest (format apollo-persisted-query-manifest,
version 1) is a list of operations with id, name, type and body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

from fraiseql_guard.core.replaced_file import replace_file
from fraiseql_guard.stores.documents import TrustedDocument, digest_of

_APOLLO_FORMAT: Final = "apollo-persisted-query-manifest"
_LONGEST_ID: Final = 256


class ManifestForm(StrEnum):
    """The two forms of manifests, by the tool that defines them."""

    RELAY = "relay"
    APOLLO = "apollo"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The documents of a manifest by their id. In Relay's form they have no name and no type."""

    form: ManifestForm
    documents: Mapping[str, TrustedDocument]

    def with_documents(self, documents: Iterable[TrustedDocument]) -> Manifest:
        """A copy with further documents, which replace those with the same id."""
        return Manifest(self.form, {**self.documents, **{each.id: each for each in documents}})

    def without(self, ids: Iterable[str]) -> Manifest:
        """A copy without the documents with these ids."""
        gone = frozenset(ids)
        return Manifest(self.form, {id_: each for id_, each in self.documents.items() if id_ not in gone})

    def render(self) -> bytes:
        """The manifest as a file: indented, in the order of the ids, so that two versions can be compared."""
        ordered = [self.documents[id_] for id_ in sorted(self.documents)]
        content: dict[str, Any] = {each.id: each.text for each in ordered}
        if self.form is ManifestForm.APOLLO:
            operations = [{"id": each.id, "name": each.name, "type": each.type, "body": each.text} for each in ordered]
            content = {"format": _APOLLO_FORMAT, "version": 1, "operations": operations}
        return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def document_of(text: str) -> TrustedDocument:
    """The manifest's entry of a document, with the name and type of its first operation. ValueError if the text is no
    GraphQL, or has no operation."""
    from graphql import GraphQLSyntaxError, OperationDefinitionNode, parse  # for those who write manifests alone

    try:
        definitions = parse(text, no_location=True).definitions
    except (GraphQLSyntaxError, RecursionError) as error:
        # graphql-core's parser is recursive, and a RecursionError has no message of its own.
        raise ValueError(f"it is not GraphQL: {getattr(error, 'message', 'it is nested too deeply')}") from None
    operation = next((each for each in definitions if isinstance(each, OperationDefinitionNode)), None)
    if operation is None:
        raise ValueError("it has no operation")
    name = operation.name.value if operation.name else ""
    return TrustedDocument(digest_of(text), text, name, operation.operation.value)


def read_manifest(path: Path, *, new: ManifestForm) -> Manifest:
    """Read a manifest from a file; an empty one in the form ``new`` if there is no file. OSError; ValueError says what
    is wrong with it."""
    return parse_manifest(path.read_bytes()) if path.exists() else Manifest(new, {})


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest to a file, in one step, so that no reader ever sees half of it. OSError."""
    replace_file(path, manifest.render(), mode=0o644)


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest from the bytes of a file; ValueError says what is wrong with it."""
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ValueError("it is not JSON") from None
    if not isinstance(content, dict):
        raise ValueError("it is not an object")
    if "format" in content or "operations" in content:  # Apollo's; Relay's has nothing but hashes
        return Manifest(ManifestForm.APOLLO, _apollo(content))
    return Manifest(ManifestForm.RELAY, _relay(content))


def _relay(content: Mapping[str, Any]) -> Mapping[str, TrustedDocument]:
    # Nothing marks Relay's form: any object of texts is read as one.
    if not all(isinstance(text, str) for text in content.values()):
        raise ValueError("it is neither an object of texts by hash nor an Apollo manifest")
    return {id_: _checked(TrustedDocument(id_, text), id_) for id_, text in content.items()}


def _apollo(content: Mapping[str, Any]) -> Mapping[str, TrustedDocument]:
    if (content.get("format"), content.get("version")) != (_APOLLO_FORMAT, 1):
        raise ValueError(f"its format is not {_APOLLO_FORMAT}, version 1")
    operations = content.get("operations")
    if not isinstance(operations, list):
        raise ValueError("it has no list of operations")
    found: dict[str, TrustedDocument] = {}
    for number, item in enumerate(operations, start=1):
        document = _operation(item)
        if document is None:
            raise ValueError(f"operation {number} has no id or no body")
        # One id may be listed twice, but for one text.
        if found.setdefault(document.id, document).text != document.text:
            raise ValueError(f"operation {number} has the id of another")
        _checked(document, f"operation {number}")
    return found


def _operation(item: Any) -> TrustedDocument | None:
    """The document of one operation in Apollo's list; None if it has no id or no body."""
    match item:
        case {"id": str(id_), "body": str(body)}:
            return TrustedDocument(id_, body, str(item.get("name") or ""), str(item.get("type") or ""))
    return None


def _checked(document: TrustedDocument, shown: str) -> TrustedDocument:
    if not 0 < len(document.id) <= _LONGEST_ID:
        raise ValueError(f"{shown[:80]}: an id has 1 to {_LONGEST_ID} characters")
    if not document.text.strip():
        raise ValueError(f"{shown[:80]}: the document is empty")
    return document
