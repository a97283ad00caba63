"""The ``fraiseql-guard`` command: one file a command or group of commands, joined in main.py."""

from fraiseql_guard.cli.main import app

__all__ = ["app"]
