"""Helpers for tests of apps that this package protects: a probe of a guard, a clock that tests move, and tokens.

The pytest fixtures are in ``fraiseql_guard.testing.plugin``; the other modules do not need pytest.
"""

from typing import TYPE_CHECKING

from fraiseql_guard.core.first_use import on_first_use

if TYPE_CHECKING:
    from fraiseql_guard.testing.clock import ManualClock
    from fraiseql_guard.testing.exposition import Sample, Samples, samples_of
    from fraiseql_guard.testing.probe import GuardProbe
    from fraiseql_guard.testing.tokens import make_token, sign, signing_key

__all__ = ["GuardProbe", "ManualClock", "Sample", "Samples", "make_token", "samples_of", "sign", "signing_key"]

# Loaded on first use: pytest loads this package's plugin with every run, and must not load a guard before a test of
# one.
__getattr__ = on_first_use(
    __name__,
    {
        "clock": ("ManualClock",),
        "exposition": ("Sample", "Samples", "samples_of"),
        "probe": ("GuardProbe",),
        "tokens": ("make_token", "sign", "signing_key"),
    },
)
