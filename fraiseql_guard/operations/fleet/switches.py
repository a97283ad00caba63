"""From the control set to what it overrides: settings, and documents and operations that are refused.

Only settings that are declared so (settings.CHANGEABLE) can be overridden while the process runs. An entry that cannot
be used, written by hand or by a newer version, is left out and named; it keeps no other from acting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fraiseql_guard.core.settings import CHANGEABLE, VARIABLES, Settings, SettingsError
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.core.variables import SettingVariable
from fraiseql_guard.stores.overrides import ALL, Override, OverrideKind, Overrides

_BY_NAME: Final[Mapping[str, SettingVariable]] = {row.name: row for row in VARIABLES}
_MODE: Final = "mode"
_MODE_OPTIONS: Final[Mapping[str, str]] = {
    protection.value: option for protection in Protection if (option := f"mode_{protection.value}") in CHANGEABLE
}


@dataclass(frozen=True, slots=True)
class SettingOverrides:
    """What is overridden: ``options`` with their values as text. ``problems`` are sentences about unusable entries."""

    options: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def applied_to(self, base: Settings) -> Settings:
        """The effective settings; their sources say ``override`` where one is in force."""
        return base.override(source="override", **self.options) if self.options else base


def read_switches(control: Overrides) -> SettingOverrides:
    """The overrides of settings in a control set. A mode of one protection wins over the mode of all, and both over
    the variables."""
    options: dict[str, str] = {}
    problems: list[str] = []
    modes = sorted(control.of(OverrideKind.MODE), key=lambda entry: entry.key != ALL)  # that of all first
    for entry in (*control.of(OverrideKind.SETTING), *modes):
        try:
            options |= options_of(entry)
        except SettingsError as error:
            problems.append(str(error))
    return SettingOverrides(options, tuple(problems))


def options_of(entry: Override) -> dict[str, str]:
    """What a MODE or SETTING entry overrides, by option; SettingsError that says why it cannot be used."""
    if entry.kind is OverrideKind.MODE:
        wanted = [_MODE, *_MODE_OPTIONS.values()] if entry.key == ALL else [_MODE_OPTIONS.get(entry.key, "")]
        if wanted == [""]:
            accepted = ", ".join((ALL, *_MODE_OPTIONS))
            raise SettingsError(f"mode of {entry.key[:60]!r}: there is no such protection. Accepted: {accepted}")
    else:
        row = _BY_NAME.get(entry.key)
        if row is None or row.option not in CHANGEABLE:
            problem = "is no setting" if row is None else "cannot be changed while the process runs"
            raise SettingsError(f"{entry.key[:60]} {problem}. Which can: fraiseql-guard config")
        wanted = [row.option]
    for option in wanted:
        row = next(each for each in VARIABLES if each.option == option)
        if not entry.value.strip():
            raise SettingsError(f"{row.name} is given no value. Accepted: {row.form.accepts}")
        row.read(entry.value, row.name)
    return dict.fromkeys(wanted, entry.value)
