"""Reads overrides from a file, for deployments without Redis, where operators cannot put them into the store.

The file is YAML. Every list, and every ``expires_at`` and ``reason``, may be missing:

    modes:
      - {protection: all, mode: monitor, expires_at: 2026-12-31T00:00:00Z, reason: an incident}
    settings:
      - {variable: FRAISEQL_RATE_LIMIT_DEFAULT, value: 50/minute}
    blocks:
      - {ip: 203.0.113.0/24}
    documents:
      - {sha256: 9b74c9897bac770ffc029102a200c5de...}
    operations:
      - {name: Export}
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fraiseql_guard.core import parsing
from fraiseql_guard.core.expiry import expiry_of
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.core.watched_file import WatchedFile, cause_of
from fraiseql_guard.operations.operator.setting_overrides import options_of
from fraiseql_guard.stores.overrides import LONGEST_SECONDS, Override, OverrideKind

ACTOR: Final = "overrides file"
"""The actor in all overrides of the file."""
_SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _List:
    """One of the file's lists: the kind of its overrides, and the keys of an item under which an override's key and
    value stand (``value`` is empty for kinds without one)."""

    kind: OverrideKind
    key: str
    value: str = ""

    @property
    def keys(self) -> list[str]:
        """The keys that an item must have."""
        return [self.key, self.value] if self.value else [self.key]


_LISTS: Final[Mapping[str, _List]] = {
    "modes": _List(OverrideKind.MODE, "protection", "mode"),
    "settings": _List(OverrideKind.SETTING, "variable", "value"),
    "blocks": _List(OverrideKind.BLOCK, "ip"),
    "documents": _List(OverrideKind.DOCUMENT, "sha256"),
    "operations": _List(OverrideKind.OPERATION, "name"),
}

_NAMED: Final = 20
"""Most entries that one line of the audit names."""

Dated = tuple[Override, float | None]
"""An override, and the Unix time at which it ends; None for never."""


class OverridesFile:
    """The overrides of a file, as an OverrideSource of the control watch; none if the file does not exist.

    SettingsError at construction if the file exists and cannot be used. Later a bad file leaves the last good overrides
    in force, and ``on_problem`` is called once for each change of the file. ``on_change`` is called for each change of
    the overrides, the first included, with the fields of an audit line. ``clock`` is Unix time.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        on_problem: Callable[[str], None] = lambda _: None,
        on_change: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._on_problem = on_problem
        self._on_change = on_change
        self._entries: tuple[Dated, ...] = ()
        try:
            # No interval of its own: each poll of the control watch checks the file.
            self._file: WatchedFile[tuple[Dated, ...]] = WatchedFile(
                path, _parse, clock=clock, interval_seconds=0, absent=(), on_failure=self._failed
            )
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{name_of('overrides_file')}={str(path)!r} cannot be used: {cause_of(error)}. Accepted: YAML lists "
                f"under {', '.join(_LISTS)}, for example modes: [{{protection: all, mode: monitor}}]"
            ) from None
        self._put(self._file.value)

    def changed(self) -> bool:
        """Check the file. Returns whether its overrides have changed."""
        if not self._file.changed():
            return False
        self._put(self._file.value)
        return True

    def entries(self) -> tuple[Override, ...]:
        """The overrides in force now, each with the seconds that it has left."""
        now = self._clock()
        return tuple(
            # The control watch wants a remaining time; one far away stands for an entry without an end.
            replace(entry, expires_in_seconds=LONGEST_SECONDS if until is None else until - now)
            for entry, until in self._entries
            if until is None or until > now
        )

    def _failed(self, cause: str, is_new: bool) -> None:
        if is_new:
            self._on_problem(f"{self._path} cannot be used, the last good overrides stay in force: {cause}")

    def _put(self, entries: tuple[Dated, ...]) -> None:
        before, self._entries = self._entries, entries
        # The audit names what has changed, not the whole file.
        held, wanted = frozenset(before), frozenset(entries)
        added = [_named(each) for each in entries if each not in held]
        removed = [_named(each) for each in before if each not in wanted]
        if added or removed:
            shown = {"added": added[:_NAMED], "removed": removed[:_NAMED], "in_force": len(entries)}
            self._on_change({"actor": ACTOR, "file": str(self._path), **shown})


