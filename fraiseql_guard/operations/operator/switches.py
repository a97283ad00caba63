"""Fleet-wide overrides: modes, settings, refused documents and operations, for a while; and commands, done once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.settings import CHANGEABLE, VARIABLES
from fraiseql_guard.core.signals import Event
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.operations.operator.dangers import watched_document
from fraiseql_guard.operations.operator.deps import (
    OperatorDeps,
    duration_text,
    printable_text,
    seconds,
    store_answering,
)
from fraiseql_guard.operations.operator.fields import DIGEST, MODE, OPERATION_NAME, PROTECTION, FieldForm
from fraiseql_guard.operations.operator.interface import Done, OperatorError, Switch
from fraiseql_guard.stores.overrides import CLEAR_CACHES, GC, Override, OverrideKind, Overrides, command

_CHANGEABLE: Final = tuple(row.name for row in VARIABLES if row.option in CHANGEABLE)

_REFUSES: Final = frozenset({OverrideKind.DOCUMENT, OverrideKind.OPERATION})
"""Kinds whose entries refuse requests."""

_SAID: Final = 1_000
"""Most characters of a value that log lines and answers repeat."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of switch: its entries, its sentence for people, and checks that raise OperatorError for a bad name or
    value."""

    entry: OverrideKind
    says: str
    check_name: Callable[[str], None]
    check_value: Callable[[str, str], None]


class SwitchActions:
    """The operator's methods about fleet-wide overrides."""

    def __init__(self, deps: OperatorDeps) -> None:
        self._deps = deps

    async def switch(
        self, kind: str, name: str, value: str = "", *, duration_seconds: float, reason: str = "", actor: str = ""
    ) -> Done:
        """Operator.switch."""
        row, lasts, deps = _kind(kind), seconds(duration_seconds), self._deps
        row.check_name(name)
        row.check_value(name, value)
        # For the answer alone: whether it was in force already, and how many workers will follow.
        control = await deps.control()
        held = [each for each in control.of(row.entry) if each.key == name]
        beats = await deps.heartbeats()
        entry = Override(row.entry, name, lasts, printable_text(reason, "reason"), actor, value=value)
        with store_answering():
            await deps.store.overrides.put(entry)
        said = value if len(value) <= _SAID else f"{value[:_SAID]}..."
        fields = {"kind": kind, "name": name, "value": said, "duration_seconds": lasts, "reason": reason}
        await deps.record(signals.ADMIN_SWITCH, actor, fields)
        known = any(each.value == value and each.expires_in_seconds >= lasts for each in held)
        message = (
            f"{row.says.format(name=name, value=said)} for {duration_text(lasts)}, on all workers within a second."
        )
        watched = watched_document(beats, control) if row.entry in _REFUSES else ""
        if watched:
            message += f" It {watched}."
        details = {"watched": watched} if watched else {}
        return Done(message=message, changed=not known, affected=len(beats), details=details)

    async def unswitch(self, kind: str, name: str, *, actor: str = "") -> Done:
        """Operator.unswitch."""
        row, deps = _kind(kind), self._deps
        row.check_name(name)
        with store_answering():
            ended = await deps.store.overrides.delete(row.entry, name)
        await deps.record(signals.ADMIN_UNSWITCH, actor, {"kind": kind, "name": name, "removed": ended})
        now = "ended" if ended else "was not in force"
        return Done(message=f"The override of {kind} {name} {now}.", changed=ended, affected=int(ended))

    async def switches(self) -> Sequence[Switch]:
        """Operator.switches."""
        return switches_of(await self._deps.control())

    async def collect_garbage(self, *, actor: str = "") -> Done:
        """Operator.collect_garbage."""
        return await self._command(GC, signals.ADMIN_GC, "collect their garbage", actor)

    async def clear_caches(self, *, actor: str = "") -> Done:
        """Operator.clear_caches."""
        return await self._command(CLEAR_CACHES, signals.ADMIN_CLEAR_CACHES, "clear their caches", actor)

    async def _command(self, key: str, event: Event, deed: str, actor: str) -> Done:
        deps = self._deps
        workers = len(await deps.heartbeats())
        with store_answering():
            await deps.store.overrides.put(command(key, actor=actor))
        await deps.record(event, actor, {"workers": workers})
        return Done(message=f"All workers {deed} within a second.", affected=workers, details={"workers": workers})


def switches_of(control: Overrides) -> Sequence[Switch]:
    """The fleet-wide overrides of a control set."""
    kinds = {row.entry: kind for kind, row in _KINDS.items()}
    return [
        Switch(
            kind=kinds[each.kind],
            name=each.key,
            value=each.value,
            expires_in_seconds=each.expires_in_seconds,
            reason=each.reason,
            actor=each.actor,
        )
        for each in control.entries
        if each.kind in kinds
    ]


def control_of(switches: Iterable[Switch]) -> Overrides:
    """The control set of such overrides: the reverse of :func:`switches_of`, for what asks from a distance."""
    entries = [
        Override(_KINDS[each.kind].entry, each.name, value=each.value) for each in switches if each.kind in _KINDS
    ]
    return Overrides(entries=tuple(entries))


def _kind(kind: str) -> _Kind:
    row = _KINDS.get(kind)
    if row is None:
        raise OperatorError(f"{str(kind)[:40]!r} is no kind of switch: {', '.join(_KINDS)}", field="kind")
    return row


def _in(form: FieldForm, field: str) -> Callable[[str], None]:
    """A check that a name or value has the form of its field in the HTTP API."""

    def check(text: str) -> None:
        try:
            form.read(text)
        except ValueError as error:
            raise OperatorError(f"{str(text)[:80]!r} {error}", field=field) from None

    return check


def _mode(_name: str, value: str) -> None:
    _in(MODE, "mode")(value)


def _variable(name: str) -> None:
    # Only settings that are read anew for each runtime can change while workers run.
    row = next((row for row in VARIABLES if row.name == name), None)
    if row is None or row.option not in CHANGEABLE:
        problem = "is no setting" if row is None else "cannot be changed while the processes run"
        # A typing error is the most likely mistake.
        near = get_close_matches(str(name), _CHANGEABLE, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise OperatorError(f"{str(name)[:80]} {problem}{hint}", field="variable")


def _setting(name: str, value: str) -> None:
    row = next(row for row in VARIABLES if row.name == name)
    try:
        row.read(value, name)
    except SettingsError as error:
        raise OperatorError(str(error), field="value") from None


def _no_value(_name: str, value: str) -> None:
    if value:
        raise OperatorError("a document or operation is blocked by its name, without a value", field="value")


_KINDS: Final[Mapping[str, _Kind]] = {
    "mode": _Kind(OverrideKind.MODE, "The mode of {name} is {value}", _in(PROTECTION, "protection"), _mode),
    "setting": _Kind(OverrideKind.SETTING, "{name} is {value}", _variable, _setting),
    "document": _Kind(OverrideKind.DOCUMENT, "Document {name} is refused", _in(DIGEST, "document"), _no_value),
    "operation": _Kind(
        OverrideKind.OPERATION, "Operations named {name} are refused", _in(OPERATION_NAME, "operation"), _no_value
    ),
}
