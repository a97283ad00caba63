"""Reads API keys from a file, by their digests, and again when the file changes.

The file is YAML, a list of entries (``fraiseql-guard api-key NAME`` makes one):

    - sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
      name: partner
      tier: pro                          # optional, as all below
      scopes: [read, write]
      tenant: acme
      expires_at: 2026-12-31T00:00:00Z
      disabled: false
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.core.watched_file import WatchedFile, cause_of
from fraiseql_guard.identity.api_keys import ApiKey

MAX_FILE_BYTES: Final = 262_144
"""Largest file: about 2,000 keys, which take half a second to read, in which nothing else runs. More keys belong into
the app's database, which the guard can ask."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KEYS: Final = frozenset({"sha256", "name", "tier", "scopes", "tenant", "expires_at", "disabled"})
_SHOWN_KEY: Final = re.compile(r"[a-z_]{1,16}", re.ASCII)
_DEEPEST: Final = 5
_ACCEPTED: Final = (
    "a YAML list of sha256, name, tier, scopes, tenant, expires_at and disabled, at most 256 KiB; fraiseql-guard "
    "api-key NAME makes a key and its entry"
)


class FiledKey(NamedTuple):
    """One entry: the hex SHA-256 of a key, and its data."""

    sha256: str
    key: ApiKey


ApiKeyTable = Mapping[str, FiledKey]
"""The entries by their digests."""


class ApiKeysFile:
    """The keys in a file, which is checked for changes at most every 5 seconds. ``clock`` counts seconds.

    SettingsError at construction if the file cannot be used. Later a bad file leaves the last good keys in force, and
    ``on_problem`` is told once for each change.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float], on_problem: Callable[[str], None]) -> None:
        self._path, self._on_problem = path, on_problem
        try:
            self._file: WatchedFile[ApiKeyTable] = WatchedFile(
                path, _parse, clock=clock, limit_bytes=MAX_FILE_BYTES + 1, on_failure=self._failed
            )
        except (OSError, ValueError) as error:
            name = name_of("api_keys_file")
            raise SettingsError(
                f"{name}={str(path)!r} cannot be used: {cause_of(error)}. Accepted: {_ACCEPTED}"
            ) from None

    def table(self) -> ApiKeyTable:
        """The keys in force; another mapping if and only if the file was read anew. Cheap: called for every key."""
        self._file.changed()
        return self._file.value

    def _failed(self, cause: str, is_new: bool) -> None:
        if is_new:
            self._on_problem(f"{self._path} cannot be used, the last good API keys stay in force: {cause}")


def _parse(content: bytes) -> ApiKeyTable:
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
    return read_entries(content.decode())


def read_entries(text: str) -> ApiKeyTable:
    """Read the entries of a file. ValueError names the line or the entry, and never repeats a value, which may be a
    key."""
    from fraiseql_guard.core.yaml_reader import read_shallow  # with the first text

    content = read_shallow(text, deepest=_DEEPEST)
    if content is None:
        return {}
    if not isinstance(content, list):
        raise ValueError("it is not a list")
    table: dict[str, FiledKey] = {}
    for number, item in enumerate(content, start=1):
        try:
            entry = _entry(item)
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}") from None
        if entry.sha256 in table:
            raise ValueError(f"entry {number}: it has the sha256 of an earlier one")
        table[entry.sha256] = entry
    return table


def _entry(item: object) -> FiledKey:
    if not isinstance(item, Mapping) or "sha256" not in item:
        raise ValueError("it has no sha256")
    # A typing error in expires_at or disabled would otherwise make a key that holds for ever.
    if unknown := sorted(str(key) for key in item if key not in _KEYS):
        shown = repr(unknown[0]) if _SHOWN_KEY.fullmatch(unknown[0]) else "that is none of ours"
        raise ValueError(f"it has a key {shown}, which is none of {', '.join(sorted(_KEYS))}")
    digest = item["sha256"]
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest.lower()):
        raise ValueError("sha256 is not 64 hexadecimal digits in quotes: the digest of the key, never the key")
    given: dict[str, Any] = {name: value for name, value in item.items() if name != "sha256" and value is not None}
    if "name" not in given:
        raise ValueError("it has no name")
    return FiledKey(digest.lower(), ApiKey(**given))
