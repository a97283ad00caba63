"""What is told of a database statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """What is told of a database statement: its kind (``select``, ``call``, ...) and the table, view or function that
    it is about, ``""`` where there is none."""

    query_type: str
    table_name: str


Naming = Callable[[], Statement]
"""Says what is told of a statement: found out when it is asked for, which is seldom before the statement has ended."""
