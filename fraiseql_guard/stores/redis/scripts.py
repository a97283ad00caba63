"""The Lua scripts of the store."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fraiseql_guard.stores.redis.client import Script

_NAMES: Final = (
    "admit", "adjust", "impose", "lift", "lift_job", "index", "page",
    "limit", "overrides", "recent", "documents", "refused", "fleet", "ring",
)  # fmt: skip


def read_scripts() -> dict[str, Script]:
    """All scripts that a connection loads, by name: ``lua/NAME.lua`` of this package."""
    return {name: read_script(name) for name in _NAMES}


def read_script(name: str) -> Script:
    """The script ``lua/NAME.lua``."""
    return Script.of((files("fraiseql_guard.stores.redis") / "lua" / f"{name}.lua").read_text(encoding="utf-8"))
