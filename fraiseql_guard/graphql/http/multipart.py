"""Reads GraphQL multipart requests (uploads), and refuses those that two parsers could read differently.

Source: GraphQL multipart request specification; RFC 7578 (multipart/form-data); RFC 2046, section 5.1.1 (boundaries).
The parts ``operations`` and ``map`` come first; the bytes of the files are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from typing import Any, Final

import orjson

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.graphql.denials import malformed
from fraiseql_guard.graphql.http.media_types import Parameters, read_media_type
from fraiseql_guard.graphql.http.strict_json import JsonLoader, NotStrictError

_BOUNDARY: Final = re.compile(r"[-0-9A-Za-z'()+_,./:=?]{1,70}", re.ASCII)
_PLAIN_BOUNDARY: Final = re.compile(r"[-0-9A-Za-z'+_.]++", re.ASCII)
_DISPOSITION: Final = re.compile(
    r"form-data[ \t]*;[ \t]*name=\"([-_.0-9A-Za-z]{1,64})\""
    # In UTF-8, of which each byte is three characters behind the asterisk.
    r"([ \t]*;[ \t]*filename=\"[^\"\\\x00-\x1f\x7f]{0,255}\")?([ \t]*;[ \t]*filename\*=[^\s;\"\\]{1,3100})?",
    re.IGNORECASE,
)
_FIRST_PARTS: Final = [("operations", False), ("map", False)]
"""Name of each part, and whether it is a file."""
_OWN_NAMES: Final = frozenset({"operations", "map"})
"""Names that no file may have: of two parts with one name some frameworks take the first, some the last."""
_PATH: Final = re.compile(r"(?:([0-9]{1,3})\.)?variables((?:\.[_0-9A-Za-z]{1,64}){1,20})", re.ASCII)
_HEADERS: Final[Mapping[str, re.Pattern[str]]] = {
    "content-disposition": _DISPOSITION,
    "content-type": re.compile(r"[\x21-\x7e \t]{1,255}"),
    "content-length": re.compile(r"[0-9]{1,12}"),
    "content-transfer-encoding": re.compile(r"binary|7bit|8bit", re.IGNORECASE),  # the bytes as they are
}
_MOST_PARTS: Final = 34
_MOST_HEADER_BYTES: Final = 6144
_MOST_PATHS: Final = 100
_MAP_LOADER: Final = JsonLoader(_MOST_PATHS + _MOST_PARTS)


class _MalformedError(Exception):
    """The request is malformed, or parsers could read it differently; the text says why."""


@dataclass(frozen=True, slots=True)
class _MultipartPart:
    name: str
    is_file: bool
    content: slice


@dataclass(frozen=True, slots=True)
class MultipartForm:
    """A valid multipart body. ``operations`` is the slice of the body that holds the JSON of the operations."""

    operations: slice


def read_form(content_type: str, body: bytes, max_operations_bytes: int) -> MultipartForm | Denial:
    """Find the operations in a body; a Denial if its parts are not operations, map, and the files that the map names,
    in this order."""
    try:
        parts = _parts(content_type, body)
        if [(part.name, part.is_file) for part in parts[:2]] != _FIRST_PARTS:
            raise _MalformedError("The parts operations and map must come first.")
        operations = parts[0].content
        actual = operations.stop - operations.start
        if actual > max_operations_bytes:
            return Denial(signals.BODY_TOO_LARGE, limit=max_operations_bytes, actual=actual)
        _check_files(parts[2:], body[operations], body[parts[1].content])
    except _MalformedError as error:
        return malformed(str(error))
    return MultipartForm(operations)


def _parts(content_type: str, body: bytes) -> list[_MultipartPart]:
    delimiter = b"--" + _boundary(content_type).encode("ascii")
    # Count the delimiters before splitting, which would make a list of any length.
    if body.count(delimiter) > _MOST_PARTS + 1:
        raise _MalformedError("The request has too many parts.")
    # Split the body at its boundary.
    pieces = body.split(delimiter)
    # Parsers disagree about text before the first boundary and behind the last (RFC 2046 lets it stand).
    if len(pieces) < 2 or pieces[0] or pieces[-1] not in (b"--", b"--\r\n"):
        raise _MalformedError("The request does not begin or end with its boundary.")
    # Offsets in the body, so that the operations can be replaced in place.
    begins = accumulate((len(piece) + len(delimiter) for piece in pieces), initial=0)
    return [_part(piece, begin) for piece, begin in zip(pieces[1:-1], list(begins)[1:], strict=False)]


def _boundary(content_type: str) -> str:
    """The boundary in a Content-Type; _MalformedError if it has other parameters than boundary and charset=utf-8."""
    # Parsers disagree about repeated parameters, other character sets, and escapes in quotes.
    found = read_media_type(content_type)
    boundary = _only_boundary(found.parameters) if found is not None and "\\" not in content_type else ""
    is_plain = _PLAIN_BOUNDARY.fullmatch(boundary) or f'"{boundary}"' in content_type  # all else has to be in quotes
    if not is_plain or not _BOUNDARY.fullmatch(boundary):
        raise _MalformedError("The Content-Type must have one boundary, and nothing else but charset=utf-8.")
    return boundary


def _only_boundary(given: Parameters) -> str:
    """The boundary; empty if it is missing, a parameter is repeated, or there are others than charset=utf-8."""
    parameters = dict(given)
    if len(parameters) < len(given) or parameters.pop("charset", "utf-8").lower() != "utf-8":
        return ""
    boundary = parameters.pop("boundary", "")
    return "" if parameters else boundary


def _part(piece: bytes, begin: int) -> _MultipartPart:
    """Read one part. ``piece`` lies between two boundaries, with their line breaks; ``begin`` is its offset in the
    body."""
    end_of_head = piece.find(b"\r\n\r\n", 0, _MOST_HEADER_BYTES)
    # The last condition leaves room for the blank line and for the line break before the next boundary.
    if not piece.startswith(b"\r\n") or not piece.endswith(b"\r\n") or not 0 < end_of_head <= len(piece) - 6:
        raise _MalformedError("A part is not well-formed, or its head is too long.")
    disposition = _headers(_text(piece[2:end_of_head])).get("content-disposition")
    if disposition is None:
        raise _MalformedError("A part has no name.")
    # Both spellings of a file's name make a part a file to frameworks.
    is_file = disposition[2] is not None or disposition[3] is not None
    return _MultipartPart(disposition[1], is_file, slice(begin + end_of_head + 4, begin + len(piece) - 2))


def _headers(head: str) -> dict[str, re.Match[str]]:
    """The match of each header of a part, by the header's name in lower case."""
    found: dict[str, re.Match[str]] = {}
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        form = _HEADERS.get(name.lower())
        match = form.fullmatch(value.strip(" \t")) if form else None
        # Strict on purpose: a header that is not known could change what a host takes the part for.
        if match is None or name.lower() in found:
            raise _MalformedError("A part has a header that is not well-formed or not known.")
        found[name.lower()] = match
    return found


