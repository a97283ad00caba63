"""Chooses how the limits' key of a request is found: by the setting, by a function of the app, or the ordinary way."""

from __future__ import annotations

from functools import partial

from fraiseql_guard.asgi.mount_options import MountOptions, credential_sources, has_api_keys
from fraiseql_guard.core.limit_key import BY_FUNCTION
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.identity.api_keys import TENANT
from fraiseql_guard.identity.limit_keys import AskedKeys, ConfiguredKeys, LimitKeys
from fraiseql_guard.telemetry.recorder import RequestRecorder


def limit_keys(mount_options: MountOptions, settings: Settings, recorder: RequestRecorder) -> LimitKeys | None:
    """The finder of requests' keys; None where limits count by the user, else the address. SettingsError if both the
    setting and a function are given, or a part of the key needs another setting."""
    key, ask = settings.rate_limit_key, mount_options.app_hooks.rate_limit_key
    _refuse_contradictions(mount_options, settings)
    if Protection.RATE_LIMIT not in mount_options.protections:
        return None
    if ask is not None:
        return AskedKeys(ask, on_fault=partial(recorder.fault, "limit_key"))
    return None if key.ordinary else ConfiguredKeys(key, settings.tenant_claim or TENANT)


def pays_beside(mount_options: MountOptions, settings: Settings) -> bool:
    """Whether one caller can have any number of keys, as with a function, whose inputs are not known."""
    return mount_options.app_hooks.rate_limit_key is not None or settings.rate_limit_key.chosen_at_will


def telling_headers(mount_options: MountOptions) -> frozenset[bytes] | None:
    """Headers that tell apart callers with otherwise equal heads: those of credentials and of the limits' key. None
    with a function, which may read anything."""
    if mount_options.app_hooks.rate_limit_key is not None:
        return None
    return credential_sources(mount_options).headers | mount_options.settings.rate_limit_key.headers


def _refuse_contradictions(mount_options: MountOptions, settings: Settings) -> None:
    key, variable = settings.rate_limit_key, name_of("rate_limit_key")
    if mount_options.app_hooks.rate_limit_key is not None and settings.sources.get("rate_limit_key") != "default":
        raise SettingsError(
            f"{variable}={str(key)!r} is set, and Guard(app, rate_limit_key={BY_FUNCTION}) is given. Give one of them"
        )
    by_tenant = any(part.kind == "tenant" for part in key.parts)
    if by_tenant and settings.tenant_claim is None and not has_api_keys(mount_options):
        raise SettingsError(
            f"{variable}={str(key)!r} needs {name_of('tenant_claim')}, the claim of the token that names the tenant. "
            f"Set it, or name the claim here: {variable}=claim:org"
        )
