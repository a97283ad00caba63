"""Applies the operators' orders to this process: overrides become a new runtime, commands are carried out once.

Each change of the settings in force builds a new runtime, which is put in place in one assignment: requests at work end
on the one that they began with. The components, which hold something, live on (components.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from fraiseql_guard.asgi.components import RuntimeHooks, build_components
from fraiseql_guard.asgi.mount_options import MountOptions, schema_table
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.runtime_builder import build_runtime
from fraiseql_guard.core.rule_checks import refuse_loosening, refuse_two_sources
from fraiseql_guard.core.settings import Mode, Settings, name_of
from fraiseql_guard.core.signals import ADMIN_RULES_FILE, WITH_MODE
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.operations.fleet.heartbeat import Fingerprints, package_version
from fraiseql_guard.operations.operator.setting_overrides import SettingOverrides, setting_overrides
from fraiseql_guard.stores.overrides import (
    CLEAR_CACHES,
    CLOSE_SOCKETS,
    DRAIN_SOCKETS,
    GC,
    Override,
    OverrideKind,
    Overrides,
)
from fraiseql_guard.telemetry.database import DatabaseSignals
from fraiseql_guard.telemetry.process import ProcessMonitor
from fraiseql_guard.telemetry.process.garbage import collect_garbage

if TYPE_CHECKING:
    from fraiseql_guard.operations.fleet.rules_file import RulesFile


class RuntimeReloader:
    """Holds the runtime in force. ``on_runtime`` is given each new one; ``host`` outlives them all."""

    def __init__(
        self,
        mount_options: MountOptions,
        host: ProcessMonitor,
        database: DatabaseSignals,
        *,
        on_runtime: Callable[[Runtime], None],
    ) -> None:
        self._mount_options = mount_options
        self._host = host
        self._on_runtime = on_runtime
        self._switches = SettingOverrides()
        self._digest = Fingerprints()
        self._known_commands: frozenset[str] | None = None
        self._rules_file: RulesFile | None = None
        self.settings = mount_options.settings
        hooks = RuntimeHooks(
            on_control=self.take,
            watch_host=lambda: self.runtime.watch_host(),  # the one in force then
            settings=lambda: self.settings,
            facts=self._facts,
            runtime=lambda: self.runtime,
            on_look=self._look_at_rules,
        )
        refuse_two_sources(mount_options.settings)
        self.components = build_components(mount_options, host=host, database=database, hooks=hooks)
        self._recorder = self.components.telemetry.recorder
        if mount_options.settings.rules_file is not None:
            from fraiseql_guard.operations.fleet.rules_file import RulesFile

            self._rules_file = RulesFile(
                mount_options.settings,
                clock=mount_options.clocks.elapsed,
                on_problem=self._recorder.warn,
                on_change=partial(self._recorder.process.acted, ADMIN_RULES_FILE),
            )
        self.runtime = self._built({})
        self.settings = self.runtime.settings
        self.runtime.register_caches()
        self._export_modes()
        self._commands: Mapping[str, Callable[[Override], Any]] = {
            GC: lambda _: collect_garbage(),
            CLEAR_CACHES: lambda _: self.clear_caches(),
            CLOSE_SOCKETS: self._close_sockets,
            DRAIN_SOCKETS: self._drain,
        }
        self.components.fleet.control.begin()
        self._known_commands = None  # the store's have not been read yet: those that it holds are older than we are

    def take(self, control: Overrides) -> None:
        """Apply a control set. Never raises: an unusable entry is logged, and changes nothing."""
        components = self.components
        parts = (
            components.blocks,
            components.documents.blocked,
            components.documents.of_app,
            components.allow_list,
            components.fleet.census,
        )
        # Each part takes over its own entries, and a fault in one stops no other.
        for take in (*(part.update for part in parts), self._override):
            self._guarded(take, control)
        components.at_work.live_watch.block_networks()
        self._forget_callers()  # what was decided about callers may not hold any more
        self._guarded(self._obey, tuple(control.of(OverrideKind.COMMAND)))

    def adopt(self, mount_options: MountOptions) -> None:
        """Take over options in which a schema was found late, or is known to be missing; nothing else may have changed.

        SettingsError if the settings need one; an override that does is ignored.
        """
        self._mount_options = mount_options
        documents = replace(self.components.documents, schema=schema_table(mount_options))
        self.components = replace(self.components, documents=documents)
        _, runtime = self._usable(self._switches.options)
        self._put(runtime)

    async def reset(self) -> None:
        """Forget what callers have done, in the store and in this process (Middleware.reset). StoreError if the store
        does not answer."""
        components = self.components
        await components.store.reset()
        components.telemetry.refusal_cache.tell()
        components.telemetry.refusals.forget()
        components.at_work.forget()
        self._host.caches.clear_own(self._recorder.warn)
        self._put(self._built(self._switches.options))  # with checks that remember nothing

    def clear_caches(self) -> None:
        """Empty all caches: documents, tokens, refusals, and those that the app has registered."""
        self._host.caches.clear_all(self._recorder.warn)

    # --- overrides ----------------------------------------------------------------------------------------------------

    def _override(self, control: Overrides) -> None:
        switches = setting_overrides(control)
        for problem in switches.problems:
            self._recorder.warn(f"an override is ignored: {problem}")
        if switches.options == self._switches.options:
            return
        # Build a runtime of all that can be used, and put it in force.
        self._switches = switches
        options, runtime = self._usable(switches.options)
        self._put(runtime)
        said = {name_of(option): value for option, value in options.items()}
        self._recorder.process.overridden(said)

    def _put(self, runtime: Runtime) -> None:
        self.runtime.forget()
        self.runtime, self.settings = runtime, runtime.settings
        runtime.register_caches()
        self._recorder.use(runtime.settings)
        self._forget_callers()
        self._export_modes()
        runtime.watch_host()
        self._on_runtime(runtime)

    def _forget_callers(self) -> None:
        self.components.telemetry.refusal_cache.forget()
        self.runtime.head_cache.forget()

    def _export_modes(self) -> None:
        """Export the fingerprint of the settings in force, and which protections only monitor."""
        tell, process = self.runtime.tell, self._recorder.process
        tell(lambda: process.built(package_version(), self._digest.of_settings(self.settings)))
        for protection in WITH_MODE:
            tell(process.mode, protection, self.runtime.modes[protection] is Mode.MONITOR)

    def _usable(self, wanted: Mapping[str, str]) -> tuple[Mapping[str, str], Runtime]:
        """The overrides that can be used, and their runtime: all, or those that do not contradict earlier ones.

        SettingsError if the settings themselves cannot be used.
        """
        if not wanted:
            return wanted, self._built(wanted)
        try:
            return wanted, self._built(wanted)
        except SettingsError as error:
            self._recorder.warn(f"an override is ignored: {error}")
        # Find those that go together, in the operators' order.
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
        # Rules that an operator has set hold in place of the file's.
        if self._rules_file is not None and "rules" not in options:
            sources = {**settings.sources, "rules": "file"}
            settings = replace(settings, rules=self._rules_file.rules, sources=sources)
        _refuse_loosening_rules(settings, self._mount_options.settings)
        return build_runtime(self._mount_options, self.components, settings)

    def _look_at_rules(self) -> None:
        if self._rules_file is not None:
            self._guarded(self._take_rules, self._rules_file)

    def _take_rules(self, rules_file: RulesFile) -> None:
        if rules_file.changed():
            _, runtime = self._usable(self._switches.options)
            self._put(runtime)

    # --- commands -----------------------------------------------------------------------------------------------------

    def _obey(self, entries: Iterable[Override]) -> None:
        """Carry out new commands. Those that are older than the process's first look are not meant for it."""
        known, self._known_commands = self._known_commands, frozenset(entry.id for entry in entries)
        for entry in entries:
            command = self._commands.get(entry.command)
            if known is not None and entry.id not in known and command is not None:
                self._guarded(command, entry)
                self._recorder.process.commanded(entry.command, entry.actor)

    def _close_sockets(self, entry: Override) -> None:
        from fraiseql_guard.operations.operator.closing_order import read_order  # when an operator closes some

        self.components.at_work.live_watch.close(read_order(entry.value))

    def _drain(self, entry: Override) -> None:
        """All live connections of the worker that is meant, or of each."""
        components = self.components
        if entry.value in ("", components.fleet.heartbeat.worker_id):
            components.at_work.live_watch.drain()

    def _guarded(self, part: Callable[..., Any], *facts: Any) -> None:
        try:
            part(*facts)
        except Exception as error:  # noqa: BLE001 - one part that breaks keeps no other from being told
            self.runtime.tell(self._recorder.fault, "steering", error)

    # --- the heartbeat's facts ----------------------------------------------------------------------------------------

    def _facts(self) -> Mapping[str, Any]:
        runtime = self.runtime
        return {
            "modes": {protection.value: mode.value for protection, mode in runtime.modes.items()},
            "breaker_open": runtime.store.breaker_open,
            "key_fingerprints": self._key_fingerprints(),
            "control_version": runtime.control.in_force.version,
            "in_flight": runtime.concurrency.at_work if runtime.concurrency is not None else None,
        }

    def _key_fingerprints(self) -> Mapping[str, str]:
        """Fingerprints of the keys in force: of secrets by their slot, of other keys by their option."""
        known = Fingerprints.of_keys(self.settings)
        identity = self.components.identity
        others = {} if identity is None else identity.verifier.fingerprints()
        return {**known, **{name: digest for name, digest in others.items() if not name.startswith("jwt_secret")}}


def _refuse_loosening_rules(settings: Settings, configured: Settings) -> None:
    """SettingsError if a rule loosens what is configured for requests that clients can pretend to be. Against what is
    overridden a rule is held by its strict form (core/rule_table.py): no override is refused for it."""
    try:
        refuse_loosening(settings.rules, configured)
    except ValueError as error:
        raise SettingsError(f"{name_of('rules')}: {error}") from None
