"""Packages that only some installations need: the extras of this package that bring them, and the error for a missing
one.

A class that needs an extra calls :func:`require` in its constructor, before it imports any of these packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from importlib.util import find_spec
from typing import Final

from fraiseql_guard.core.variables import SettingsError


class Extra(StrEnum):
    """An extra of the installation; its value is the name in brackets."""

    CLI = "cli"
    REDIS = "redis"
    JWT = "jwt"
    FRAISEQL = "fraiseql"

    @property
    def packages(self) -> tuple[str, ...]:
        """The modules to import from the packages that the extra brings."""
        return _PACKAGES[self]


_PACKAGES: Final[Mapping[Extra, tuple[str, ...]]] = {
    Extra.CLI: ("typer", "rich", "httpx"),
    Extra.REDIS: ("hiredis",),
    Extra.JWT: ("joserfc", "cryptography", "httpx"),
    Extra.FRAISEQL: ("fraiseql",),
}


def lacking(extra: Extra, wanted_by: str) -> str | None:
    """The error text for an extra that is not installed: its use, the missing packages and the remedy. None if it is
    installed."""
    missing = [package for package in extra.packages if find_spec(package) is None]
    if not missing:
        return None
    named = f"the package {missing[0]}" if len(missing) == 1 else f"the packages {', '.join(missing)}"
    return f"{wanted_by} needs {named}: {_REMEDIES.get(extra) or _install(extra)}"


def _install(extra: Extra, options: str = "") -> str:
    return f'pip install {options}"fraiseql-guard[{extra.value}]"'


_REMEDIES: Final[Mapping[Extra, str]] = {
    # Its sources, which pip takes where it has no wheel, want a Rust compiler.
    Extra.FRAISEQL: f"{_install(Extra.FRAISEQL, '--only-binary fraiseql ')} on CPython 3.13, which FraiseQL 1.9 is for",
}


def require(extra: Extra, wanted_by: str) -> None:
    """SettingsError if an extra is not installed that ``wanted_by`` needs, such as a setting by its name."""
    sentence = lacking(extra, wanted_by)
    if sentence is not None:
        raise SettingsError(sentence)
