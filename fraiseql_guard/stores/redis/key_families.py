"""The one table of the guard's keys in Redis: their names, their types, and the family that each belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.signals import KeyFamily
from fraiseql_guard.stores.redis.namespace import Namespace

SANCTION_INDEX: Final = "sanctions"
LIMIT_INDEX: Final = "limits"
CONTROL: Final = "control"
DOCUMENTS: Final = "documents"
FLEET: Final = "fleet"
REFUSALS: Final = "recent"
ACTIONS: Final = "actions"
REFUSED: Final = "refused"
LIFTING: Final = "lift"
PROBE: Final = "probe"
RECENT: Final = ":recent"
"""Ends the key of the recent sanctions (of the last minute), behind CONTROL."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One family. ``common`` is its hash tag, or empty where the tag is the digest of a subject; ``tail`` is a regular
    expression for what follows the tag."""

    family: KeyFamily
    common: str
    tail: str
    type: str


_MEMBER: Final = "[0-9a-f]*"
_MODE: Final = "(m:)?"

FAMILIES: Final[tuple[KeyRow, ...]] = (
    # of a subject (lua/admit.lua)
    KeyRow(KeyFamily.SANCTIONS, "", f":{_MODE}s{_MEMBER}", "hash"),
    KeyRow(KeyFamily.LIMITS, "", f":l{_MEMBER}", "string"),
    KeyRow(KeyFamily.BUCKETS, "", ":b:.+", "string"),
    KeyRow(KeyFamily.OFFENCES, "", f":{_MODE}o:[a-z_]+:{_MEMBER}", "list"),
    KeyRow(KeyFamily.REPEATS, "", f":{_MODE}r:[a-z_]+:{_MEMBER}", "string"),
    KeyRow(KeyFamily.GROUPS, "", f":{_MODE}g", "zset"),
    # of the whole fleet
    KeyRow(KeyFamily.SANCTION_INDEX, SANCTION_INDEX, "", "zset"),
    KeyRow(KeyFamily.LIMIT_INDEX, LIMIT_INDEX, "", "zset"),
    KeyRow(KeyFamily.CONTROL, CONTROL, "", "hash"),
    KeyRow(KeyFamily.RECENT_SANCTIONS, CONTROL, RECENT, "zset"),
    KeyRow(KeyFamily.DOCUMENTS, DOCUMENTS, "", "hash"),
    KeyRow(KeyFamily.DOCUMENT_TEXTS, DOCUMENTS, ":texts", "hash"),
    KeyRow(KeyFamily.HEARTBEAT_TIMES, FLEET, ":alive", "zset"),
    KeyRow(KeyFamily.HEARTBEATS, FLEET, ":alive:said", "hash"),
    KeyRow(KeyFamily.REFUSALS, REFUSALS, "", "list"),
    KeyRow(KeyFamily.ACTIONS, ACTIONS, "", "list"),
    KeyRow(KeyFamily.REFUSED_DOCUMENTS, REFUSED, "", "hash"),
    KeyRow(KeyFamily.REFUSED_TIMES, REFUSED, ":seen", "zset"),
    KeyRow(KeyFamily.LIFTING, LIFTING, ":(automatic|operator|any)", "hash"),
    KeyRow(KeyFamily.PROBE, PROBE, "", "string"),
)

_TAG: Final = re.compile(r"^([^{}]*):\{([^{}]*)\}(.*)$", re.DOTALL)


def row_of(key: str) -> KeyRow | None:
    """The row of a key's family; None for a key that the guard does not write."""
    named = _TAG.match(key)
    if named is None:
        return None
    # The hash tag stands in braces.
    tag, tail = named[2], named[3]
    known = {row.common for row in FAMILIES if row.common}
    common = tag if tag in known else ""
    return next((row for row in FAMILIES if row.common == common and re.fullmatch(row.tail, tail)), None)


def shared_keys(names: Namespace) -> Mapping[str, KeyRow]:
    """The families of the fleet's keys, by key: all keys with fixed names, which the lift jobs' do not have."""
    return {
        names.common(row.common) + row.tail: row
        for row in FAMILIES
        if row.common and row.family is not KeyFamily.LIFTING
    }
