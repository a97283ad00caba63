"""THE table of what changes something: each change with the event whose line it leaves, by whichever way it is made."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fraiseql_guard import signals as s
from fraiseql_guard.signals import Event

CHANGES: Final[Mapping[str, Event]] = MappingProxyType(
    {
        "block": s.ADMIN_BLOCK,
        "lift": s.ADMIN_LIFT,
        "lift_all": s.ADMIN_LIFT_ALL,
        "unlock": s.ADMIN_UNLOCK,
        "set_limit": s.ADMIN_LIMIT,
        "clear_limit": s.ADMIN_LIMIT_CLEARED,
        "allow": s.ADMIN_ALLOW,
        "disallow": s.ADMIN_DISALLOW,
        "switch": s.ADMIN_SWITCH,
        "unswitch": s.ADMIN_UNSWITCH,
        "collect_garbage": s.ADMIN_GC,
        "clear_caches": s.ADMIN_CLEAR_CACHES,
        "trust": s.ADMIN_TRUST,
        "distrust": s.ADMIN_DISTRUST,
    }
)
"""Methods of the Operator that change something."""
BESIDE: Final[Mapping[str, Event]] = MappingProxyType(
    {
        "kill": s.ADMIN_KILL,
        "overrides file": s.ADMIN_OVERRIDES_FILE,
        "manifest add": s.ADMIN_TRUST,
        "manifest remove": s.ADMIN_DISTRUST,
    }
)
"""What changes something without the Operator: in the database, or in a file that workers read."""
