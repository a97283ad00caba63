"""A guard whose time passes only when a test says so."""

from __future__ import annotations

import time
from typing import Any

from fraiseql_guard.testing import ManualClock


def own_clock(guard: Any) -> ManualClock:
    """One clock, which stands still, for the store in memory and all that a guard remembers of its decisions.

    For a guard that has not been asked yet, and for tests that compare numbers of seconds.
    """
    clock, stack = ManualClock(time.monotonic()), guard.runtime
    admission = stack.admission
    store = stack.store
    for part in (store, store.sanctions, store.limits, stack.refusal_cache, admission._refusals, admission._blocked):
        part._clock = clock
    return clock
