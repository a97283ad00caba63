"""``python -m tests.docs.run_page PAGE``: runs the Python of a page, in its order, in one namespace."""

from __future__ import annotations

import asyncio
import re
import sys
from types import ModuleType

from tests.docs.claims import claimed
from tests.docs.runners import begin, run_python
from tests.support.pages import blocks


async def run_page(page: str) -> None:
    """Run every block that no test claims; guards that it leaves are closed."""
    # A module that is known: frameworks look up there what an annotation names.
    module = ModuleType("page", f"The code of {page}")
    vars(module).update(begin())
    sys.modules[module.__name__] = module
    try:
        for block in blocks(page):
            if not claimed(block):
                await run_python(block, vars(module))
    finally:
        del sys.modules[module.__name__]
    for value in list(vars(module).values()):
        if hasattr(value, "aclose") and not isinstance(value, type):
            await value.aclose()


def needs_fraiseql(page: str) -> bool:
    """Whether blocks that no test claims import FraiseQL, which is one application a process."""
    own = (block for block in blocks(page) if not claimed(block))
    return any(re.search(r"^(?:import|from) fraiseql\b", block, re.MULTILINE) for block in own)


if __name__ == "__main__":
    asyncio.run(run_page(sys.argv[1]))
