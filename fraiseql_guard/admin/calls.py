"""What each route does: from the fields of a request to one call of the operator's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fraiseql_guard import signals
from fraiseql_guard.admin.asked import Asked, Reply
from fraiseql_guard.admin.values import KeyUse, Session
from fraiseql_guard.operator.interface import (
    Action,
    Allowed,
    BlockPage,
    Document,
    Done,
    Lifting,
    LimitPage,
    NotAppliedError,
    Offender,
    Origin,
    Refusal,
    Status,
    Switch,
)

_LIFT_SECONDS: Final = 1.0
"""How long POST /lift waits for the end before it answers that it goes on."""

# --- blocks and lockouts ---------------------------------------------------------------------------------------------


async def blocks(asked: Asked) -> BlockPage:
    """GET /blocks."""
    return await asked.operator.blocks_page(**asked.page())


async def block(asked: Asked) -> Done:
    """POST /blocks."""
    options = asked.some("duration_seconds", "reason", "force")
    caller = asked.visitor.address
    return _both(
        [await asked.operator.block(target, **options, caller=caller) for target in asked.targets()],
    )


async def lift(asked: Asked) -> Done:
    """DELETE /blocks."""
    return _both([await asked.operator.lift(target, **asked.some()) for target in asked.targets()])


async def lift_all(asked: Asked) -> Reply:
    """POST /lift."""
    done = await asked.operator.lift_all(origin=_origin(asked), wait_seconds=_LIFT_SECONDS, **asked.some())
    return Reply(done, status=202 if done.details.get("running") else 200)


async def lifting(asked: Asked) -> Lifting:
    """GET /lift."""
    return await asked.operator.lifting(origin=_origin(asked))


def _origin(asked: Asked) -> Origin | None:
    origin = asked.given.get("origin", Origin.AUTOMATIC)
    return None if origin == "all" else Origin(origin)


async def lockouts(asked: Asked) -> BlockPage:
    """GET /lockouts."""
    return await asked.operator.blocks_page(**asked.page(), logins=True)


async def unlock(asked: Asked) -> Done:
    """DELETE /lockouts."""
    return await asked.operator.unlock(asked.given["identifier"], **asked.some("ip_address"))


def _both(done: Sequence[Done]) -> Done:
    """What was done to a user and to an address, as one."""
    first, *more = done
    for each in more:
        counts = [count for count in (first.would_have_met, each.would_have_met) if count is not None]
        first = replace(
            first,
            message=f"{first.message} {each.message}",
            changed=first.changed or each.changed,
            affected=first.affected + each.affected,
            would_have_met=sum(counts) if counts else None,
            details={**first.details, **each.details},
        )
    return first


# --- limits and the allow-list ---------------------------------------------------------------------------------------


async def limits(asked: Asked) -> LimitPage:
    """GET /rate-limits."""
    whose = {name: asked.given[name] for name in ("user_id", "ip_address") if name in asked.given}
    return await asked.operator.limits_page(**asked.page(), **whose)


async def set_limit(asked: Asked) -> Done:
    """POST /rate-limits."""
    options, limit = asked.some("duration_seconds"), asked.given["limit"]
    return _both([await asked.operator.set_limit(target, limit, **options) for target in asked.targets()])


async def clear_limit(asked: Asked) -> Done:
    """DELETE /rate-limits."""
    return _both([await asked.operator.clear_limit(target, **asked.some()) for target in asked.targets()])


async def allowed(asked: Asked) -> Sequence[Allowed]:
    """GET /allow-list."""
    return await asked.operator.allowed()


async def allow(asked: Asked) -> Done:
    """POST /allow-list."""
    return await asked.operator.allow(asked.given["ip_address"], **asked.some("reason", "duration_seconds"))


async def disallow(asked: Asked) -> Done:
    """DELETE /allow-list."""
    return await asked.operator.disallow(asked.given["ip_address"], **asked.some())


# --- fleet-wide switches ---------------------------------------------------------------------------------------------


async def switches(asked: Asked) -> Sequence[Switch]:
    """GET /switches."""
    return await asked.operator.switches()


@dataclass(frozen=True, slots=True)
class SwitchKind:
    """GET, PUT and DELETE of one kind of override, whose name and value stand in fields of these names."""

    kind: str
    name: str
    value: str | None

    async def list(self, asked: Asked) -> Sequence[Switch]:
        """The overrides of this kind."""
        return [each for each in await asked.operator.switches() if each.kind == self.kind]

    async def put(self, asked: Asked) -> Done:
        """Bring one into force."""
        value = asked.given[self.value] if self.value else ""
        return await asked.operator.switch(
            self.kind, self._name(asked), value, **asked.some("duration_seconds", "reason")
        )

    async def delete(self, asked: Asked) -> Done:
        """Take one back."""
        return await asked.operator.unswitch(self.kind, self._name(asked), **asked.some())

    def _name(self, asked: Asked) -> str:
        return str(asked.given.get(self.name, "all"))


async def collect_garbage(asked: Asked) -> Done:
    """POST /gc."""
    return await asked.operator.collect_garbage(**asked.some())


async def clear_caches(asked: Asked) -> Done:
    """POST /caches/clear."""
    return await asked.operator.clear_caches(**asked.some())


# --- what is going on ------------------------------------------------------------------------------------------------


async def status(asked: Asked) -> Status:
    """GET /status."""
    return await asked.operator.status()


async def offenders(asked: Asked) -> Sequence[Offender]:
    """GET /offenders."""
    return await asked.operator.offenders(**asked.given)


async def refusals(asked: Asked) -> Sequence[Refusal]:
    """GET /refusals."""
    return await asked.operator.refusals(**asked.given)


async def why(asked: Asked) -> Refusal:
    """GET /refusals/{request_id}."""
    return await asked.operator.why(asked.given["request_id"])


async def actions(asked: Asked) -> Sequence[Action]:
    """GET /actions."""
    return await asked.operator.actions(**asked.given)


async def config(asked: Asked) -> Sequence[Mapping[str, Any]]:
    """GET /config."""
    return await asked.operator.config()


async def keys(asked: Asked) -> Sequence[KeyUse]:
    """GET /keys."""
    status = await asked.operator.status()
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


async def documents(asked: Asked) -> Sequence[Document]:
    """GET /documents."""
    return await asked.operator.documents()


async def document(asked: Asked) -> Document:
    """GET /documents/{query_hash}."""
    return await asked.operator.document(asked.given["query_hash"])


async def trust(asked: Asked) -> Done:
    """POST /documents."""
    return await asked.operator.trust([Document(**{"id": "", **asked.given})], **asked.some())


async def distrust(asked: Asked) -> Done:
    """DELETE /documents."""
    return await asked.operator.distrust(asked.given["id"], **asked.some())


async def openapi(asked: Asked) -> Mapping[str, Any]:
    """GET /openapi.json."""
    return asked.desk.description()


# --- sessions of the console -----------------------------------------------------------------------------------------


async def open_session(asked: Asked) -> Reply:
    """POST /session."""
    visitor = asked.visitor
    session, cookie = asked.desk.sessions.open(visitor, secure=asked.secure)
    asked.desk.audit(signals.ADMIN_LOGIN, {"actor": visitor.actor, "ip_address": visitor.address})
    return Reply(session, ((b"set-cookie", cookie),))


async def session(asked: Asked) -> Session:
    """GET /session."""
    return asked.visitor.session


async def close_session(asked: Asked) -> Reply:
    """DELETE /session."""
    cookie = asked.desk.sessions.cookie("", 0, secure=asked.secure)
    return Reply(Session(actor=asked.visitor.actor), ((b"set-cookie", cookie),))
