"""gunicorn with several workers of a guarded app: ``gunicorn -c gunicorn.conf.py blog:app``.

Needs uvicorn-worker. FRAISEQL_REDIS_URL is what the workers share their limits by; PROMETHEUS_MULTIPROC_DIR, an empty
folder of this container's own, is what they share their metrics by, whichever of them is scraped.
"""

import os
import shutil
from pathlib import Path

from prometheus_client import multiprocess

bind = "0.0.0.0:8000"
workers = int(os.environ.get("WEB_CONCURRENCY", "4"))  # the guard divides its limits by it where Redis is away
worker_class = "uvicorn_worker.UvicornWorker"
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


def on_starting(server):  # noqa: ANN001, ANN201, ARG001 - gunicorn's hooks
    """Begin with an empty folder: what is left there was counted by processes of another start."""
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def child_exit(server, worker):  # noqa: ANN001, ANN201, ARG001
    """A worker has ended: what it held at that moment is no longer held."""
    multiprocess.mark_process_dead(worker.pid)
