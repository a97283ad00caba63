"""The app that a server of tests/support/socket_servers.py serves: made by the function that a variable names."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from typing import Any

from tests.support.socket_servers import APP, PARENT

POLL_SECONDS = 1.0


def _end_with(parent: int) -> None:
    """End the server, which is a process group of its own, when the tests that started it were killed."""

    def watch() -> None:
        try:
            while True:
                os.kill(parent, 0)
                time.sleep(POLL_SECONDS)
        except ProcessLookupError:
            os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _make() -> Any:
    module, _, function = os.environ[APP].partition(":")
    return getattr(importlib.import_module(module), function)()


_end_with(int(os.environ[PARENT]))
app = _make()
