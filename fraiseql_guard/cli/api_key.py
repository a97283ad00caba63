"""``fraiseql-guard api-key``: makes an API key, and the entry with its SHA-256 by which the guard knows it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.render import print_command, warn
from fraiseql_guard.core.replaced_file import replace_file
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.watched_file import cause_of
from fraiseql_guard.identity.api_keys import ApiKey, digest_of
from fraiseql_guard.identity.api_keys_file import MAX_FILE_BYTES, read_entries

try:
    from fcntl import LOCK_EX, flock
except ImportError:  # no Unix: two commands at once may lose an entry
    flock = None  # type: ignore[assignment]

_RANDOM_BYTES: Final = 32
_PREFIX: Final = "fgk_"
"""Begins every key, so that people, and programs that look for lost secrets, recognize it."""
_LONGEST_DAYS: Final = 3650
_WIDE: Final = 4096
"""Longer than any line of an entry, so that YAML folds none."""
_EMPTY: Final = frozenset({"", "[]", "---", "---[]"})


def api_key(
    name: Annotated[str, typer.Argument(help="Who gets the key: the user_id in logs, metrics and limits.")],
    tier: Annotated[str | None, typer.Option(help="Tier of the key's owner.", show_default=False)] = None,
    scope: Annotated[list[str] | None, typer.Option(help="A scope of the key. Repeatable.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant of the key's owner.", show_default=False)] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=_LONGEST_DAYS, help="Days until it expires; else never.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help=f"File to add the entry to, in one step ({name_of('api_keys_file')}); else it is printed.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make an API key of 256 random bits and print it, once: the entry beside it holds its SHA-256 alone."""
    with exit_on_error():
        expires_at = None if days is None else _moment_in(days)
        said: dict[str, Any] = {"name": name, "tier": tier, "scopes": scope, "tenant": tenant, "expires_at": expires_at}
        fields = {option: value for option, value in said.items() if value is not None}
        ApiKey(**fields)  # ValueError for what the guard would not accept
        key = f"{_PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}"
        digest = digest_of(key)
        entry = yaml.safe_dump([{"sha256": digest, **fields}], sort_keys=False, allow_unicode=True, width=_WIDE)
        if file is not None:
            with _locked(file):
                _add(file, entry, digest)
        print_command(key)
        if file is None:
            for line in entry.splitlines():
                print_command(line)
        else:
            warn(f"{file} has its entry; a guard that runs reads it within 5 s. The key is shown this once")


def _moment_in(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let no other such command change a file of this folder inside of this block."""
    if flock is None:
        yield
        return
    folder = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        flock(folder, LOCK_EX)
        yield
    finally:
        os.close(folder)


def _add(path: Path, entry: str, digest: str) -> None:
    """Add the entry to a file in one step. ValueError where the file cannot be used, or an entry cannot follow."""
    try:
        before = path.read_bytes().decode() if path.exists() else ""
        known = len(read_entries(before))
    except ValueError as error:
        raise ValueError(f"--file={path} cannot be used: {cause_of(error)}. Nothing was changed") from None
    # Entries written by hand stay as they are, with their comments.
    text = f"{before.rstrip()}\n{entry}" if "".join(before.split()) not in _EMPTY else entry
    try:
        table = read_entries(text)
        fits = len(table) == known + 1 and digest in table and len(text.encode()) <= MAX_FILE_BYTES
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"--file={path} takes no entry at its end. Accepted: entries that begin with '- ' at the left, at most "
            f"{MAX_FILE_BYTES} bytes. Nothing was changed"
        )
    replace_file(path, text.encode(), mode=0o600)
