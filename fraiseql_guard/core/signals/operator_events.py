"""Log lines about what operators do. Each has its actor; a field that was not given is null."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.signals.events import Event

_ABOUT_CALLER = ("actor", "user_id", "ip_address")

# Blocks.
ADMIN_BLOCK = Event(
    "admin.block",
    "WARNING",
    "Operator blocked a caller",
    (*_ABOUT_CALLER, "issuer", "tenant", "duration_seconds", "reason", "forced", "would_have_met", "connections_ended"),
    always=True,
)
ADMIN_LIFT = Event(
    "admin.lift", "WARNING", "Operator lifted sanctions", (*_ABOUT_CALLER, "issuer", "tenant", "lifted"), always=True
)
ADMIN_LIFT_ALL = Event(
    "admin.lift_all",
    "WARNING",
    "Operator lifted all sanctions of an origin",
    ("actor", "origin", "lifted", "state"),
    always=True,
)
ADMIN_UNLOCK = Event(
    "admin.unlock", "WARNING", "Operator unlocked a login", ("actor", "identifier", "ip_address", "lifted"), always=True
)
# Limits, and the allow-list.
ADMIN_LIMIT = Event(
    "admin.limit",
    "WARNING",
    "Operator set a caller's limit",
    (*_ABOUT_CALLER, "issuer", "tenant", "limit", "duration_seconds"),
    always=True,
)
ADMIN_LIMIT_CLEARED = Event(
    "admin.limit_cleared",
    "WARNING",
    "Operator removed the limit set for a caller",
    (*_ABOUT_CALLER, "issuer", "tenant", "cleared"),
    always=True,
)
ADMIN_ALLOW = Event(
    "admin.allow",
    "WARNING",
    "Operator allowed an address",
    ("actor", "ip_address", "duration_seconds", "reason", "lifted"),
    always=True,
)
ADMIN_DISALLOW = Event(
    "admin.disallow",
    "WARNING",
    "Operator took an address off the allow-list",
    ("actor", "ip_address", "removed"),
    always=True,
)
# Overrides, and commands to all workers.
ADMIN_SWITCH = Event(
    "admin.switch",
    "WARNING",
    "Operator set an override on all workers",
    ("actor", "kind", "name", "value", "duration_seconds", "reason"),
    always=True,
)
ADMIN_UNSWITCH = Event(
    "admin.unswitch", "WARNING", "Operator removed an override", ("actor", "kind", "name", "removed"), always=True
)
ADMIN_GC = Event("admin.gc", "INFO", "Operator started a garbage collection", ("actor", "workers"), always=True)
ADMIN_CLEAR_CACHES = Event("admin.clear_caches", "INFO", "Operator cleared caches", ("actor", "workers"), always=True)
ADMIN_CLOSE_SOCKETS = Event(
    "admin.close_sockets",
    "WARNING",
    "Operator ended live connections",
    (*_ABOUT_CALLER, "connection_id", "everything", "code", "workers"),
    always=True,
)
ADMIN_DRAIN_SOCKETS = Event(
    "admin.drain_sockets",
    "WARNING",
    "Operator drained a worker: its live connections end one after another",
    ("actor", "worker", "workers"),
    always=True,
)
# Documents, and database statements.
ADMIN_TRUST = Event(
    "admin.trust",
    "WARNING",
    "Operator trusted documents",
    ("actor", "documents", "count", "added", "manifest"),
    always=True,
)
ADMIN_DISTRUST = Event(
    "admin.distrust", "WARNING", "Operator removed a trusted document", ("actor", "document", "manifest"), always=True
)
ADMIN_KILL = Event(
    "admin.kill", "WARNING", "Operator stopped a statement of the database", ("actor", "pid", "stopped"), always=True
)
# Where operators act from.
ADMIN_OVERRIDES_FILE = Event(
    "admin.overrides_file",
    "WARNING",
    "The content of the overrides file has changed",
    ("actor", "file", "added", "removed", "in_force"),
    always=True,
)
ADMIN_RULES_FILE = Event(
    "admin.rules_file",
    "WARNING",
    "The content of the rules file has changed",
    ("actor", "file", "added", "removed", "changed", "in_force"),
    always=True,
)
ADMIN_LOGIN = Event("admin.login", "INFO", "Operator opened a session", ("actor", "ip_address"), always=True)
ADMIN_LOGIN_FAILED = Event(
    "admin.login_failed",
    "WARNING",
    "The token for the operator's API was missing or wrong",
    ("user_id", "ip_address", "endpoint", "presented", "user_agent"),
)

OPERATOR_EVENTS: Final[tuple[Event, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Event)
)
