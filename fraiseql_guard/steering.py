"""Obeys what an operator has said to the fleet: overrides become a new stack, commands are carried out once.

A stack is built anew for each change of the settings in force and put in place in one assignment: requests at work end
on the one that they began with. All that holds something lives on (lasting.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from fraiseql_guard.edge.stack import Stack
from fraiseql_guard.fleet.switches import Switches, read_switches
from fraiseql_guard.graphql.schema import load_schema
from fraiseql_guard.host import POOL, Host
from fraiseql_guard.host.garbage import collect_garbage
from fraiseql_guard.lasting import Lasting, make_lasting
from fraiseql_guard.mounting import Wishes, authenticates, build_stack, measures
from fraiseql_guard.settings import Settings, SettingsError, name_of
from fraiseql_guard.signals import COMMANDED, OVERRIDDEN
from fraiseql_guard.stores.control import CLEAR_CACHES, GC, ControlSet, Entry, EntryKind
from fraiseql_guard.stores.failover import FailoverStore


class Steering:
    """Holds the stack in force. ``on_stack`` is given each new one; ``host`` knows the process and its caches."""

    def __init__(self, wishes: Wishes, host: Host, *, on_stack: Callable[[Stack], None]) -> None:
        self._wishes = wishes
        self._on_stack = on_stack
        self._switches = Switches()
        self._known_commands: frozenset[str] | None = None
        self.settings = wishes.settings
        self.lasting = self._make_lasting(host)
        self.stack = build_stack(wishes, self.lasting, wishes.settings)
        self._count_documents(self.stack)
        self._commands: Mapping[str, Callable[[], Any]] = {GC: collect_garbage, CLEAR_CACHES: self.clear_caches}

    def take(self, control: ControlSet) -> None:
        """Take over a control set. Never raises: what cannot be used is said, and changes nothing."""
        lasting = self.lasting
        for part in (lasting.blocks.update, lasting.documents.update, lasting.allow_list.update, self._override):
            self._guarded(part, control)
        self._guarded(self._obey, tuple(control.of(EntryKind.COMMAND)))

    def adopt(self, wishes: Wishes) -> None:
        """Go on with a schema that was found late; nothing else may have changed."""
        self._wishes = wishes
        self.lasting = replace(self.lasting, schema=load_schema(wishes.schema) if measures(wishes) else None)
        self._put(self._built(self._switches.options))

    def clear_caches(self) -> None:
        """Forget what can be found out again: documents, tokens, refusals, and the app's caches that are observed."""
        self.lasting.host.caches.clear_all(self.lasting.settle.warn)

    def _make_lasting(self, host: Host) -> Lasting:
        wishes = self._wishes
        return make_lasting(
            wishes.settings,
            host,
            authenticates=authenticates(wishes),
            measures=measures(wishes),
            schema=load_schema(wishes.schema) if measures(wishes) else None,
            registry=wishes.registry,
            logger=wishes.logger,
            on_control=self.take,
            in_force=lambda: self.settings,
            facts=self._facts,
        )

    # --- overrides ----------------------------------------------------------------------------------------------------

    def _override(self, control: ControlSet) -> None:
        switches = read_switches(control)
        for problem in switches.problems:
            self.lasting.settle.warn(f"an override is ignored: {problem}")
        if switches.options == self._switches.options:
            return
        self._switches = switches
        options, stack = self._usable(switches.options)
        self._put(stack)
        said = {name_of(option): value for option, value in options.items()}
        self.lasting.settle.log.emit(OVERRIDDEN, {"overrides": said})

    def _put(self, stack: Stack) -> None:
        self.stack, self.settings = stack, stack.settings
        self.lasting.settle.settings = stack.settings
        self._count_documents(stack)
        self._on_stack(stack)

    def _count_documents(self, stack: Stack) -> None:
        if stack.reader is not None:
            self.lasting.host.caches.own("documents", stack.reader)

    def _usable(self, wanted: Mapping[str, str]) -> tuple[Mapping[str, str], Stack]:
        """The stack with all overrides; if they do not go together, with those that do, one after the other."""
        try:
            return wanted, self._built(wanted)
        except SettingsError as error:
            self.lasting.settle.warn(f"an override is ignored: {error}")
        options: dict[str, str] = {}
        stack = self._built(options)
        for option, value in wanted.items():
            try:
                stack = self._built({**options, option: value})
            except SettingsError:
                continue
            options[option] = value
        return options, stack

    def _built(self, options: Mapping[str, str]) -> Stack:
        settings: Settings = Switches(options).applied_to(self._wishes.settings)
        return build_stack(self._wishes, self.lasting, settings)

    # --- commands -----------------------------------------------------------------------------------------------------

    def _obey(self, entries: Iterable[Entry]) -> None:
        """Carry out what was not there before. What was told before this process first looked is not for it."""
        known, self._known_commands = self._known_commands, frozenset(entry.id for entry in entries)
        for entry in entries:
            command = self._commands.get(entry.key)
            if known is not None and entry.id not in known and command is not None:
                self._guarded(command)
                self.lasting.settle.log.emit(COMMANDED, {"command": entry.key, "actor": entry.actor or None})

    def _guarded(self, part: Callable[..., Any], *facts: Any) -> None:
        try:
            part(*facts)
        except Exception as error:  # noqa: BLE001 - one part that breaks keeps no other from being told
            self.stack.tell(self.lasting.settle.fault, "steering", error)

    # --- what the heartbeat says of us --------------------------------------------------------------------------------

    def _facts(self) -> Mapping[str, Any]:
        stack, host = self.stack, self.lasting.host
        memory = host.memory.memory  # the last look
        return {
            "modes": {protection.value: mode.value for protection, mode in stack.modes.items()},
            "breaker_open": isinstance(stack.store, FailoverStore) and stack.store.breaker_open,
            "control_version": stack.control.in_force.version,
            "in_flight": stack.in_flight.at_work if stack.in_flight is not None else 0,
            "pool": host.providers.ask(POOL, stack.settle.warn),
            "memory": memory
            and {
                "used_bytes": memory.used_bytes,
                "limit_bytes": memory.limit_bytes,
                "usage_percent": round(memory.percent, 2),
            },
        }
