"""The allow-list: addresses that are not counted and never blocked automatically, from the settings, from a file that
may change, and from operators through the store.

The file is YAML, a list of entries (runbook: rate limiting triggered):

    - ip: 203.0.113.0/24
      reason: our monitoring
      expires_at: 2026-12-31T00:00:00Z   # optional
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fraiseql_guard.core import parsing
from fraiseql_guard.core.expiry import expiry_of
from fraiseql_guard.core.parsing import Network
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.core.watched_file import WatchedFile, cause_of
from fraiseql_guard.identity.networks import NetworkSet
from fraiseql_guard.stores.overrides import OverrideKind, Overrides

_KEYS: Final = frozenset({"ip", "reason", "expires_at"})
_EXAMPLE: Final = "- {ip: 203.0.113.0/24, reason: our monitoring, expires_at: 2026-12-31T00:00:00Z}"


@dataclass(frozen=True, slots=True)
class AllowedEntry:
    """One entry of the file. ``expires_at`` is in seconds since 1970, None for never."""

    network: Network
    reason: str
    expires_at: float | None

    @property
    def ends_at(self) -> float:
        """``expires_at`` with infinity in place of None."""
        return math.inf if self.expires_at is None else self.expires_at


class AllowList:
    """Tells by ``in`` whether an address is on the list. The file is checked for changes at most every 5 seconds;
    entries end exactly at their time.

    SettingsError at construction if the file cannot be used. Later a bad file leaves the last good list in force, and
    ``on_problem`` is told once for each change. ``clock`` is Unix time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        on_problem: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._fixed = settings.allow_list
        self._path = settings.allow_list_file
        self._clock = clock
        self.on_problem = on_problem
        self._by_operator: tuple[Network, ...] = ()
        self._file = None if self._path is None else self._watch(self._path)
        self._take_over(clock())

    def _watch(self, path: Path) -> WatchedFile[tuple[AllowedEntry, ...]]:
        try:
            return WatchedFile(path, _parse, clock=self._clock, on_failure=self._failed)
        except (OSError, ValueError) as error:
            name = name_of("allow_list_file")
            raise SettingsError(
                f"{name}={str(path)!r} cannot be used: {cause_of(error)}. Accepted: a YAML list of ip, reason "
                f"and expires_at, for example {_EXAMPLE}"
            ) from None

    def update(self, control: Overrides) -> None:
        """Take over the networks that operators have allowed for a while."""
        self._by_operator = tuple(network for network, _ in control.networks(OverrideKind.ALLOW))
        self._take_over(self._clock())

    def entries(self) -> Sequence[AllowedEntry]:
        """The entries of the file that are in force."""
        self._reload_if_due()
        return self._in_force(self._clock())

    def __contains__(self, address: object) -> bool:
        if self._file is not None:
            self._reload_if_due()
        # Most lists are empty: then no address is parsed.
        return self._allows and isinstance(address, str) and address in self._networks

    def _reload_if_due(self) -> None:
        if (self._file is not None and self._file.changed()) or self._clock() >= self._expires_at:
            self._take_over(self._clock())

    def _failed(self, cause: str, is_new: bool) -> None:
        if is_new:
            self.on_problem(f"{self._path} cannot be used, the last good allow-list stays in force: {cause}")

    def _in_force(self, now: float) -> Sequence[AllowedEntry]:
        """The entries of the file that have not ended."""
        return [entry for entry in self._file.value if now < entry.ends_at] if self._file is not None else ()

    def _take_over(self, now: float) -> None:
        # Entries that have ended are left out; the list is made again when the next one ends.
        valid = self._in_force(now)
        self._networks = NetworkSet((*self._fixed, *self._by_operator, *(entry.network for entry in valid)))
        self._allows = bool(self._networks)
        self._expires_at = min((each.ends_at for each in valid), default=math.inf)


def _parse(content: bytes) -> tuple[AllowedEntry, ...]:
    return read_entries(content.decode())


def read_entries(text: str) -> tuple[AllowedEntry, ...]:
    """The entries of a file; ValueError names the entry and what is wrong with it."""
    from fraiseql_guard.core.yaml_reader import read_yaml  # with the first text

    content = read_yaml(text)
    if content is None:
        return ()
    if not isinstance(content, list):
        raise ValueError("it is not a list")
    return tuple(_entry(number, item) for number, item in enumerate(content, start=1))


def _entry(number: int, item: object) -> AllowedEntry:
    if not isinstance(item, Mapping) or "ip" not in item:
        raise ValueError(f"entry {number} has no ip")
    # A typing error in expires_at would otherwise make an entry that never ends.
    if unknown := sorted(str(key) for key in item if key not in _KEYS):
        raise ValueError(f"entry {number} has an unknown key {unknown[0]!r}")
    network = _network(number, item["ip"])
    try:
        expires_at = expiry_of(item.get("expires_at"))
    except ValueError as error:
        raise ValueError(f"entry {number}: {error}") from None
    return AllowedEntry(network, str(item.get("reason") or ""), expires_at)


def _network(number: int, written: object) -> Network:
    try:
        network = parsing.network(written)
    except ValueError:
        raise ValueError(f"entry {number}: {written!r} is neither an address nor a network") from None
    # A mistake, most likely: nothing would be limited any more.
    if network.prefixlen == 0:
        raise ValueError(f"entry {number} would allow every address")
    return network
