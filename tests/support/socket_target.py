"""The app that a server of tests/support/socket_servers.py serves: made by the function that a variable names."""

from __future__ import annotations

import importlib
import os
from typing import Any

from tests.support.socket_servers import APP


def _make() -> Any:
    module, _, function = os.environ[APP].partition(":")
    return getattr(importlib.import_module(module), function)()


app = _make()
