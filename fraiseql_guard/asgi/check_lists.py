"""Lists the checks that requests go through, cheapest first, and the edits of the app's answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fraiseql_guard.asgi import head_cache, replies
from fraiseql_guard.asgi.actual_cost import extension_reader
from fraiseql_guard.asgi.answer_editor import Edit
from fraiseql_guard.asgi.components import Components
from fraiseql_guard.asgi.cost_note import with_cost
from fraiseql_guard.asgi.own_bodies import OwnBodies
from fraiseql_guard.asgi.runtime import Check, HeadCheck, first_in_force
from fraiseql_guard.asgi.suggestions import without_suggestions
from fraiseql_guard.checks.admin_access import AdminAccess
from fraiseql_guard.checks.concurrency import Concurrency
from fraiseql_guard.checks.cost_budgets import CostBudgets
from fraiseql_guard.checks.http_request import HttpRequestForm
from fraiseql_guard.checks.memory_pressure import MemoryPressure
from fraiseql_guard.checks.mixed_documents import MixedDocuments
from fraiseql_guard.checks.origin import SocketOrigin
from fraiseql_guard.checks.query_limits import QueryLimits
from fraiseql_guard.checks.request_paths import RequestPaths
from fraiseql_guard.checks.sanctions import SANCTIONING
from fraiseql_guard.checks.socket_room import SubscriptionRoom
from fraiseql_guard.checks.subprotocols import Subprotocols
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.graphql.reader import Reader
from fraiseql_guard.identity.addresses import AddressResolver

_CLOSED_TO_SOCKETS: Final = (Protection.QUERY_LIMITS, Protection.AUTH, Protection.RATE_LIMIT)
"""Protections in whose name an upgrade on a GraphQL path may be refused, in order of preference."""
_CHECKING: Final = (*_CLOSED_TO_SOCKETS, Protection.TIMEOUT)
"""Protections that depend on the path of a request, in order of preference."""


def active_in(modes: Mapping[Protection, Mode]) -> frozenset[Protection]:
    """The protections that enforce or monitor. ``modes`` has every protection."""
    return frozenset(each for each, mode in modes.items() if mode is not Mode.OFF)


def head_checks(
    settings: Settings, modes: Mapping[Protection, Mode], components: Components, pages: Iterable[HeadCheck]
) -> tuple[HeadCheck, ...]:
    """Checks that decide by the head of a request. ``pages`` decide who may read the pages that the guard serves."""
    active = active_in(modes)
    checks: list[HeadCheck] = []
    # Blocks of operators come first: a blocked caller learns nothing else.
    if not active.isdisjoint(SANCTIONING):
        checks.append(components.blocks)
    checks.append(RequestPaths(first_in_force(modes, _CHECKING) or _CHECKING[0]))
    if active - {Protection.METRICS}:
        sockets = first_in_force(modes, _CLOSED_TO_SOCKETS) or _CLOSED_TO_SOCKETS[0]
        header = components.identity.sources.api_key_header if components.identity is not None else None
        checks.append(HttpRequestForm(settings, sockets=sockets, api_key_header=header))
    checks.extend(pages)
    if Protection.ADMIN in active:
        checks.append(AdminAccess())
    return tuple(checks)


def socket_checks(settings: Settings, modes: Mapping[Protection, Mode], token_check: Check | None) -> tuple[Check, ...]:
    """Checks that decide by the head of an upgrade to a WebSocket, in the order of their refusals."""
    checks: list[Check] = []
    if active_in(modes) - {Protection.METRICS}:
        owner = first_in_force(modes, _CLOSED_TO_SOCKETS) or _CLOSED_TO_SOCKETS[0]
        checks.append(SocketOrigin(settings, modes, owner))
        if settings.sockets == "guard":
            checks.append(Subprotocols(settings, owner))
    return (*checks, token_check) if token_check is not None else tuple(checks)


def head_reads(
    resolver: AddressResolver, checks: Iterable[HeadCheck], token_check: HeadCheck | None, own_bodies: OwnBodies | None
) -> HeadReads:
    """The parts of a request head that any check, resolver or renderer declares to read: the head cache's key."""
    every_check = (*checks, *((token_check,) if token_check is not None else ()))
    bodies = () if own_bodies is None else (own_bodies.reads,)
    return HeadReads.union(
        (head_cache.READS, replies.READS, resolver.reads, *bodies, *(check.reads for check in every_check))
    )


def body_checks(
    settings: Settings,
    configured: Settings,
    active: frozenset[Protection],
    components: Components,
    reader: Reader | None,
    concurrency: Concurrency | None,
    subscription_room: SubscriptionRoom,
) -> tuple[Check, ...]:
    """Checks that decide by the operation that a request asks for. ``configured`` are the settings before overrides."""
    checks: list[Check] = []
    # Read and measure the document, for all checks below.
    if reader is not None:
        checks.append(QueryLimits(reader))
    if Protection.QUERY_LIMITS in active:
        checks += [components.documents.blocked, MixedDocuments()]
    if Protection.AUTH in active and settings.public_root_fields:
        from fraiseql_guard.checks.authentication import PublicOperations

        checks.append(PublicOperations(settings))
    # Does the server have the memory, and the caller the points, for the operation?
    if Protection.RATE_LIMIT in active:
        if settings.shed_above_memory_percent is not None:
            checks.append(MemoryPressure(components.host.memory, settings.shed_above_memory_percent))
        if settings.cost_budgets:
            checks.append(CostBudgets(settings, configured))
    if concurrency is not None:
        # Last: these take slots, which are given back at the end of the request, or once a subscription has begun.
        checks += [concurrency, subscription_room]
    return tuple(checks)


def answer_edits(settings: Settings, modes: Mapping[Protection, Mode]) -> tuple[Edit, ...]:
    """The edits of the app's answers to GraphQL requests, in order."""
    edits: list[Edit] = []
    # First: it reads the answer as the app wrote it.
    if settings.cost_extension is not None and modes[Protection.RATE_LIMIT] is not Mode.OFF:
        edits.append(extension_reader(settings.cost_extension))
    if settings.suggestions_hidden and modes[Protection.QUERY_LIMITS] is Mode.ENFORCE:
        edits.append(without_suggestions)
    if settings.cost_in_response:
        edits.append(with_cost)
    return tuple(edits)
