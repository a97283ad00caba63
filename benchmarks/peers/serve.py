"""One variant under uvicorn, for the driver: ``python -m benchmarks.peers.serve MODULE REDIS_URL PER_HOUR``.

Prints the port that it listens on. Ends with the driver, even if that is killed.
"""

from __future__ import annotations

import ctypes
import importlib
import signal
import sys

from benchmarks.listeners import loopback

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel end this process when its parent is gone; nothing where the kernel is not Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Serve until a signal ends it."""
    import uvicorn  # not above: the load imports this module, and its CPU is not to be wasted

    end_with_parent()
    module, redis_url, per_hour = sys.argv[1:]
    app = importlib.import_module(f"benchmarks.peers.adapters.{module}").build(redis_url, int(per_hour))
    with loopback() as listener:
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(app, access_log=False, log_level="warning", server_header=False, date_header=False)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
