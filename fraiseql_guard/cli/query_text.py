"""Finds the GraphQL text that a command is about: in a file, on standard input, or by a log line's query_hash."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from fraiseql_guard.cli.connect import ask
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import QUERY_TEXT
from fraiseql_guard.graphql.documents.manifests import parse_manifest
from fraiseql_guard.operations.operator.documents import QUERY_HASH
from fraiseql_guard.operations.operator.interface import NotFoundError
from fraiseql_guard.stores.documents import digest_of

_HASH: Final = re.compile(QUERY_HASH, re.IGNORECASE)
_WRITTEN_OUT: Final = re.compile(r"\\u([0-9a-f]{4})")
_STANDARD_INPUT: Final = "-"


def text_of(query: str, *, url: str | None, manifest: Path | None) -> str:
    """The text of a file (``-``: standard input), or of a query_hash if there is no such file. OSError, ValueError or
    OperatorError if it cannot be found."""
    if query == _STANDARD_INPUT:
        return sys.stdin.read()
    # An existing file comes first, even if its name looks like a hash.
    if _HASH.fullmatch(query) and not Path(query).exists():
        return text_of_hash(query.lower(), url=url, manifest=manifest)
    return Path(query).read_text(encoding="utf-8")


def text_of_line(line: str, *, url: str | None, manifest: Path | None) -> str:
    """The document's text for a log line (``-``: the first line of standard input with a query_hash): the text in the
    line if it is whole, else the text of the line's query_hash. Errors as in :func:`text_of`."""
    lines = sys.stdin if line == _STANDARD_INPUT else (line,)
    for context in _contexts(lines):
        query_hash, text = str(context["query_hash"]), context.get(QUERY_TEXT)
        if isinstance(text, str):
            # The log cuts long texts, and writes controls out.
            for whole in (text, _WRITTEN_OUT.sub(_read, text)):
                if digest_of(whole) == query_hash:
                    # The hash shows whether one of the two is the whole text.
                    return whole
        return text_of_hash(query_hash, url=url, manifest=manifest)
    raise ValueError('--log: no line has a query_hash. Accepted: a line of the log, {"event": ..., "context": {...}}')


def text_of_hash(query_hash: str, *, url: str | None, manifest: Path | None) -> str:
    """The text of a query_hash, or of the beginning of one: from the manifest, else from the fleet."""
    settings = Settings.load()
    # The manifest first: it needs no connection to the fleet.
    path = manifest or settings.trusted_documents_file
    if path is not None and (text := _in_manifest(path, query_hash)) is not None:
        return text
    if url is None and settings.redis_url is None:
        looked = "nowhere" if path is None else f"in the manifest {path} alone"
        raise NotFoundError(
            f"nobody knows the text of query_hash {query_hash}: looked {looked}. Say where to look: --manifest PATH, "
            f"{name_of('redis_url')} for the documents that the fleet trusts, or --url https://HOST/admin for those "
            f"that a worker remembers too. The text of what is refused is logged with {name_of('log_query_text')}=true"
        )
    return ask(url, lambda fleet: fleet.operator.document(query_hash)).text


def _in_manifest(path: Path, query_hash: str) -> str | None:
    """The text in a manifest whose query_hash begins with ``query_hash``; None if there is none. ValueError if there
    are several."""
    # A set: the same text under several ids is no ambiguity.
    found = {text for digest, text in _digests(path) if digest.startswith(query_hash)}
    if len(found) > 1:
        raise ValueError(f"{path} has {len(found)} documents whose query_hash begins with {query_hash}")
    return next(iter(found), None)


def _read(written_out: re.Match[str]) -> str:
    """The control character that a log line wrote out as ``\\u001b``. A sequence for a printable character stays: it is
    the document's own text."""
    character = chr(int(written_out[1], 16))
    return written_out[0] if character.isprintable() else character


def _contexts(lines: Any) -> Iterator[Mapping[str, Any]]:
    """The context of each line that has a query_hash."""
    for line in lines:
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        # Some collectors lift the context's fields to the top.
        context = found.get("context", found) if isinstance(found, dict) else None
        if isinstance(context, dict) and _HASH.fullmatch(str(context.get("query_hash"))):
            yield context


def _digests(path: Path) -> Iterator[tuple[str, str]]:
    try:
        documents = parse_manifest(path.read_bytes()).documents
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return ((digest_of(each.text), each.text) for each in documents.values())
