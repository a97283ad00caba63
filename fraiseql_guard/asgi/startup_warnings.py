"""Warnings at the start about options and apps that work, and are probably not meant so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fraiseql_guard.asgi.app_chain import declared, middleware_names
from fraiseql_guard.asgi.mount_options import MountOptions, can_authenticate, schema_table
from fraiseql_guard.core.servers import UVICORN_MESSAGE_BYTES, UVICORN_MESSAGE_OPTION, takes_largest_messages
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import WITH_MODE, Protection
from fraiseql_guard.core.surroundings import blinding, warnings_of
from fraiseql_guard.graphql.cost.slicing_arguments import unsliced_fields

_WITHOUT_CALLERS: Final = frozenset({"development", "test", "testing"})
_CORS: Final = frozenset({"CORSMiddleware", "CorsMiddleware"})
"""Starlette's and Litestar's, and that of django-cors-headers."""
_NAMED: Final = 10
"""Most fields that a sentence names."""
_ROOM: Final = 2
"""A server should take messages this many times as large as the guard does: the guard's refusal tells a client more."""


ONE_EACH: Final = (
    "the guard is one of Litestar's middlewares, which makes another one for every route: each counts for itself, and "
    "none serves /metrics. Put it around the app: app = Guard(Litestar(...))"
)


def startup_warnings(mount_options: MountOptions, app: Any) -> list[str]:
    """One sentence for each thing that deserves a look, with its remedy. ``app`` is what the guard wraps."""
    settings = mount_options.settings
    return [
        *_off(mount_options, settings),
        *_without_store(mount_options, settings),
        *_without_key(mount_options),
        *_keys_without_users(mount_options),
        *_without_schema(mount_options, settings),
        *_unsliced_lists(mount_options, settings),
        *_large_messages(mount_options, settings),
        *warnings_of(settings, mount_options.protections, authenticates=can_authenticate(mount_options)),
        *_middlewares_inside(app),
    ]


def _off(mount_options: MountOptions, settings: Settings) -> Iterator[str]:
    off = sorted(each.value for each in mount_options.asked_for - mount_options.protections)
    if off and settings.environment not in _WITHOUT_CALLERS:
        yield (
            f"nothing is decided about {', '.join(off)} ({name_of('mode')}=off): that is for tests. Set "
            f"{name_of('mode')}=monitor to only count what would be refused"
        )


def _without_store(mount_options: MountOptions, settings: Settings) -> Iterator[str]:
    if settings.environment in _WITHOUT_CALLERS:
        return
    if settings.redis_url is None and mount_options.protections & {Protection.RATE_LIMIT, Protection.AUTH}:
        yield (
            f"{name_of('redis_url')} is not set: limits and sanctions live in this process alone, so that each worker "
            "admits the full limit and forgets everything when it ends. Set it where there is more than one worker"
        )


def _without_key(mount_options: MountOptions) -> Iterator[str]:
    if Protection.AUTH not in mount_options.protections or can_authenticate(mount_options):
        return
    yield (
        f"{name_of('jwt_secret')} is not set, nor any other key: authentication is inactive and every caller is "
        "anonymous. Set it to the key that your tokens are signed with"
    )
    if mount_options.app_hooks.user_status is not None:
        yield "user_status is given and will never be asked: without a key there is no verified user"


def _keys_without_users(mount_options: MountOptions) -> Iterator[str]:
    settings = mount_options.settings
    of_users = any(part.kind in ("tenant", "claim") for part in settings.rate_limit_key.parts)
    if of_users and Protection.AUTH in mount_options.protections and not can_authenticate(mount_options):
        yield (
            f"{name_of('rate_limit_key')}={str(settings.rate_limit_key)!r} counts by what tokens say, and there is no "
            "key to verify tokens with: every caller is counted by address"
        )


def _without_schema(mount_options: MountOptions, settings: Settings) -> Iterator[str]:
    measured = Protection.QUERY_LIMITS in mount_options.protections
    if measured and mount_options.schema is None and not settings.list_fields:
        yield (
            "no schema is given: names tell what is a list, and what a query costs is an estimate. Give the guard "
            f"schema= what your GraphQL library made, or name lists in {name_of('list_fields')}"
        )


def _unsliced_lists(mount_options: MountOptions, settings: Settings) -> Iterator[str]:
    table = schema_table(mount_options) if Protection.QUERY_LIMITS in mount_options.protections else None
    if table is None or not (unsliced := unsliced_fields(table, settings)):
        return
    more = f" and {len(unsliced) - _NAMED} more" if len(unsliced) > _NAMED else ""
    yield (
        f"lists without a slicing argument are counted as {settings.list_multiplier} items whatever they return: "
        f"{', '.join(unsliced[:_NAMED])}{more}. Give them one, such as first, or set {name_of('list_multiplier')} to "
        "what they return"
    )


def _large_messages(mount_options: MountOptions, settings: Settings) -> Iterator[str]:
    """The server's own bound on messages of WebSockets, which it holds before the guard sees them."""
    guarded = settings.sockets == "guard" and bool(mount_options.protections & set(WITH_MODE))
    wanted = _ROOM * settings.max_message_bytes
    if guarded and wanted < UVICORN_MESSAGE_BYTES and takes_largest_messages():
        yield (
            f"uvicorn runs without {UVICORN_MESSAGE_OPTION}: it reads and inflates WebSocket messages of up to "
            f"{UVICORN_MESSAGE_BYTES >> 20} MiB into memory, for every client, before the guard can refuse one of more "
            f"than {settings.max_message_bytes} bytes ({name_of('max_message_bytes')}). Start uvicorn with "
            f"{UVICORN_MESSAGE_OPTION} {wanted}"
        )


def _middlewares_inside(app: Any) -> Iterator[str]:
    """Middlewares that hide answers from the guard, do its work a second time, or miss its refusals."""
    inside = set(middleware_names(app))
    yield from blinding(inside)
    if any(each.__module__.startswith("fraiseql.") and each.__name__ == "MetricsMiddleware" for each in declared(app)):
        yield (
            "FraiseQL's own metrics are set up as well (setup_metrics): the guard's are served in their place, and "
            "their middleware costs a database connection for each query that is stopped. Remove setup_metrics"
        )
    for name in sorted(inside & _CORS):
        yield (
            f"{name} is mounted inside the guard, so that refusals reach browsers without CORS headers: "
            f"mount it outside, or set {name_of('cors_origins')}"
        )
