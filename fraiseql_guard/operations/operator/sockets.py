"""Live connections as operators see them, and as they end them: WebSockets, and answers that are streamed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import chain
from typing import Final

from fraiseql_guard.core import parsing, signals
from fraiseql_guard.core.live_facts import LiveFacts
from fraiseql_guard.operations.operator.closing_order import CLOSING_CODE, ClosingOrder
from fraiseql_guard.operations.operator.deps import OperatorDeps, network, network_text, printable_text, store_answering
from fraiseql_guard.operations.operator.interface import Done, NotFoundError, OperatorError, Sockets
from fraiseql_guard.operations.operator.records import Heartbeat
from fraiseql_guard.operations.operator.shared_values import SocketHolder
from fraiseql_guard.stores.overrides import CLOSE_SOCKETS, DRAIN_SOCKETS, Override, command

_CODES: Final = range(4000, 5000)
"""The closing codes of applications (RFC 6455, section 7.4.2)."""


@dataclass(frozen=True, slots=True)
class _CallerFilter:
    """Selects the connections of one user, or of an address or network; of all callers if both are None."""

    user_id: str | None
    where: parsing.Network | None

    def about(self, each: LiveFacts | SocketHolder) -> bool:
        """Whether a connection, or a holder of connections, is selected."""
        if self.user_id is not None and each.user_id != self.user_id:
            return False
        return self.where is None or _is_in(each.ip_address, self.where)


class SocketActions:
    """The operator's methods about live connections."""

    def __init__(self, deps: OperatorDeps) -> None:
        self._deps = deps

    async def sockets(self, count: int = 100, *, user_id: str | None = None, ip_address: str | None = None) -> Sockets:
        """Operator.sockets."""
        wanted = None if ip_address is None else network(ip_address)
        beats = await self._deps.heartbeats()
        asked = _CallerFilter(user_id, wanted)
        found = [each for each in _largest(beats) if asked.about(each)]
        live = [beat.worker.live for beat in beats if beat.worker.live is not None]
        holders = _added_holders(each.holders for each in live)
        return Sockets(
            items=found[:count],
            open=_added(each.open for each in live),
            opened_last_minute=sum(each.opened_last_minute for each in live),
            closed=_added(each.closed for each in live),
            holders=[each for each in holders if asked.about(each)],
        )

    async def close_sockets(
        self,
        *,
        connection_id: str | None = None,
        user_id: str | None = None,
        ip_address: str | None = None,
        everything: bool = False,
        code: int = CLOSING_CODE,
        actor: str = "",
    ) -> Done:
        """Operator.close_sockets."""
        given = [each for each in (connection_id, user_id, ip_address, everything or None) if each is not None]
        if len(given) != 1:
            raise OperatorError("give exactly one of id, user_id, ip_address and all", field="id")
        if code not in _CODES:
            raise OperatorError(f"code={code} is not between {_CODES[0]} and {_CODES[-1]}", field="code")
        where = None if ip_address is None else network(ip_address)
        order = ClosingOrder(
            connection_id=None if connection_id is None else printable_text(connection_id, "id"),
            user_id=None if user_id is None else printable_text(user_id, "user_id"),
            ip_address=None if where is None else str(where),
            code=code,
        )
        workers = await self._tell(command(CLOSE_SOCKETS, value=order.written(), actor=actor))
        shown = None if where is None else network_text(where)
        fields = {"connection_id": connection_id, "user_id": user_id, "ip_address": shown, "everything": everything}
        await self._deps.record(signals.ADMIN_CLOSE_SOCKETS, actor, {**fields, "code": code, "workers": workers})
        return Done(
            message=f"{_named(order, shown)} ends on all workers within a second.",
            affected=workers,
            details={"workers": workers},
        )

    async def drain_sockets(self, *, worker: str | None = None, actor: str = "") -> Done:
        """Operator.drain_sockets."""
        if worker is not None:
            known = [beat.worker.id for beat in await self._deps.heartbeats()]
            if printable_text(worker, "worker") not in known:
                raise NotFoundError(f"no worker says that it is {worker[:80]}", field="worker")
        workers = await self._tell(command(DRAIN_SOCKETS, value=worker or "", actor=actor))
        await self._deps.record(signals.ADMIN_DRAIN_SOCKETS, actor, {"worker": worker, "workers": workers})
        whose = "All workers end" if worker is None else f"The worker {worker} ends"
        return Done(
            message=f"{whose} what is open now, spread over half a minute.",
            affected=workers if worker is None else 1,
            details={"workers": workers},
        )

    async def _tell(self, entry: Override) -> int:
        """Bring a command into force; returns the number of living workers, which carry it out."""
        workers = len(await self._deps.heartbeats())
        with store_answering():
            await self._deps.store.overrides.put(entry)
        return workers


def _named(order: ClosingOrder, where: str | None) -> str:
    if order.connection_id is not None:
        return f"The connection {order.connection_id}"
    if order.user_id is not None:
        return f"What user {order.user_id} has open"
    return "What is open" if where is None else f"What is open from {where}"


def _largest(beats: Sequence[Heartbeat]) -> list[LiveFacts]:
    """The connections that workers report, the largest first, each with its worker."""
    found = (replace(each, worker=beat.worker.id) for beat in beats for each in beat.connections)
    return sorted(found, key=lambda each: each.weight, reverse=True)


def _added(counts: Iterator[Mapping[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return {name: count for name, count in sorted(total.items()) if count}


def _added_holders(holders: Iterator[Sequence[SocketHolder]]) -> list[SocketHolder]:
    """The numbers of open connections by caller, over all workers, the largest first."""
    total: Counter[tuple[str, str]] = Counter()
    for each in chain.from_iterable(holders):
        total[each.user_id, each.ip_address] += each.open
    return [
        SocketHolder(user_id=user_id, ip_address=address, open=count)
        for (user_id, address), count in total.most_common()
    ]


def _is_in(address: str, wanted: parsing.Network) -> bool:
    try:
        return ip_address(address) in wanted
    except ValueError:
        return False  # of a peer that the server does not name
