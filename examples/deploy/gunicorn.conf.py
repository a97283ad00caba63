"""gunicorn with several workers of a guarded app: ``gunicorn -c gunicorn.conf.py blog:app``.

Needs uvicorn-worker. FRAISEQL_REDIS_URL is what the workers share their limits by; PROMETHEUS_MULTIPROC_DIR, a folder
of this container's own, is what they share their metrics by, whichever of them is scraped.
"""

import os
from pathlib import Path
from typing import Any, ClassVar

from prometheus_client import multiprocess
from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):
    """uvicorn, with what its command line in docs/servers.md says."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS,
        "lifespan": "on",  # a start that fails ends the worker
        "ws_max_size": 262_144,  # in bytes; twice FRAISEQL_GUARD_MAX_MESSAGE_BYTES
        "ws_max_queue": 4,
        # How long a worker that ends waits for its streams: longer than FRAISEQL_QUERY_TIMEOUT, and shorter than
        # graceful_timeout, so that it has ended in order before gunicorn kills it.
        "timeout_graceful_shutdown": 33,
    }


bind = "0.0.0.0:8000"
workers = int(os.environ.get("WEB_CONCURRENCY", "4"))  # the guard divides its limits by it where Redis is away
worker_class = Worker
# Longer than FRAISEQL_QUERY_TIMEOUT: the guard answers before a worker is killed for being silent.
timeout = 60
graceful_timeout = 35
# Workers that are recycled now and then, not all at once.
max_requests = 50_000
max_requests_jitter = 5_000
# The guard reads forwarding headers itself: name your proxies in FRAISEQL_GUARD_TRUSTED_PROXIES.
forwarded_allow_ips = ""
# No door of gunicorn's own (25.1 and later), for which it wants a folder in the home directory.
control_socket_disable = True

metrics = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")


def on_starting(server):  # noqa: ANN001, ANN201, ARG001 - gunicorn's hooks
    """Begin without metrics: what is left there was counted by processes of another start."""
    if not metrics:
        return  # one worker needs no folder; with several the guard's log says what is missing
    Path(metrics).mkdir(parents=True, exist_ok=True)
    # No more than these, should the variable name a folder that holds something else.
    for pattern in ("*.db", "*.alive", "*.tmp", "*.lock"):
        for left in Path(metrics).glob(pattern):
            left.unlink()


def child_exit(server, worker):  # noqa: ANN001, ANN201, ARG001
    """A worker has ended: what it held at that moment is no longer held."""
    if metrics:
        multiprocess.mark_process_dead(worker.pid)
