"""Writes a file as a whole, so that no reader ever sees half of it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes, *, mode: int) -> None:
    """Put content in the place of a file in one step. The file keeps its owner and its mode; one that is new gets
    ``mode``. OSError."""
    # Write a file beside it, make it durable, then rename it: a rename is one step.
    target = path.resolve()  # a link stays one
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for their owner alone, and a server under another user could not read it.
        if target.exists():
            before = target.stat()
            fresh.chmod(before.st_mode & 0o7777)
            with suppress(PermissionError):  # who is not root owns what they write
                os.chown(fresh, before.st_uid, before.st_gid)
        else:
            fresh.chmod(mode)
        fresh.replace(target)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