def _named(dated: Dated) -> str:
    """An override as text for the audit: ``mode all=monitor``, ``block 203.0.113.0/24``."""
    entry, _ = dated
    return f"{entry.kind.value} {entry.key}" + (f"={entry.value}" if entry.value else "")


def _parse(content: bytes) -> tuple[Dated, ...]:
    return read_overrides(content.decode())


def read_overrides(text: str) -> tuple[Dated, ...]:
    """The overrides in a file's text; of several with one kind and key the last. ValueError names the item and what is
    wrong with it."""
    found: dict[tuple[OverrideKind, str], Dated] = {}
    for name, items in _load(text).items():
        if name not in _LISTS:
            raise ValueError(f"{str(name)[:60]!r} is none of its lists. Accepted: {', '.join(_LISTS)}")
        if not isinstance(items, list) and items is not None:
            raise ValueError(f"{name} is not a list")
        for number, item in enumerate(items or (), start=1):
            entry, until = _entry(f"{name}, item {number}", _LISTS[name], item)
            # The last one wins, as in a store, where a later entry replaces an earlier one.
            found[entry.kind, entry.key] = entry, until
    return tuple(found.values())


def _load(text: str) -> Mapping[Any, Any]:
    """The file's lists by name; empty for an empty file. ValueError if it is no YAML mapping."""
    from fraiseql_guard.core.yaml_reader import read_yaml  # with the first text

    content = read_yaml(text)
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise ValueError(f"it has no lists. Accepted: {', '.join(_LISTS)}")
    return content


def _entry(where: str, row: _List, item: object) -> Dated:
    """The override of one item, with its end. ValueError says where the item stands and what is wrong with it."""
    wanted = row.keys
    if not isinstance(item, Mapping) or any(item.get(name) is None for name in wanted):
        raise ValueError(f"{where} needs {' and '.join(wanted)}")
    # A misspelt expires_at would hold for ever.
    if unknown := sorted({str(key) for key in item} - {*wanted, "reason", "expires_at"}):
        raise ValueError(f"{where} has an unknown key {unknown[0]!r}")
    value = _text(item[row.value]) if row.value else ""
    entry = Override(row.kind, str(item[row.key]), reason=str(item.get("reason") or ""), actor=ACTOR, value=value)
    try:
        return _checked(entry), expiry_of(item.get("expires_at"))
    except ValueError as error:  # a SettingsError is one
        raise ValueError(f"{where}: {error}") from None


def _text(value: object) -> str:
    # An unquoted true of YAML is a bool.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _checked(entry: Override) -> Override:
    """The override in the form in which the store would keep it. ValueError if it cannot be used."""
    check = _CHECKS.get(entry.kind)
    return entry if check is None else check(entry)


def _checked_setting(entry: Override) -> Override:
    options_of(entry)
    return entry


def _checked_block(entry: Override) -> Override:
    # A typing error (/0 for /8) would shut everyone out.
    if parsing.network(entry.key).prefixlen == 0:
        raise ValueError("it would block every address")
    return entry


def _checked_document(entry: Override) -> Override:
    digest = entry.key.lower()
    if _SHA256.fullmatch(digest) is None:
        raise ValueError("sha256 is not 64 hexadecimal digits")
    return replace(entry, key=digest)


_CHECKS: Final[Mapping[OverrideKind, Callable[[Override], Override]]] = {
    OverrideKind.MODE: _checked_setting,
    OverrideKind.SETTING: _checked_setting,
    OverrideKind.BLOCK: _checked_block,
    OverrideKind.DOCUMENT: _checked_document,
}
