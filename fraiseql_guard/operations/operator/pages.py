"""From pages of a store to pages of what an operator asks about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from fraiseql_guard.operations.operator.deps import store_answering
from fraiseql_guard.operations.operator.interface import OperatorError
from fraiseql_guard.stores.sanction_pages import Page

V = TypeVar("V")

LOOKED_AT: Final = 1_000
"""Entries that one page looks at for those that are asked about: what is rare among many takes several pages."""
_ROUND: Final = 40
"""As much as so many entries costs one exchange."""


async def filtered_page(
    read: Callable[[int, str], Awaitable[Page[V]]], count: int, cursor: str, keep: Callable[[V], bool]
) -> Page[V]:
    """A page of the entries to keep; OperatorError if no page gave the cursor."""
    found: list[V] = []
    looked_at = 0
    try:
        while True:
            with store_answering():
                page = await read(count - len(found), cursor)
            found += [each for each in page.items if keep(each)]
            looked_at += len(page.items) + _ROUND
            cursor = page.cursor
            if not cursor or len(found) >= count or looked_at >= LOOKED_AT:
                return Page(tuple(found), cursor, page.total)
    except ValueError as error:
        raise OperatorError(str(error), field="cursor") from None
