"""``mode`` and ``set``: change modes and settings on all workers for a while, without a restart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Final

import typer

from fraiseql_guard.cli.connect import AsOption, UrlOption, ask
from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.output import HOUR, ForOption, ReasonOption, print_done, seconds_of
from fraiseql_guard.cli.render import JsonOption, print_list, remaining
from fraiseql_guard.cli.targets import command_line
from fraiseql_guard.core.settings import CHANGEABLE, VARIABLES
from fraiseql_guard.core.variables import SettingVariable
from fraiseql_guard.operations.operator.fields import MODE, PROTECTION
from fraiseql_guard.operations.operator.interface import Switch
from fraiseql_guard.stores.overrides import ALL

CLEAR: Final = "clear"
_MODES: Final = tuple[str, ...](MODE.schema["enum"])
_ALSO: Final = {
    "query_timeout": " (FraiseQL's own limit, which has the same variable, follows in apps wrapped by "
    "fraiseql_guard.fraiseql.protect(); in others it stays as it was at their start)"
}
"""Further effects of a variable, by its option: words that follow the sentence about the change."""
_PROTECTIONS: Final = tuple[str, ...](PROTECTION.schema["enum"])


def mode(
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="[enforce|monitor|clear]",
            help="The mode; clear ends what was set; nothing lists it.",
            autocompletion=lambda: [*_MODES, CLEAR],
            show_default=False,
        ),
    ] = None,
    protection: Annotated[
        str,
        typer.Option(help="One protection alone.", autocompletion=lambda: list(_PROTECTIONS)),
    ] = ALL,
    lasts: ForOption = HOUR,
    reason: ReasonOption = "",
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse (enforce) or only count and log (monitor) on all workers for a while, without a restart."""
    with exit_on_error():
        if protection not in _PROTECTIONS:
            raise ValueError(f"--protection {protection!r} is none. Accepted: {', '.join(_PROTECTIONS)}")
        whose = "every protection" if protection == ALL else protection
        if wanted is None:
            _list("mode", url, as_json)
        elif wanted == CLEAR:
            deed = f"cleared the mode of {whose}: the configured one holds again"
            _clear("mode", protection, deed, acting_as=acting_as, url=url, as_json=as_json)
        elif wanted in _MODES:
            own = () if protection == ALL else ("--protection", protection)
            undo = command_line("mode", CLEAR, *own, url=url)
            switch = _Switched("mode", protection, wanted, f"{whose} in mode {wanted} on all workers", undo)
            _switch(switch, lasts, reason, acting_as=acting_as, url=url, as_json=as_json)
        else:
            raise ValueError(f"{wanted[:40]!r} is no mode. Accepted: {', '.join(_MODES)} or {CLEAR}")


def _variables(incomplete: str) -> Iterator[tuple[str, str]]:
    """The variables that begin with ``incomplete``, each with its documentation: for the shell's completion."""
    word = incomplete.upper()
    return ((row.name, row.doc) for row in VARIABLES if row.option in CHANGEABLE and row.name.startswith(word))


def set_variable(
    variable: Annotated[
        str | None,
        typer.Argument(
            metavar="[VARIABLE]", autocompletion=_variables, help="As its name or its option.", show_default=False
        ),
    ] = None,
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="As it stands in the environment.", show_default=False)
    ] = None,
    clear: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE", autocompletion=_variables, help="End what was set: the configured value holds."
        ),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List what is set.")] = False,
    lasts: ForOption = HOUR,
    reason: ReasonOption = "",
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a variable on all workers for a while, without a restart."""
    with exit_on_error():
        if clear is not None and variable is not None:
            raise ValueError(f"one thing at a time: {command_line('set', '--clear', clear)}")
        if clear is not None:
            name = _row_of(clear).name
            deed = f"cleared {name}: the configured value holds again"
            _clear("setting", name, deed, acting_as=acting_as, url=url, as_json=as_json)
        # Without a variable the command lists, as mode does.
        elif list_all or variable is None:
            _list("setting", url, as_json)
        else:
            switch = _of_variable(_changeable(variable, value), str(value), url)
            _switch(switch, lasts, reason, acting_as=acting_as, url=url, as_json=as_json)


def _of_variable(row: SettingVariable, value: str, url: str | None) -> _Switched:
    deed = f"set {row.name} to {value} on all workers{_ALSO.get(row.option, '')}"
    return _Switched("setting", row.name, value, deed, command_line("set", "--clear", row.name, url=url))


@dataclass(frozen=True, slots=True)
class _Switched:
    """A fleet-wide override to set: its kind, name and value, the sentence that reports it, and the command that ends
    it."""

    kind: str
    name: str
    value: str
    deed: str
    undo: str


def _switch(
    switch: _Switched, lasts: str, reason: str, *, acting_as: str | None, url: str | None, as_json: bool
) -> None:
    """Set an override for a while, and print the outcome."""
    seconds = seconds_of(lasts)
    done = ask(
        url,
        lambda fleet: fleet.operator.switch(
            switch.kind, switch.name, switch.value, duration_seconds=seconds, reason=reason, actor=fleet.actor
        ),
        acting_as=acting_as,
    )
    print_done(done, switch.deed, as_json=as_json, lasts_seconds=seconds, undo=switch.undo)


def _clear(kind: str, name: str, deed: str, *, acting_as: str | None, url: str | None, as_json: bool) -> None:
    """End an override, and print the outcome."""
    done = ask(url, lambda fleet: fleet.operator.unswitch(kind, name, actor=fleet.actor), acting_as=acting_as)
    print_done(done, deed, as_json=as_json)


def _changeable(word: str, value: str | None) -> SettingVariable:
    """The row of a variable that can be changed to this value while workers run; else ValueError."""
    row = _row_of(word)
    if value is None:
        raise ValueError(f"{row.name}: what value? Accepted: {row.form.accepts}, for example {row.form.example}")
    if row.option not in CHANGEABLE:
        raise ValueError(f"{row.name} cannot be changed while workers run: set it where they are started")
    # Checked here first: a bad value never leaves this machine.
    row.read(value, row.name)
    return row


def _row_of(word: str) -> SettingVariable:
    """The row of a variable, given by its name or its option. ValueError, with the nearest name, for any other word."""
    for row in VARIABLES:
        if word in (row.name, row.option) or word.upper() == row.name:
            return row
    # A typing error is the most likely mistake.
    near = get_close_matches(word.upper(), [row.name for row in VARIABLES], n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise ValueError(f"{word[:80]!r} is no variable{hint} All variables: {command_line('config')}")


def _list(kind: str, url: str | None, as_json: bool) -> None:
    found = [each for each in ask(url, lambda fleet: fleet.operator.switches()) if each.kind == kind]
    headers = ("name", "value", "ends in", "reason", "by")
    print_list(found, headers, _row, none="Nothing is set: the configured values hold.", as_json=as_json)


def _row(each: Switch) -> Sequence[object]:
    return each.name, each.value, remaining(each.expires_in_seconds), each.reason, each.actor
