"""Which requests are GraphQL, however their path is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import unquote

_REMEMBERED: Final = 1024


class GraphQLPaths:
    """Answers whether a request's path speaks GraphQL.

    Hosts, proxies and routers disagree on how a path is read, so it counts if any reading of it matches: raw, decoded
    once or twice, with slashes and dots resolved, with and without the mount point.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._known: dict[tuple[str, bytes, str], str | None] = {}

    def match(self, scope: Any) -> str | None:
        """The configured path that this request falls under, or None."""
        key = (scope["path"], scope.get("raw_path") or b"", scope.get("root_path") or "")
        try:
            return self._known[key]
        except KeyError:
            found = self._search(*key)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        if len(key[0]) + len(key[1]) <= 256:
            self._known[key] = found
        return found

    def _search(self, path: str, raw_path: bytes, root_path: str) -> str | None:
        for reading in _readings(path, raw_path, root_path):
            for guarded in self._paths:
                if guarded == "/" or reading == guarded or reading.startswith(guarded + "/"):
                    return guarded
        return None


def _readings(path: str, raw_path: bytes, root_path: str) -> Iterator[str]:
    for text in (path, raw_path.decode("latin-1").partition("?")[0]):
        for decoded in (text, unquote(text), unquote(unquote(text))):
            for reading in (decoded, _resolve(decoded)):
                yield reading
                if root_path and reading.startswith(root_path):
                    yield reading.removeprefix(root_path) or "/"


def _resolve(path: str) -> str:
    """Path with repeated slashes, backslashes, dot segments and path parameters taken out."""
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        name = part.partition(";")[0]
        if name == "..":
            del parts[-1:]
        elif name not in ("", "."):
            parts.append(name)
    return "/" + "/".join(parts)
