"""The one reading of a request's path: every comparison of a path, for HTTP and WebSocket alike, is made here.

Servers, proxies, routers and mounts disagree on how a path is read. A protection therefore applies if any reading of
the path matches: as the server decoded it, as it stood on the wire, decoded again, with dots and slashes resolved,
without the authority of an absolute form (RFC 9112, section 3.2.2), with and without ``root_path`` and each mount in
it, and with a missing first slash restored. What makes a request cheaper (exempt paths) or only names it (endpoint
labels) looks at the plain readings alone: what the server decoded, with and without ``root_path``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import unquote

from starlette.types import Scope

from fraiseql_guard.core.lru import Memo
from fraiseql_guard.core.place import NOT_A_ROUTE, OwnPage, Place
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import UNKNOWN

ALIVE_PATH: Final = "/health"
"""Where the guard says that the process answers, if the app does not."""

_REMEMBERED: Final = 1024
_REMEMBERED_CHARACTERS: Final = 256
_LONGEST_CHARACTERS: Final = 8_000
"""RFC 9110, section 4.1, asks for this much of a URI. The work on a path grows with its length."""
_MOST_READINGS: Final = 64
_MOST_MOUNTS: Final = 16
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""C0, DEL, C1 and the line separators of Unicode: a router's ``$`` matches before a last newline, others strip them."""
_AUTHORITY: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#\\]*")

_Key = tuple[str, bytes, str]


class PathTable:
    """Tells what a request's path stands for. Made once for the settings in force.

    ``admin``: the operator's HTTP API is served under ``settings.admin_path``. ``rules``: those that are in force.
    """

    def __init__(self, settings: Settings, *, admin: bool = False, rules: RuleTable | None = None) -> None:
        self._rules = rules
        self._graphql = settings.graphql_paths
        self._auth = settings.auth_paths
        self._exempt = frozenset(settings.exempt_paths)
        self._admin = settings.admin_path if admin else None
        self._pages = {settings.metrics_path: OwnPage.METRICS, settings.health_path: OwnPage.HEALTH}
        self._labels = frozenset({*settings.exempt_paths, settings.metrics_path, settings.health_path})
        self._known: Memo[_Key, Place] = Memo(self._find, _REMEMBERED, keeps=_is_short)

    @property
    def remembered(self) -> int:
        """How many spellings of paths are remembered."""
        return len(self._known)

    def place(self, scope: Scope) -> Place:
        """What the path of an HTTP or WebSocket scope stands for. Raises only on a scope that breaks ASGI."""
        raw_path = (scope.get("raw_path") or b"").partition(b"?")[0]  # some servers leave the query string there
        return self._known[scope["path"], raw_path, scope.get("root_path") or ""]

    def _find(self, key: _Key) -> Place:
        plain = list(_plain_readings(key[0], key[2]))
        malformed = _malformed(key)
        readings = set(plain if _too_long(key) else _readings(key))
        if len(readings) >= _MOST_READINGS:
            malformed = malformed or "it can be read in too many ways"
        graphql = _under(self._graphql, readings)
        below = self._below_admin(plain, readings)
        return Place(
            graphql=graphql,
            needs_token=graphql is not None or _under(self._auth, readings) is not None,
            exempt=graphql is None and not self._exempt.isdisjoint(plain),
            page=None if graphql is not None else self._page(plain, readings),
            below_admin=below,
            endpoint=graphql or next((path for path in plain if path in self._labels), UNKNOWN),
            malformed=malformed,
            rules=None if self._rules is None else self._rules.at(readings, plain, graphql),
        )

    def _page(self, plain: Sequence[str], readings: set[str]) -> OwnPage | None:
        found = next((page for path, page in self._pages.items() if path in readings), None)
        return found or (OwnPage.ALIVE if ALIVE_PATH in plain else None)

    def _below_admin(self, plain: Sequence[str], readings: Iterable[str]) -> str | None:
        admin = self._admin
        if admin is None or _under((admin,), readings) is None:
            return None
        return next((path[len(admin) :] for path in plain if _covers(admin, path)), NOT_A_ROUTE)


def _covers(configured: str, path: str) -> bool:
    return configured in ("/", path) or path.startswith(configured + "/")


def _is_short(key: _Key) -> bool:
    return len(key[0]) + len(key[1]) + len(key[2]) <= _REMEMBERED_CHARACTERS


def _under(configured: Iterable[str], readings: Iterable[str]) -> str | None:
    """The first configured path that any reading is, or lies under."""
    return next((each for each in configured if any(_covers(each, path) for path in readings)), None)


def _too_long(key: _Key) -> bool:
    path, raw_path, root_path = key
    return len(path) > _LONGEST_CHARACTERS or len(raw_path) + len(root_path) > 3 * _LONGEST_CHARACTERS


def _malformed(key: _Key) -> str:
    """Why an app may not see the path; empty if it may."""
    path, raw_path, _ = key
    if _too_long(key):
        return f"it is longer than {_LONGEST_CHARACTERS} characters"
    if _CONTROL.search(path) or _CONTROL.search(unquote(raw_path.decode("utf-8", "replace"))):
        return "it has a control character"
    return ""


def _plain_readings(path: str, root_path: str) -> Iterator[str]:
    """The path as the server decoded it, whole and without ``root_path``."""
    yield path
    root = root_path.rstrip("/")
    if root and _covers(root, path):
        yield path[len(root) :] or "/"


def _readings(key: _Key) -> Iterator[str]:
    """Every reading of a path, at most _MOST_READINGS: all steps in all orders, until none brings anything new."""
    path, raw_path, root_path = key
    mounts = list(_mounts(root_path))
    written = (path, root_path + path, raw_path.decode("utf-8", "replace"))
    open_readings = [decoded for text in written if text for decoded in (text, unquote(text), unquote(unquote(text)))]
    seen: set[str] = set()
    while open_readings and len(seen) < _MOST_READINGS:
        reading = open_readings.pop()
        if reading in seen:
            continue
        seen.add(reading)
        yield reading
        open_readings += (
            _resolved(reading),
            reading[authority.end() :] if (authority := _AUTHORITY.match(reading)) else reading,
            reading.partition("?")[0].partition("#")[0],
            reading if reading.startswith("/") else "/" + reading,
            *(reading[len(mount) :] for mount in mounts if reading.startswith(mount)),
        )


def _mounts(root_path: str) -> Iterator[str]:
    """What may stand in front of a path: ``root_path``, and each shorter mount in it."""
    for each in dict.fromkeys((root_path.rstrip("/"), _resolved(root_path))):
        mount = each
        for _ in range(_MOST_MOUNTS):
            if not mount or mount == "/":
                break
            yield mount
            mount = mount.rpartition("/")[0]


def _resolved(path: str) -> str:
    """A path without repeated slashes, backslashes, dot segments, path parameters, and white space around a segment."""
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        name = part.partition(";")[0].strip()
        if name == "..":
            del parts[-1:]
        elif name not in ("", "."):
            parts.append(name)
    return "/" + "/".join(parts)
