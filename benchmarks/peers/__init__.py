"""``python -m benchmarks peers``: rate limiters for ASGI apps side by side, on one app and one real Redis.

Every variant runs in a process of its own, under uvicorn, in a virtual environment that holds all peers. The rounds
are interleaved, so that what else the machine does falls on all alike.
"""

from __future__ import annotations


def main() -> int:
    """Run the benchmark."""
    # Not above: the servers import this package in an environment that lacks what the driver needs.
    from benchmarks.peers.driver import main as drive

    return drive()
