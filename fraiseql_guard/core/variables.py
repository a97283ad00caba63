"""Reads a table of variables into values: forms, sources, errors, and hints for misspelt names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from fraiseql_guard.core.secret import Secret

OURS: Final = "FRAISEQL_GUARD_"
_FILE: Final = "_FILE"
_PASSWORD: Final = re.compile(r"//[^/@]*@")
"""Where an address holds one, although none belongs there."""


class SettingsError(ValueError):
    """One or more settings cannot be used. The text has one line for each, fit to be shown to the operator."""


@dataclass(frozen=True, slots=True)
class ValueForm:
    """What a value may look like: its parser, the accepted forms in words, and an example."""

    parse: Callable[[Any], Any]
    accepts: str
    example: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class SettingVariable:
    """One row of the table: keyword ``option``, environment variable ``name``."""

    option: str
    name: str
    form: ValueForm
    default: str | None  # in the variable's own form; None: unset
    doc: str
    changeable: bool = False  # an operator may override it while the process runs

    def read(self, value: object, origin: str) -> Any:
        """Parse a value given by ``origin``; SettingsError with the whole explanation if it cannot be used."""
        try:
            return self.form.parse(value)
        except ValueError as error:
            shown = "(secret)" if self.form.secret else _PASSWORD.sub("//****@", _shorten(repr(value)))
            raise SettingsError(
                f"{origin}={shown} {error}. Accepted: {self.form.accepts}, for example {self.name}={self.form.example}"
            ) from None


def setting(
    form: ValueForm, default: str | None, doc: str, *, name: str | None = None, changeable: bool = False
) -> Any:
    """Declare a row as a dataclass field. Without ``name`` the variable is FRAISEQL_GUARD_<OPTION>.

    A ``changeable`` option is a number, a limit or a mode that an operator can override while the process runs.
    """
    return field(metadata={"form": form, "default": default, "doc": doc, "name": name, "changeable": changeable})


def table_of(cls: type) -> tuple[SettingVariable, ...]:
    """The rows that a dataclass declares with :func:`setting`, in order."""
    return tuple(
        SettingVariable(
            row.name,
            row.metadata["name"] or OURS + row.name.upper(),
            row.metadata["form"],
            row.metadata["default"],
            row.metadata["doc"],
            row.metadata["changeable"],
        )
        for row in fields(cls)
        if "form" in row.metadata
    )


def read_values(
    table: Iterable[SettingVariable], options: Mapping[str, object], environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and sources (``argument``, ``environment``, ``file``, ``default``) by option. An argument of None counts
    as not given, an empty variable as unset. All errors together in one SettingsError."""
    rows = {row.option: row for row in table}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    # All problems in one message: an operator should not have to start once for each.
    problems = [_unknown_option(option, rows) for option in options if option not in rows]
    for row in rows.values():
        try:
            values[row.option], sources[row.option] = _read_one(row, options.get(row.option), environ)
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError("\n".join(problems))
    return values, sources


def _read_one(row: SettingVariable, argument: object, environ: Mapping[str, str]) -> tuple[Any, str]:
    given = environ.get(row.name, "").strip()
    # Only secrets may be given by a file (NAME_FILE), as orchestrators mount them.
    in_file = environ.get(row.name + _FILE, "").strip() if row.form.secret else ""
    # An argument wins over the variable, and the variable over the default.
    if argument is not None:
        return row.read(argument, row.option), "argument"
    if given and in_file:
        raise SettingsError(f"{row.name} and {row.name}{_FILE} are both set. Remove one of them")
    if given:
        return row.read(given, row.name), "environment"
    if in_file:
        return row.read(_secret_file(row, in_file), row.name + _FILE), "file"
    if row.default is None:
        return None, "default"
    return row.read(row.default, row.name), "default"


def _secret_file(row: SettingVariable, path: str) -> Secret:
    name = row.name + _FILE
    try:
        return Secret(path=Path(path), check=row.form.parse)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is empty or not UTF-8 text"
        raise SettingsError(
            f"{name}={path!r} cannot be read: {cause}. Accepted: a readable file that holds the secret alone, "
            f"for example {name}=/run/secrets/{name.lower()}"
        ) from None


def _unknown_option(option: str, rows: Mapping[str, SettingVariable]) -> str:
    meant = _meant_option(option, rows)
    hint = f"; did you mean {meant}?" if meant else "."
    return (
        f"{option} is not an option{hint} An option is a variable without its FRAISEQL_ or FRAISEQL_GUARD_, in small "
        "letters; fraiseql-guard config lists the variables"
    )


def _meant_option(option: str, rows: Mapping[str, SettingVariable]) -> str | None:
    """The option that was probably meant by a name that is none."""
    for row in rows.values():
        if row.name == option.upper():
            return row.option
    # rate_limit is nearer to rate_limit_key than to the rate itself.
    if f"{option}_default" in rows:
        return f"{option}_default"
    near = get_close_matches(option, rows, n=1)
    return near[0] if near else None


def unknown_variables(
    table: Iterable[SettingVariable], foreign: Iterable[str], environ: Mapping[str, str] | None = None
) -> list[str]:
    """One sentence for each FRAISEQL_* variable that is not read, with the nearest real name."""
    ours: set[str] = set()
    for row in table:
        ours.update({row.name, row.name + _FILE} if row.form.secret else {row.name})
    known = ours | set(foreign)
    around = os.environ if environ is None else environ
    unknown = [name for name in sorted(around) if name.startswith("FRAISEQL_") and name not in known]
    return [f"{name} is set and nothing reads it{_near(name, ours)}" for name in unknown]


def _near(name: str, ours: Iterable[str]) -> str:
    """A hint at the variable that was probably meant. A name that is far from all belongs to something else."""
    near = get_close_matches(name, ours, n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""


def _shorten(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
