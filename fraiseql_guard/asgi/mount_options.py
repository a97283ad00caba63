"""Options that a middleware is mounted with, how those of two middlewares join, and which protections they bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from prometheus_client import CollectorRegistry

from fraiseql_guard.asgi.app_hooks import AppHooks
from fraiseql_guard.core.clocks import Clock, Clocks
from fraiseql_guard.core.settings import Mode, Settings, name_of
from fraiseql_guard.core.signals import WITH_MODE, Protection
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.graphql.cost.schema_table import SchemaSource, SchemaTable
from fraiseql_guard.identity.credentials import CredentialSources
from fraiseql_guard.telemetry.database import DatabaseSignals

_MEASURED: Final = frozenset({Protection.QUERY_LIMITS, Protection.RATE_LIMIT, Protection.TIMEOUT})
"""Protections that need to know which operation is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """The options of the middlewares that became one. ``explicit`` are the settings that were chosen, not defaults."""

    names: tuple[str, ...]
    asked_for: frozenset[Protection]
    """What the middlewares are there for."""
    settings: Settings
    explicit: Mapping[str, Any]
    schema: SchemaSource | None
    registry: CollectorRegistry | None
    logger: Any
    app_hooks: AppHooks = field(default_factory=AppHooks)
    database: DatabaseSignals | None = None
    clock: Clock | None = None
    awaits_schema: bool = False
    """Whether the host may still bring its schema, with the first scope."""
    several_endpoints: bool = False
    """Whether the host shows GraphQL endpoints beside the one that the schema is of."""

    @property
    def protections(self) -> frozenset[Protection]:
        """What is mounted: what was asked for, but for what is off."""
        off = {each for each in WITH_MODE if self.settings.mode_of(each) is Mode.OFF}
        return self.asked_for - off

    @property
    def clocks(self) -> Clocks:
        """The clocks that all parts of the guard read."""
        return Clocks.of(self.clock)

    def joined(self, inner: MountOptions) -> MountOptions:
        """These options and those of the middleware directly inside. SettingsError where they contradict each other."""
        both = f"{' + '.join(self.names)} and {' + '.join(inner.names)}"
        # Two values of one option would depend on the order of mounting.
        for option, value in inner.explicit.items():
            if option in self.explicit and self.explicit[option] != value:
                raise SettingsError(f"{both} are mounted on each other and give {option} two values. Give it once")
        return MountOptions(
            names=(*self.names, *inner.names),
            asked_for=self.asked_for | inner.asked_for,
            settings=self.settings.override(**inner.explicit),
            explicit={**inner.explicit, **self.explicit},
            schema=_either("schema", self.schema, inner.schema, both),
            registry=_either("registry", self.registry, inner.registry, both),
            logger=_either("logger", self.logger, inner.logger, both),
            app_hooks=self.app_hooks.joined(inner.app_hooks, partial(_either, both=both)),
            database=_either("database", self.database, inner.database, both),
            clock=_either("clock", self.clock, inner.clock, both),
            awaits_schema=self.awaits_schema,
        )


def _either(name: str, outer: Any, inner: Any, both: str) -> Any:
    if outer is not None and inner is not None and outer is not inner:
        raise SettingsError(f"{both} are mounted on each other and give two different {name} objects. Give it once")
    return outer if outer is not None else inner


def has_api_keys(mount_options: MountOptions) -> bool:
    """Whether there are API keys, in a file or in the app."""
    return mount_options.settings.api_keys_file is not None or mount_options.app_hooks.api_keys is not None


def credential_sources(mount_options: MountOptions) -> CredentialSources:
    """Where the credentials of requests are looked for."""
    return CredentialSources(mount_options.settings, api_keys=has_api_keys(mount_options))


def can_authenticate(mount_options: MountOptions) -> bool:
    """Whether there is anything to verify credentials with."""
    return mount_options.settings.verifies_tokens or has_api_keys(mount_options)


def authenticates(mount_options: MountOptions) -> bool:
    """Whether credentials are verified: the protection is mounted, and there is a key. SettingsError if it must have
    one."""
    possible = can_authenticate(mount_options)
    if mount_options.protections == {Protection.AUTH} and not possible:
        raise SettingsError(
            f"AuthMiddleware needs a key. Set {name_of('jwt_secret')} to 32 bytes or more, or one of "
            f"{name_of('jwt_public_key')}, {name_of('jwks_file')}, {name_of('jwks_url')} and {name_of('api_keys_file')}"
        )
    if Protection.AUTH in mount_options.protections and mount_options.settings.auth_paths and not possible:
        raise SettingsError(
            f"{name_of('auth_paths')}={','.join(mount_options.settings.auth_paths)!r} needs a key to verify tokens "
            f"with: without one these paths are open to everyone. Set {name_of('jwt_secret')} or another key, "
            "or remove it"
        )
    return Protection.AUTH in mount_options.protections and possible


def mounted(mount_options: MountOptions) -> frozenset[Protection]:
    """The protections that act: authentication does only with a key."""
    return mount_options.protections if authenticates(mount_options) else mount_options.protections - {Protection.AUTH}


def measures(mount_options: MountOptions) -> bool:
    """Whether GraphQL requests are read and measured."""
    excuses = authenticates(mount_options) and bool(mount_options.settings.public_root_fields)
    return excuses or bool(mount_options.protections & _MEASURED)


def counts(mount_options: MountOptions) -> bool:
    """Whether plain metrics are mounted, so that every answer counts."""
    return Protection.METRICS in mount_options.protections


def schema_table(mount_options: MountOptions) -> SchemaTable | None:
    """What the schema says of types and fields; None without a schema, or where no request is measured."""
    if mount_options.schema is None or not measures(mount_options):
        return None
    from fraiseql_guard.graphql.cost.schema import load_schema  # with a schema alone: it loads graphql-core

    table = load_schema(mount_options.schema)
    return replace(table, authoritative=False) if table and mount_options.several_endpoints else table


def refuse_hidden_costs(settings: Settings) -> None:
    """SettingsError if limits are hidden and answers are to tell what is left of them."""
    if settings.cost_in_response and not settings.expose_limits:
        raise SettingsError(
            f"{name_of('cost_in_response')}=true tells clients what {name_of('expose_limits')}=false hides: their "
            "budget and what is left of it. Set one of them the other way"
        )


def refuse_without_schema(mount_options: MountOptions, settings: Settings) -> None:
    """SettingsError if the settings need a schema, and none was given or is still to come."""
    has_schema = mount_options.schema is not None or mount_options.awaits_schema
    needs_schema = settings.unsliced_lists == "refuse" and Protection.QUERY_LIMITS in mount_options.protections
    if needs_schema and not has_schema:
        raise SettingsError(
            f"{name_of('unsliced_lists')}='refuse' needs a schema to know which fields are lists. Accepted: "
            f"Guard(app, schema=...), or {name_of('unsliced_lists')}=assume"
        )
