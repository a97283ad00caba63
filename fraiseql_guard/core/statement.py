"""What metrics and log lines say of a database statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """The kind of a statement (``select``, ``call``, ...), and the table, view or function that it is about: ``""``
    without one."""

    query_type: str
    table_name: str


Naming = Callable[[], Statement]
"""Finds out what a statement is about. It is called when a signal needs it, usually after the statement has ended."""
