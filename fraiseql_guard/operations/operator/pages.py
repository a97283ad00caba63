"""Pages of a store's list, filtered by what an operator asks about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from fraiseql_guard.operations.operator.deps import store_answering
from fraiseql_guard.operations.operator.interface import OperatorError
from fraiseql_guard.stores.sanction_pages import Page

V = TypeVar("V")

LOOKED_AT: Final = 1_000
"""Entries that are looked at for one page. Where few of many are asked about, a page is short or empty, and the next
one goes on."""
_ROUND: Final = 40
"""One call of the store costs as much as looking at so many entries."""


async def filtered_page(
    read: Callable[[int, str], Awaitable[Page[V]]], count: int, cursor: str, keep: Callable[[V], bool]
) -> Page[V]:
    """A page of the entries that ``keep`` is true for. OperatorError for a cursor that no page gave."""
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
