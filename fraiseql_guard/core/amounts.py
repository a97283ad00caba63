"""Amounts as people read them."""

from __future__ import annotations


def amount(count: int, noun: str) -> str:
    """``1 event``, ``2,000 events``. ``noun`` is in the singular, and takes an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
