"""The routes of the HTTP API: the Operator's methods (operations/operator/routes.py), and routes that only HTTP has."""

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


async def _keys(request: AdminRequest) -> Sequence[KeyUse]:
    status = await request.deps.operator.status()
    if not status.store_answers:
        raise NotAppliedError("the store does not answer: which keys the workers have is not known")
    workers = status.workers
    # By slot and fingerprint of a key: the number of tokens verified by each worker that has the key.
    held: dict[tuple[str, str], list[int]] = {}
    for worker in workers:
        for slot, fingerprint in worker.key_fingerprints.items():
            held.setdefault((slot, fingerprint), []).append(worker.token_keys.get(slot, 0))
    return [
        KeyUse(slot=slot, fingerprint=fingerprint, workers=len(uses), of_workers=len(workers), verified=sum(uses))
        for (slot, fingerprint), uses in sorted(held.items())
    ]


async def _openapi(request: AdminRequest) -> Mapping[str, Any]:
    return request.deps.description()


async def _open_session(request: AdminRequest) -> Reply:
    principal = request.principal
    session, cookie = request.deps.sessions.open(principal, secure=request.secure)
    request.deps.audit(signals.ADMIN_LOGIN, {"actor": principal.actor, "ip_address": principal.address})
    return Reply(session, ((b"set-cookie", cookie),))


async def _session(request: AdminRequest) -> Session:
    return request.principal.session


async def _close_session(request: AdminRequest) -> Reply:
    cookie = request.deps.sessions.cookie("", 0, secure=request.secure)
    return Reply(Session(actor=request.principal.actor), ((b"set-cookie", cookie),))


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
