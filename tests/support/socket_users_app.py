"""A guarded app that asks for its users' status: those who are named in a file are disabled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from graphql import build_schema

from fraiseql_guard import Guard
from fraiseql_guard.asgi.sockets import standing_users
from tests.support.socket_apps import strawberry_app
from tests.support.socket_schema import SDL

DISABLED: Final = "SOCKET_APP_DISABLED"
"""Variable that names the file."""
ROUND: Final = "SOCKET_APP_ROUND_SECONDS"
"""Variable with the seconds after which each connection's user is asked about again, in place of a minute."""


def users_app() -> Guard:
    """Strawberry behind a guard that the server's FRAISEQL_* variables configure."""
    path = Path(os.environ[DISABLED])
    # For the life of the process; a name that the module does not have is an error, and no round of a minute.
    patch.object(standing_users, "USER_ROUND_SECONDS", float(os.environ[ROUND])).start()

    def disabled() -> list[str]:
        return path.read_text().split() if path.exists() else []

    async def status(identity: Any) -> str:
        return "disabled" if identity.user_id in disabled() else "active"

    return Guard(strawberry_app(), schema=build_schema(SDL), user_status=status)
