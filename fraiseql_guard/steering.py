"""Obeys what an operator has said to the fleet: overrides become a new stack, commands are carried out once.

A stack is built anew for each change of the settings in force and put in place in one assignment: requests at work end
on the one that they began with. All that holds something lives on (lasting.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from fraiseql_guard.database import DatabaseSignals
from fraiseql_guard.edge.stack import Stack
from fraiseql_guard.fleet.presence import Fingerprints, package_version
from fraiseql_guard.fleet.switches import Switches, read_switches
from fraiseql_guard.gates.sanctions import owner_of
from fraiseql_guard.graphql.schema import load_schema
from fraiseql_guard.host import Host
from fraiseql_guard.host.garbage import collect_garbage
from fraiseql_guard.lasting import Lasting, make_lasting
from fraiseql_guard.mounting import Wishes, authenticates, build_stack, measures, mounted
from fraiseql_guard.settings import Mode, Settings, SettingsError, name_of
from fraiseql_guard.signals import WITH_MODE, PolicyName, Protection
from fraiseql_guard.stores.control import CLEAR_CACHES, GC, ControlSet, Entry, EntryKind
from fraiseql_guard.stores.failover import FailoverStore


class Steering:
    """Holds the stack in force. ``on_stack`` is given each new one; ``host`` outlives them all."""

    def __init__(
        self, wishes: Wishes, host: Host, database: DatabaseSignals, *, on_stack: Callable[[Stack], None]
    ) -> None:
        self._wishes = wishes
        self._host = host
        self._database = database
        self._on_stack = on_stack
        self._switches = Switches()
        self._digest = Fingerprints()
        self._known_commands: frozenset[str] | None = None
        self.settings = wishes.settings
        self.lasting = self._make_lasting()
        self.stack = build_stack(wishes, self.lasting, wishes.settings)
        self.stack.own_caches()
        self._tell_modes()
        self._commands: Mapping[str, Callable[[], Any]] = {GC: collect_garbage, CLEAR_CACHES: self.clear_caches}

    def take(self, control: ControlSet) -> None:
        """Take over a control set. Never raises: what cannot be used is said, and changes nothing."""
        lasting = self.lasting
        parts = (lasting.blocks, lasting.documents, lasting.app_documents, lasting.allow_list, lasting.census)
        for take in (*(part.update for part in parts), self._override):
            self._guarded(take, control)
        self._forget_callers()  # callers that come again are decided anew, as something else may hold now
        self._guarded(self._obey, tuple(control.of(EntryKind.COMMAND)))

    def adopt(self, wishes: Wishes) -> None:
        """Go on with a schema that was found late, or with the certainty that there is none; nothing else may have
        changed. SettingsError if the settings cannot do without."""
        self._wishes = wishes
        self.lasting = replace(self.lasting, schema=load_schema(wishes.schema) if measures(wishes) else None)
        self._put(self._built(self._switches.options))

    def clear_caches(self) -> None:
        """Forget what can be found out again: documents, tokens, refusals, and what the app has registered."""
        self._host.caches.clear_all(self.lasting.settle.warn)

    def _make_lasting(self) -> Lasting:
        wishes = self._wishes
        return make_lasting(
            wishes.settings,
            authenticates=authenticates(wishes),
            counts=Protection.METRICS in wishes.protections,
            measures=measures(wishes),
            blocks_for=owner_of(PolicyName.OPERATOR, mounted(wishes)),
            schema=load_schema(wishes.schema) if measures(wishes) else None,
            registry=wishes.registry,
            logger=wishes.logger,
            host=self._host,
            database=self._database,
            user_status=wishes.user_status,
            on_control=self.take,
            watch_host=lambda: self.stack.watch_host(),  # the one in force then
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
        self.lasting.settle.process.overridden(said)

    def _put(self, stack: Stack) -> None:
        self.stack, self.settings = stack, stack.settings
        stack.own_caches()
        self.lasting.settle.use(stack.settings)
        self._forget_callers()
        self._tell_modes()
        stack.watch_host()
        self._on_stack(stack)

    def _forget_callers(self) -> None:
        self.lasting.repeats.forget()
        self.stack.heads.forget()

    def _tell_modes(self) -> None:
        """And what else there is to say of the settings in force."""
        tell, process = self.stack.tell, self.lasting.settle.process
        tell(lambda: process.built(package_version(), self._digest.of_settings(self.settings)))
        for protection in WITH_MODE:
            monitors = self.stack.modes[protection] is Mode.MONITOR
            self.stack.tell(self.lasting.settle.process.mode, protection, monitors)

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
                self.lasting.settle.process.commanded(entry.key, entry.actor)

    def _guarded(self, part: Callable[..., Any], *facts: Any) -> None:
        try:
            part(*facts)
        except Exception as error:  # noqa: BLE001 - one part that breaks keeps no other from being told
            self.stack.tell(self.lasting.settle.fault, "steering", error)

    # --- what the heartbeat says of us --------------------------------------------------------------------------------

    def _facts(self) -> Mapping[str, Any]:
        stack = self.stack
        return {
            "modes": {protection.value: mode.value for protection, mode in stack.modes.items()},
            "breaker_open": isinstance(stack.store, FailoverStore) and stack.store.breaker_open,
            "key_fingerprints": self._key_fingerprints(),
            "control_version": stack.control.in_force.version,
            "in_flight": stack.in_flight.at_work if stack.in_flight is not None else None,
        }

    def _key_fingerprints(self) -> Mapping[str, str]:
        """Of the secrets by slot, of all other keys by the option that brought them."""
        known = Fingerprints.of_keys(self.settings)
        identity = self.lasting.identity
        others = {} if identity is None else identity.verifier.fingerprints()
        return {**known, **{name: digest for name, digest in others.items() if not name.startswith("jwt_secret")}}
