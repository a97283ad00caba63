"""Obeys what an operator has said to the fleet: overrides become a new stack, commands are carried out once.

A stack is built anew for each change of the settings in force and put in place in one assignment: requests at work end
on the one that they began with. All that holds something lives on (lasting.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from fraiseql_guard.asgi.components import Components, build_components
from fraiseql_guard.asgi.mount import MountOptions, authenticates, build_runtime, measures, mounted
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.checks.sanctions import owner_of
from fraiseql_guard.core.settings import Mode, Settings, SettingsError, name_of
from fraiseql_guard.core.signals import WITH_MODE, PolicyName, Protection
from fraiseql_guard.graphql.cost.schema import load_schema
from fraiseql_guard.operations.fleet.heartbeat import Fingerprints, package_version
from fraiseql_guard.operations.fleet.switches import SettingOverrides, read_switches
from fraiseql_guard.stores.failover import FailoverStore
from fraiseql_guard.stores.overrides import CLEAR_CACHES, GC, Override, OverrideKind, Overrides
from fraiseql_guard.telemetry.database import DatabaseSignals
from fraiseql_guard.telemetry.process import Host
from fraiseql_guard.telemetry.process.garbage import collect_garbage


class RuntimeReloader:
    """Holds the stack in force. ``on_stack`` is given each new one; ``host`` outlives them all."""

    def __init__(
        self, mount_options: MountOptions, host: Host, database: DatabaseSignals, *, on_stack: Callable[[Runtime], None]
    ) -> None:
        self._mount_options = mount_options
        self._host = host
        self._database = database
        self._on_stack = on_stack
        self._switches = SettingOverrides()
        self._digest = Fingerprints()
        self._known_commands: frozenset[str] | None = None
        self.settings = mount_options.settings
        self.components = self._build_components()
        self.runtime = build_runtime(mount_options, self.components, mount_options.settings)
        self.runtime.own_caches()
        self._tell_modes()
        self._commands: Mapping[str, Callable[[], Any]] = {GC: collect_garbage, CLEAR_CACHES: self.clear_caches}

    def take(self, control: Overrides) -> None:
        """Take over a control set. Never raises: what cannot be used is said, and changes nothing."""
        components = self.components
        parts = (
            components.blocks,
            components.documents,
            components.app_documents,
            components.allow_list,
            components.census,
        )
        for take in (*(part.update for part in parts), self._override):
            self._guarded(take, control)
        self._forget_callers()  # callers that come again are decided anew, as something else may hold now
        self._guarded(self._obey, tuple(control.of(OverrideKind.COMMAND)))

    def adopt(self, mount_options: MountOptions) -> None:
        """Go on with a schema that was found late, or with the certainty that there is none; nothing else may have
        changed. SettingsError if the settings cannot do without."""
        self._mount_options = mount_options
        self.components = replace(
            self.components, schema=load_schema(mount_options.schema) if measures(mount_options) else None
        )
        self._put(self._built(self._switches.options))

    def clear_caches(self) -> None:
        """Forget what can be found out again: documents, tokens, refusals, and what the app has registered."""
        self._host.caches.clear_all(self.components.recorder.warn)

    def _build_components(self) -> Components:
        mount_options = self._mount_options
        return build_components(
            mount_options.settings,
            authenticates=authenticates(mount_options),
            counts=Protection.METRICS in mount_options.protections,
            measures=measures(mount_options),
            blocks_for=owner_of(PolicyName.OPERATOR, mounted(mount_options)),
            schema=load_schema(mount_options.schema) if measures(mount_options) else None,
            registry=mount_options.registry,
            logger=mount_options.logger,
            host=self._host,
            database=self._database,
            user_status=mount_options.user_status,
            on_control=self.take,
            watch_host=lambda: self.runtime.watch_host(),  # the one in force then
            in_force=lambda: self.settings,
            facts=self._facts,
        )

    # --- overrides ----------------------------------------------------------------------------------------------------

    def _override(self, control: Overrides) -> None:
        switches = read_switches(control)
        for problem in switches.problems:
            self.components.recorder.warn(f"an override is ignored: {problem}")
        if switches.options == self._switches.options:
            return
        self._switches = switches
        options, runtime = self._usable(switches.options)
        self._put(runtime)
        said = {name_of(option): value for option, value in options.items()}
        self.components.recorder.process.overridden(said)

    def _put(self, runtime: Runtime) -> None:
        self.runtime, self.settings = runtime, runtime.settings
        runtime.own_caches()
        self.components.recorder.use(runtime.settings)
        self._forget_callers()
        self._tell_modes()
        runtime.watch_host()
        self._on_stack(runtime)

    def _forget_callers(self) -> None:
        self.components.refusal_cache.forget()
        self.runtime.head_cache.forget()

    def _tell_modes(self) -> None:
        """And what else there is to say of the settings in force."""
        tell, process = self.runtime.tell, self.components.recorder.process
        tell(lambda: process.built(package_version(), self._digest.of_settings(self.settings)))
        for protection in WITH_MODE:
            monitors = self.runtime.modes[protection] is Mode.MONITOR
            self.runtime.tell(self.components.recorder.process.mode, protection, monitors)

    def _usable(self, wanted: Mapping[str, str]) -> tuple[Mapping[str, str], Runtime]:
        """The stack with all overrides; if they do not go together, with those that do, one after the other."""
        try:
            return wanted, self._built(wanted)
        except SettingsError as error:
            self.components.recorder.warn(f"an override is ignored: {error}")
        options: dict[str, str] = {}
        runtime = self._built(options)
        for option, value in wanted.items():
            try:
                runtime = self._built({**options, option: value})
            except SettingsError:
                continue
            options[option] = value
        return options, runtime

    def _built(self, options: Mapping[str, str]) -> Runtime:
        settings: Settings = SettingOverrides(options).applied_to(self._mount_options.settings)
        return build_runtime(self._mount_options, self.components, settings)

    # --- commands -----------------------------------------------------------------------------------------------------

    def _obey(self, entries: Iterable[Override]) -> None:
        """Carry out what was not there before. What was told before this process first looked is not for it."""
        known, self._known_commands = self._known_commands, frozenset(entry.id for entry in entries)
        for entry in entries:
            command = self._commands.get(entry.key)
            if known is not None and entry.id not in known and command is not None:
                self._guarded(command)
                self.components.recorder.process.commanded(entry.key, entry.actor)

    def _guarded(self, part: Callable[..., Any], *facts: Any) -> None:
        try:
            part(*facts)
        except Exception as error:  # noqa: BLE001 - one part that breaks keeps no other from being told
            self.runtime.tell(self.components.recorder.fault, "steering", error)

    # --- what the heartbeat says of us --------------------------------------------------------------------------------

    def _facts(self) -> Mapping[str, Any]:
        runtime = self.runtime
        return {
            "modes": {protection.value: mode.value for protection, mode in runtime.modes.items()},
            "breaker_open": isinstance(runtime.store, FailoverStore) and runtime.store.breaker_open,
            "key_fingerprints": self._key_fingerprints(),
            "control_version": runtime.control.in_force.version,
            "in_flight": runtime.in_flight.at_work if runtime.in_flight is not None else None,
        }

    def _key_fingerprints(self) -> Mapping[str, str]:
        """Of the secrets by slot, of all other keys by the option that brought them."""
        known = Fingerprints.of_keys(self.settings)
        identity = self.components.identity
        others = {} if identity is None else identity.verifier.fingerprints()
        return {**known, **{name: digest for name, digest in others.items() if not name.startswith("jwt_secret")}}
