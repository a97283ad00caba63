"""Finds the files of an app that hold GraphQL documents, and reads the operations in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from fraiseql_guard.graphql.documents.manifests import parse_manifest
from fraiseql_guard.operations.document_audit.definitions import (
    SourceDefinition,
    SourceOperation,
    SourcePlace,
    definitions_of,
    with_fragments,
)
from fraiseql_guard.operations.document_audit.tags import EmbeddedText, compiled_texts, python_texts, tagged_texts

_GRAPHQL: Final = frozenset({".graphql", ".gql"})
_MOST_BYTES: Final = 32 * 1024 * 1024
_SKIPPED: Final = frozenset({"node_modules", "dist", "build", "coverage", "venv", "site-packages"})
"""Folders that are not searched, since they hold dependencies or build output. Hidden folders are skipped as well."""
_ACCEPTED: Final = "a manifest, .graphql files, sources with tagged texts, or a folder of them"
_COMPILED: Final = "__generated__"
"""The folders that Relay's compiler writes."""
_READERS: Final[Mapping[str, Callable[[str], Iterable[EmbeddedText]]]] = {
    **dict.fromkeys((".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte"), tagged_texts),
    ".py": python_texts,
}


@dataclass(slots=True)
class AppOperations:
    """The operations that were found, as clients send them, and the texts that could not be read, each with its place
    and the reason. ``files`` is the number of files with either."""

    operations: list[SourceOperation] = field(default_factory=list)
    unreadable: list[tuple[SourcePlace, str]] = field(default_factory=list)
    files: int = 0


def operations_in(paths: Iterable[Path]) -> AppOperations:
    """Find all operations in files and folders. OSError or ValueError if a file in ``paths`` cannot be read; ValueError
    if no document is found. Unreadable files in folders are noted, and the others are read."""
    paths = list(paths)
    found = AppOperations()
    definitions: list[SourceDefinition] = []
    sent: list[SourceOperation] = []
    for path in paths:
        if path.is_dir():
            for file in _files_below(path):
                _read_quietly(file, definitions, sent, found)
        else:
            found.files += bool(_read(path, definitions, sent, found, named=True))
    compiled = {each.name for each in sent}
    # Operations in manifests and of compilers are exactly what is sent; those of the same name in sources are left out.
    assembled = (each for each in with_fragments(definitions) if not each.name or each.name not in compiled)
    found.operations = [*sent, *assembled]
    if not found.operations and not found.unreadable:
        raise ValueError(f"{', '.join(map(str, paths))}: no document was found. Accepted: {_ACCEPTED}")
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        # Changed in place: os.walk does not enter folders that are removed.
        folders[:] = sorted(each for each in folders if each not in _SKIPPED and not each.startswith("."))
        for name in sorted(files):
            suffix = Path(name).suffix
            if suffix in _GRAPHQL or suffix in _READERS or suffix == ".json":
                yield Path(place, name)


def _read_quietly(
    file: Path, definitions: list[SourceDefinition], sent: list[SourceOperation], found: AppOperations
) -> None:
    """Read a file of a folder. If it cannot be read, note that in ``found``."""
    try:
        found.files += _read(file, definitions, sent, found, named=False)
    except (OSError, ValueError, RecursionError) as error:
        found.unreadable.append((SourcePlace(file, 1), _cause(error)))


def _cause(error: OSError | ValueError | RecursionError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, RecursionError):
        return "templates are nested too deeply in it"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _read(
    file: Path,
    definitions: list[SourceDefinition],
    sent: list[SourceOperation],
    found: AppOperations,
    *,
    named: bool,
) -> bool:
    """Add the documents of a file. Returns whether it has any, readable or not. OSError, ValueError."""
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{file}: it is larger than {_MOST_BYTES // 1024 // 1024} MiB")
    before = len(definitions) + len(sent) + len(found.unreadable)
    if file.suffix == ".json":
        sent += _manifest(file, named=named)
    elif (reader := _READERS.get(file.suffix)) is not None:
        source = file.read_text(encoding="utf-8")
        if _COMPILED in file.parts:
            sent += _compiled(file, source)
        _add_texts(file, reader(source), definitions, found)
    else:
        _add_texts(file, (EmbeddedText(file.read_text(encoding="utf-8"), 1),), definitions, found)
    return len(definitions) + len(sent) + len(found.unreadable) > before


def _add_texts(
    file: Path, texts: Iterable[EmbeddedText], definitions: list[SourceDefinition], found: AppOperations
) -> None:
    for each in texts:
        if not each.text.strip():
            continue
        try:
            if each.fault:
                raise ValueError(each.fault)
            definitions += definitions_of(each.text, file, each.line)
        except ValueError as error:
            found.unreadable.append((SourcePlace(file, each.line), str(error)))


def _compiled(file: Path, source: str) -> Iterator[SourceOperation]:
    """The operations that Relay's compiler has written, with all their fragments."""
    for each in compiled_texts(source):
        yield from _operations_of(each.text, SourcePlace(file, each.line))


def _manifest(file: Path, *, named: bool) -> Iterator[SourceOperation]:
    """The operations of a manifest. A JSON file that was found in a folder (not ``named``) is one only if all its texts
    are documents."""
    data = file.read_bytes()
    try:
        documents = parse_manifest(data).documents.values()
    except ValueError as error:
        if named:
            raise ValueError(f"{file}: {error}") from None
        return
    if not named and not all(_is_document(each.text) for each in documents):
        return
    for each in documents:
        yield from _operations_of(each.text, SourcePlace(file, _line_of(data, each.id)))


def _line_of(data: bytes, id_: str) -> int:
    """The line in which a manifest has an id; 1 if it is not found."""
    at = data.find(orjson.dumps(id_))
    return data.count(b"\n", 0, at) + 1 if at >= 0 else 1


def _is_document(text: str) -> bool:
    return text.lstrip().startswith(("query", "mutation", "subscription", "fragment", "{")) and "{" in text


def _operations_of(text: str, place: SourcePlace) -> Iterator[SourceOperation]:
    """The operations of a document that is sent as a whole."""
    try:
        operations = [each for each in definitions_of(text, place.file) if each.kind != "fragment"]
    except ValueError as error:
        yield SourceOperation("", "", text, place, str(error))
        return
    for each in operations:
        yield SourceOperation(each.name, each.kind, text, place)
