"""``python -m tests.docs.run_page PAGE``: runs the Python of a page, in its order, in one namespace."""

from __future__ import annotations

import asyncio
import re
import sys

from tests.docs.claims import claimed
from tests.docs.runners import begin, run_python
from tests.support.pages import blocks


async def run_page(page: str) -> None:
    """Run every block that no test claims; guards that it leaves are closed."""
    names = begin()
    for block in blocks(page):
        if not claimed(block):
            await run_python(block, names)
    for value in list(names.values()):
        if hasattr(value, "aclose") and not isinstance(value, type):
            await value.aclose()


def needs_fraiseql(page: str) -> bool:
    """Whether a page's own blocks import FraiseQL, which is one application a process."""
    return any(re.search(r"^(?:import|from) fraiseql\b", block, re.MULTILINE) for block in blocks(page))


if __name__ == "__main__":
    asyncio.run(run_page(sys.argv[1]))