def _text(head: bytes) -> str:
    """Decode the head of a part: as UTF-8, else as Latin-1."""
    try:
        return head.decode()
    except UnicodeDecodeError:
        # Old clients send file names in Latin-1; no pattern but that of the file's name lets such bytes pass.
        return head.decode("latin-1")


def _check_files(files: Sequence[_MultipartPart], operations: bytes, map_text: bytes) -> None:
    try:
        mapped, (_, nodes, _) = _MAP_LOADER.load(map_text)
        value = orjson.loads(operations)
    except (NotStrictError, orjson.JSONDecodeError):
        raise _MalformedError("operations and map must be JSON.") from None
    # The loader stops at its bound without a value, so this comes before the value is used.
    if nodes > _MOST_PATHS + _MOST_PARTS:
        raise _MalformedError("The map has too many paths.")
    _check_names(files, mapped)
    _check_paths(mapped, value)


def _check_names(files: Sequence[_MultipartPart], mapped: Any) -> None:
    """Raise _MalformedError unless the map names exactly the files."""
    names = [part.name for part in files]
    if not isinstance(mapped, dict) or sorted(names) != sorted(mapped) or not all(part.is_file for part in files):
        raise _MalformedError("The map and the files must have the same names.")
    if not _OWN_NAMES.isdisjoint(names):
        raise _MalformedError("No file may be named operations or map.")


def _check_paths(mapped: Mapping[str, Any], operations: Any) -> None:
    """Raise _MalformedError unless each path of the map leads to a null in the variables, and no path stands twice."""
    if not all(isinstance(paths, list) and paths for paths in mapped.values()):
        raise _MalformedError("The map must give each file a list of paths.")
    paths = [path for held in mapped.values() for path in held]
    if not all(isinstance(path, str) and _is_null(operations, path) for path in paths):
        raise _MalformedError("The map must lead to variables that are null.")
    # Two files under one path: the host's order would decide which one counts.
    if len(set(paths)) < len(paths):
        raise _MalformedError("The map must give each file paths of its own.")


def _is_null(operations: Any, path: str) -> bool:
    """Whether a path of the map (``variables.file``, ``0.variables.files.1``) leads to a null, as it must."""
    match = _PATH.fullmatch(path)
    if match is None:
        return False
    # A batch begins with the number of its operation.
    begin = [match[1]] if match[1] else []
    try:
        return reduce(_step, [*begin, "variables", *match[2][1:].split(".")], operations) is None
    except LookupError:
        return False


def _step(value: Any, step: str) -> Any:
    """The member or item of a value that a step names; LookupError if it has none. Digits are a key in an object, and
    an index in a list."""
    if isinstance(value, dict):
        return value[step]
    if isinstance(value, list) and step.isdecimal():
        return value[int(step)]
    raise LookupError(step)
