"""Reads the rules of a file, again whenever it changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from fraiseql_guard.core.rule_checks import refuse_loosening, refuse_two_sources
from fraiseql_guard.core.rule_forms import MOST_FILE_BYTES, rules_in_file
from fraiseql_guard.core.rules import Rules, as_written
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.core.watched_file import WatchedFile, cause_of

ACTOR: Final = "rules file"
"""The actor in audit lines about the file."""


class RulesFile:
    """The rules in the file ``settings.rules_file``. SettingsError at construction if it cannot be used.

    Later a bad file leaves the last good rules in force, and ``on_problem`` is called once for each change of the file.
    ``on_change`` is called for each change of the rules, with the fields of an audit line. ``clock`` counts seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_problem: Callable[[str], None] = lambda _: None,
        on_change: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._on_problem = on_problem
        self._on_change = on_change
        path = settings.rules_file
        if path is None:
            raise SettingsError(f"{name_of('rules_file')} is not set")
        self._path = path
        try:
            # No interval of its own: changed() is called twice a second, and reads the file only after a change.
            self._file: WatchedFile[Rules] = WatchedFile(
                path,
                self._read,
                clock=clock,
                interval_seconds=0,
                limit_bytes=MOST_FILE_BYTES + 1,
                on_failure=self._failed,
            )
        except (OSError, ValueError) as error:
            raise SettingsError(f"{name_of('rules_file')}={str(path)!r} cannot be used: {cause_of(error)}") from None

    @property
    def rules(self) -> Rules:
        """The rules in force: those of the last good file."""
        return self._file.value

    def changed(self) -> bool:
        """Check the file. Returns whether its rules have changed."""
        before = self._file.value
        if not self._file.changed() or self._file.value == before:
            return False
        held, wanted = _by_name(before), _by_name(self._file.value)
        self._on_change(
            {
                "actor": ACTOR,
                "file": str(self._path),
                "added": [name for name in wanted if name not in held],
                "removed": [name for name in held if name not in wanted],
                "changed": [name for name in wanted if name in held and held[name] != wanted[name]],
                "in_force": len(wanted),
            }
        )
        return True

    def _read(self, content: bytes) -> Rules:
        rules = rules_in_file(content)
        refuse_loosening(rules, self._settings)
        return rules

    def _failed(self, cause: str, is_new: bool) -> None:
        if is_new:
            self._on_problem(f"{self._path} cannot be used, the last good rules stay in force: {cause}")


def with_rules(settings: Settings) -> Settings:
    """The settings with the rules of their rules file, if they name one: those of a worker that starts now.
    SettingsError if the file cannot be used, or rules come from two sources."""
    refuse_two_sources(settings)
    if settings.rules_file is None:
        return settings
    sources = {**settings.sources, "rules": "file"}
    return replace(settings, rules=RulesFile(settings).rules, sources=sources)


def _by_name(rules: Rules) -> dict[str, object]:
    return {rule.name: as_written(rule) for rule in rules.entries}
