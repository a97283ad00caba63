"""Lua scripts by the name that Redis knows them by."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: its text, and the digest that EVALSHA names."""

    text: str = field(repr=False)
    sha: str

    @classmethod
    def read(cls, name: str) -> Script:
        """The script ``lua/NAME.lua`` of this package."""
        text = (files("fraiseql_guard.stores") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())
