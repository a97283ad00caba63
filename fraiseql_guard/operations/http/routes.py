"""The routes of the HTTP API: the operator's table (operations/operator/routes.py), and those that only HTTP has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.core import signals
from fraiseql_guard.operations.http.request import AdminRequest, Reply
from fraiseql_guard.operations.http.sessions import Session
from fraiseql_guard.operations.operator import routes
from fraiseql_guard.operations.operator.interface import NotAppliedError
from fraiseql_guard.operations.operator.route import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """One key that tokens are verified with. Two fingerprints of one slot mean that workers differ."""

    slot: str
    """current, old, new, or a kid."""
    fingerprint: str
    workers: int
    """How many workers have this very key in this slot."""
    of_workers: int
    verified: int
    """Tokens that the key has verified in these workers."""


async def _keys(asked: AdminRequest) -> Sequence[KeyUse]:
    status = await asked.deps.operator.status()
    if not status.store_answers:
        raise NotAppliedError("the store does not answer: which keys the workers have is not known")
    workers = status.workers
    held: dict[tuple[str, str], list[int]] = {}
    for worker in workers:
        for slot, fingerprint in worker.key_fingerprints.items():
            held.setdefault((slot, fingerprint), []).append(worker.token_keys.get(slot, 0))
    return [
        KeyUse(slot=slot, fingerprint=fingerprint, workers=len(uses), of_workers=len(workers), verified=sum(uses))
        for (slot, fingerprint), uses in sorted(held.items())
    ]


async def _openapi(asked: AdminRequest) -> Mapping[str, Any]:
    return asked.deps.description()


async def _open_session(asked: AdminRequest) -> Reply:
    visitor = asked.visitor
    session, cookie = asked.deps.sessions.open(visitor, secure=asked.secure)
    asked.deps.audit(signals.ADMIN_LOGIN, {"actor": visitor.actor, "ip_address": visitor.address})
    return Reply(session, ((b"set-cookie", cookie),))


async def _session(asked: AdminRequest) -> Session:
    return asked.visitor.session


async def _close_session(asked: AdminRequest) -> Reply:
    cookie = asked.deps.sessions.cookie("", 0, secure=asked.secure)
    return Reply(Session(actor=asked.visitor.actor), ((b"set-cookie", cookie),))


ROUTES: Final[tuple[Route, ...]] = (
    *routes.ROUTES,
    Route(
        method="GET", path="/keys", does="Which workers have which keys, and how many tokens each has verified.",
        handler=_keys, result=KeyUse, many=True,
    ),
    Route(
        method="GET", path="/openapi.json", does="This description.", handler=_openapi, result=None,
    ),
    # sessions of the console
    Route(
        method="POST", path="/session", does="Exchange the token for a session cookie (HttpOnly, SameSite=Strict).",
        handler=_open_session, result=Session,
    ),
    Route(
        method="GET", path="/session", does="Who acts, and the token that X-CSRF-Token must carry.",
        handler=_session, result=Session,
    ),
    Route(
        method="DELETE", path="/session", does="Forget the session's cookie.",
        handler=_close_session, result=Session,
    ),
)  # fmt: skip
