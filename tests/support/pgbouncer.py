"""A real PgBouncer of our own in front of a PostgreSQL, in transaction mode; ended when it is left."""

from __future__ import annotations

import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tools.components import locate
from tools.listening import end, listening


@contextmanager
def running_pgbouncer(url: str) -> Iterator[str]:
    """Yield the address of the same database behind PgBouncer."""
    socket_folder = parse_qs(urlsplit(url).query)["host"][0]
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        users, configuration, log = folder / "users.txt", folder / "pgbouncer.ini", folder / "log"
        users.write_text('"postgres" ""\n"dba_limited" ""\n')
        owner = pwd.getpwuid(Path(socket_folder).stat().st_uid).pw_name

        def command(address: str) -> list[str | Path]:
            host, _, port = address.rpartition(":")
            configuration.write_text(
                f"[databases]\npostgres = host={socket_folder}\n"
                f"[pgbouncer]\nlisten_addr = {host}\nlisten_port = {port}\nunix_socket_dir =\n"
                f"auth_type = trust\nauth_file = {users}\npool_mode = transaction\ndefault_pool_size = 2\n"
            )
            for path in (folder, users, configuration):
                path.chmod(0o755)
            return [locate("pgbouncer"), *(["-u", owner] if os.getuid() == 0 else []), configuration]

        process, address = listening(command, log, start_seconds=60.0, is_ready=_accepts)
        try:
            yield f"postgresql://{{user}}@{address}/postgres"
        finally:
            end(process)


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True
