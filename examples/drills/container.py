"""The container that the memory drill plays: its limit is a number, what is used is really resident in the process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MIB: Final = 1024 * 1024
VARIABLE: Final = "DRILL_ROOM_BYTES"
"""How far the process may grow. Without it the real memory counts."""
ROOM: Final[Mapping[str, str]] = {VARIABLE: str(160 * MIB)}
PAGE_BYTES: Final = MIB
PAGES: Final = 118
"""What a page takes, and how many bring a process to between 80 and 90 % of its limit."""
