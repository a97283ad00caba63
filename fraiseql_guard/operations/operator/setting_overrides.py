"""Reads which settings a control set overrides.

Only settings that are declared so (settings.CHANGEABLE) can be overridden while a process runs. An entry that cannot be
used, because it was written by hand or by a newer version, is left out and named; the others hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fraiseql_guard.core.settings import CHANGEABLE, VARIABLES, Mode, Settings
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.core.variables import SettingsError, SettingVariable
from fraiseql_guard.stores.overrides import ALL, Override, OverrideKind, Overrides

_BY_NAME: Final[Mapping[str, SettingVariable]] = {row.name: row for row in VARIABLES}
_BY_OPTION: Final[Mapping[str, SettingVariable]] = {row.option: row for row in VARIABLES}
_MODE: Final = "mode"
_MODE_OPTIONS: Final[Mapping[str, str]] = {
    protection.value: option for protection in Protection if (option := f"mode_{protection.value}") in CHANGEABLE
}
_MODES: Final = frozenset({_MODE, *_MODE_OPTIONS.values()})


@dataclass(frozen=True, slots=True)
class SettingOverrides:
    """The overridden ``options`` with their values as text, and ``problems``: a sentence for each unusable entry."""

    options: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def applied_to(self, base: Settings) -> Settings:
        """The effective settings. The source of an overridden one is ``override``."""
        return base.override(source="override", **self.options) if self.options else base


def setting_overrides(control: Overrides) -> SettingOverrides:
    """The overrides of settings in a control set. The mode of one protection wins over the mode of all, and both win
    over the variables."""
    options: dict[str, str] = {}
    problems: list[str] = []
    modes = sorted(control.of(OverrideKind.MODE), key=lambda entry: entry.key != ALL)  # that of all first
    for entry in (*control.of(OverrideKind.SETTING), *modes):
        try:
            # Later entries win: modes come behind variables, that of one protection behind that of all.
            options |= options_of(entry)
        except SettingsError as error:
            problems.append(str(error))
    return SettingOverrides(options, tuple(problems))


def options_of(entry: Override) -> dict[str, str]:
    """The options that a MODE or SETTING entry overrides, each with its value. SettingsError says why an entry cannot
    be used."""
    wanted = _options_of_mode(entry.key) if entry.kind is OverrideKind.MODE else [_option_of_variable(entry.key)]
    # The value is read here, so that what is bad is named before any worker applies it.
    for option in wanted:
        row = _BY_OPTION[option]
        # Some forms read an empty text as an empty list: here it is more likely a slip than meant.
        if not entry.value.strip():
            raise SettingsError(f"{row.name} is given no value. Accepted: {row.form.accepts}")
        if option in _MODES:
            _refuse_off(row, entry.value)
        row.read(entry.value, row.name)
    return dict.fromkeys(wanted, entry.value)


def _refuse_off(row: SettingVariable, value: str) -> None:
    """SettingsError for what is no mode at run time. What is off is not built: a block that an operator sets next would
    have no effect."""
    mode = value.strip().lower()
    if mode not in (Mode.ENFORCE, Mode.MONITOR):
        problem = f"{row.name} cannot be off" if mode == Mode.OFF else f"{row.name}={value[:60]!r} is no mode"
        raise SettingsError(f"{problem} at run time. Accepted: enforce or monitor")


def _options_of_mode(protection: str) -> list[str]:
    if protection == ALL:
        # The mode of all is set on each protection as well: one configured on its own would otherwise stay.
        return [_MODE, *_MODE_OPTIONS.values()]
    if protection not in _MODE_OPTIONS:
        accepted = ", ".join((ALL, *_MODE_OPTIONS))
        raise SettingsError(f"mode of {protection[:60]!r}: there is no such protection. Accepted: {accepted}")
    return [_MODE_OPTIONS[protection]]


def _option_of_variable(name: str) -> str:
    row = _BY_NAME.get(name)
    if row is None or row.option not in CHANGEABLE:
        problem = "is no setting" if row is None else "cannot be changed while the process runs"
        raise SettingsError(f"{name[:60]} {problem}. Which can: fraiseql-guard config")
    return row.option
