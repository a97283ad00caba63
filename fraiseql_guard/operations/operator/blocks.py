"""Blocks and lockouts: imposes, lifts and lists them.

A block of an address or network is an entry of the control set, which every process polls. A block of a user is kept
with the user's buckets, where the one store call of each of their requests finds it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core import parsing, signals
from fraiseql_guard.core.amounts import amount
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.identity.logins import canonical_identifier, read_login
from fraiseql_guard.identity.networks import subject_of
from fraiseql_guard.operations.operator.dangers import Met, met_by_network, met_by_user, refuse_danger, watched_block
from fraiseql_guard.operations.operator.deps import (
    OperatorDeps,
    duration_text,
    network,
    network_text,
    printable_text,
    seconds,
    store_answering,
)
from fraiseql_guard.operations.operator.interface import Block, BlockPage, Done, OperatorError, Origin
from fraiseql_guard.operations.operator.pages import filtered_page
from fraiseql_guard.operations.operator.shared_values import BLOCK_SECONDS, Target
from fraiseql_guard.operations.operator.targets import (
    fields_of,
    kind_of,
    lies_in,
    name_of,
    subject_of_user,
    target_of,
    users_among,
    users_seen,
)
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.stores.sanction_pages import CURSOR_PATTERN as STORE_CURSOR

_OPERATOR = PolicyName.OPERATOR
_MOST: Final = 1_000
_NETWORKS: Final = "network_"
"""Prefix of a cursor for a page that starts among the operators' blocks of networks; the number of blocks before it
follows."""
CURSOR_PATTERN: Final = f"({_NETWORKS}[0-9]{{1,9}}|{STORE_CURSOR})"


@dataclass(frozen=True, slots=True)
class _Blocked:
    """The effects of a block: recent requests that it would have refused, whether it held already for as long, the live
    connections of this process that it has ended, and the reason if it refuses nothing."""

    met: Met | None
    known: bool
    ended: int
    watched: str


class Blocks:
    """The operator's methods about sanctions."""

    def __init__(self, deps: OperatorDeps) -> None:
        self._deps = deps

    async def block(
        self,
        target: Target,
        *,
        duration_seconds: float = BLOCK_SECONDS,
        reason: str = "",
        force: bool = False,
        actor: str = "",
        caller: str | None = None,
    ) -> Done:
        """Operator.block."""
        kind, lasts = kind_of(target), seconds(duration_seconds)
        if kind == "identifier":
            raise OperatorError("a login is locked out by its failures alone: block its user or address", field=kind)
        printable_text(reason, "reason")
        if kind == "user_id":
            blocked = await self._block_user(target, lasts, reason, actor)
        else:
            blocked = await self._block_network(network(target.ip_address), lasts, reason, force, actor, caller)
        fields = {**fields_of(target), "duration_seconds": lasts, "reason": reason, "forced": force}
        met, ended = blocked.met, blocked.ended
        told = {"would_have_met": met.requests if met else None, "connections_ended": ended or None}
        await self._deps.record(signals.ADMIN_BLOCK, actor, {**fields, **told})
        # Connections that other workers end are not known yet: they poll twice a second.
        more = f" {ended:,} of its live connections ended in this worker at once." if ended else ""
        more += f" It {blocked.watched}." if blocked.watched else ""
        details: dict[str, object] = {"requests_seen": met.of} if met else {}
        if ended:
            details["connections_ended"] = ended
        if blocked.watched:
            details["watched"] = blocked.watched
        return Done(
            message=f"{_upper(name_of(target))} is blocked for {duration_text(lasts)}.{more}",
            changed=not blocked.known,
            affected=0 if blocked.known else 1,
            would_have_met=met.requests if met else None,
            details=details,
        )

    async def _block_user(self, target: Target, lasts: float, reason: str, actor: str) -> _Blocked:
        """Block a user."""
        deps = self._deps
        beats, control = await deps.heartbeats(), await deps.control()
        subject = await subject_of_user(deps, target)
        with store_answering():
            in_force = await deps.store.sanctions.of(subject)
            sanction = Sanction(subject, _OPERATOR, lasts, reason, actor)
            await deps.store.sanctions.impose(sanction)
        ended = deps.connections.sanction(sanction) if deps.connections is not None else 0
        known = any(each.policy is _OPERATOR and each.expires_in_seconds >= lasts for each in in_force)
        return _Blocked(met_by_user(beats, subject), known, ended, watched_block(beats, control))

    async def _block_network(
        self, wanted: parsing.Network, lasts: float, reason: str, force: bool, actor: str, caller: str | None
    ) -> _Blocked:
        """Block a network. DangerousError without ``force`` where it would meet the wrong callers."""
        deps = self._deps
        beats, control = await deps.heartbeats(), await deps.control()
        met = met_by_network(beats, wanted)
        if not force:
            refuse_danger(deps, control, wanted, caller, met)
        held = [entry for known, entry in control.networks(OverrideKind.BLOCK) if known == wanted]
        with store_answering():
            for entry in held:
                if entry.key != str(wanted):  # the same network, written by hand in another form
                    await deps.store.overrides.delete(entry.kind, entry.key)
            await deps.store.overrides.put(Override(OverrideKind.BLOCK, str(wanted), lasts, reason, actor))
        ended = deps.connections.block(wanted) if deps.connections is not None else 0
        known = any(entry.expires_in_seconds >= lasts for entry in held)
        return _Blocked(met, known, ended, watched_block(beats, control))

    async def lift(self, target: Target, *, actor: str = "") -> Done:
        """Operator.lift."""
        kind = kind_of(target)
        if kind == "identifier":
            return await self.unlock(str(target.identifier), ip_address=target.ip_address, actor=actor)
        still: Sequence[str] = ()
        if kind == "user_id":
            ended = await self._lift_user(target)
        else:
            ended, still = await self._lift_network(network(target.ip_address))
        await self._deps.record(signals.ADMIN_LIFT, actor, {**fields_of(target), "lifted": ended})
        more = f" It is still inside {', '.join(still)}, which is blocked." if still else ""
        held = name_of(target)
        done = f"{amount(ended, 'sanction')} of {held} ended" if ended else f"Nothing was in force on {held}"
        return Done(
            message=f"{done}.{more}",
            changed=ended > 0,
            affected=ended,
            details={"still_blocked_by": still} if still else {},
        )

    async def _lift_user(self, target: Target) -> int:
        """Lift the sanctions of all users of this name who are sanctioned or were seen lately: to lift too many does no
        harm. Without any, forget the offences of the user that the name means. Returns how many sanctions ended."""
        store = self._deps.store
        with store_answering():
            held = [each async for batch in self._subjects() for each in users_among(batch, target)]
            subjects = {*held, *await users_seen(self._deps, target)} or {await subject_of_user(self._deps, target)}
            return sum([await store.sanctions.lift(subject) for subject in subjects])

    async def _lift_network(self, wanted: parsing.Network) -> tuple[int, Sequence[str]]:
        """Lift the sanctions inside a network. Returns how many ended, and the wider blocks that still hold there."""
        store, blocked = self._deps.store, list((await self._deps.control()).networks(OverrideKind.BLOCK))
        with store_answering():
            ended = sum(
                [await store.overrides.delete(entry.kind, entry.key) for known, entry in blocked if known == wanted]
            )
            ended += sum([await store.sanctions.lift(subject) for subject in await self._inside(wanted)])
        return ended, [str(known) for known, _ in blocked if known != wanted and _inside(wanted, known)]

    async def _inside(self, wanted: parsing.Network) -> set[Subject]:
        """The subjects to lift: the one of an address, sanctioned or not, so that its offences are forgotten; of a
        network all that are sanctioned."""
        prefix = self._deps.settings.ipv6_prefix
        if wanted.num_addresses == 1:
            return {as_listed(subject_of(wanted.network_address, ipv6_prefix=prefix))}
        return {each async for batch in self._subjects() for each in batch if lies_in(each, wanted, prefix)}

    async def _subjects(self) -> AsyncIterator[Sequence[Subject]]:
        """All subjects with a sanction, in batches."""
        async for batch in self._deps.store.sanctions.batches():
            yield [subject for subject, _ in batch]

    async def blocks(self) -> Sequence[Block]:
        """Operator.blocks."""
        found: list[Block] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self.blocks_page(_MOST, cursor)
            found += page.items
            cursor = page.next_cursor
        return sorted(found, key=lambda each: -each.expires_in_seconds)

    async def blocks_page(self, count: int = 100, cursor: str = "", *, logins: bool = False) -> BlockPage:
        """Operator.blocks_page."""
        if logins:
            return await self._sanctions_page(count, cursor, keep=_is_lockout)
        networks = sorted(
            (await self._deps.control()).networks(OverrideKind.BLOCK), key=lambda each: -each[1].expires_in_seconds
        )
        if cursor and not cursor.startswith(_NETWORKS):
            return await self._sanctions_page(count, cursor, further=len(networks))
        # Operators' blocks of networks come first.
        number = cursor.removeprefix(_NETWORKS)
        first = int(number) if number.isdecimal() else 0
        items = [network_block(*each) for each in networks[first : first + count]]
        last = first + count >= len(networks)
        if last and len(items) < count:
            # There is room for sanctions of the store.
            return await self._sanctions_page(count - len(items), "", before=items, further=len(networks))
        with store_answering():
            more = await self._deps.store.sanctions.count()
        following = f"{_NETWORKS}{first + count}" if more or not last else None
        return BlockPage(items=items, next_cursor=following, total=len(networks) + more)

    async def _sanctions_page(
        self,
        count: int,
        cursor: str,
        *,
        before: Sequence[Block] = (),
        further: int = 0,
        keep: Callable[[Sanction], bool] = lambda _: True,
    ) -> BlockPage:
        """A page of the store's sanctions, behind the blocks ``before``. ``further`` blocks are not in the store."""
        page = await filtered_page(self._deps.store.sanctions.page, count, cursor, keep)
        items = sorted([*before, *map(block_of, page.items)], key=lambda each: -each.expires_in_seconds)
        return BlockPage(items=items, next_cursor=page.cursor or None, total=further + page.total)

    async def unlock(self, identifier: str, *, ip_address: str | None = None, actor: str = "") -> Done:
        """Operator.unlock."""
        kind_of(Target(identifier=identifier))
        where = None if ip_address is None else network(ip_address)
        store, prefix = self._deps.store, self._deps.settings.ipv6_prefix
        with store_answering():
            due = {
                each async for batch in self._subjects() for each in batch if _locked(each, identifier, where, prefix)
            }
            ended = sum([await store.sanctions.lift(subject) for subject in due])
        fields = {"identifier": identifier, "ip_address": ip_address, "lifted": ended}
        await self._deps.record(signals.ADMIN_UNLOCK, actor, fields)
        at = f" at {network_text(where)}" if where else ""
        message = f"{identifier} is unlocked{at}." if ended else f"{identifier} was not locked out{at}."
        return Done(message=message, changed=ended > 0, affected=ended)


def _locked(subject: Subject, identifier: str, where: parsing.Network | None, ipv6_prefix: int) -> bool:
    """Whether a subject is the lockout of a login identifier, at an address inside ``where`` if that is given."""
    login = read_login(subject)
    if login is None or login[0] != canonical_identifier(identifier):
        return False
    return where is None or lies_in(Subject("address", login[1]), where, ipv6_prefix)


def _is_lockout(sanction: Sanction) -> bool:
    return sanction.subject.kind == "login"


def as_listed(subject: Subject) -> Subject:
    """A subject without its wider networks, as the store lists it."""
    return Subject(subject.kind, subject.name, subject.group)


def _inside(one: parsing.Network, other: parsing.Network) -> bool:
    return one.version == other.version and one.subnet_of(other)  # type: ignore[arg-type]


def _origin(sanction: Sanction) -> Origin:
    return Origin.AUTOMATIC if sanction.automatic else Origin.OPERATOR


def block_of(sanction: Sanction) -> Block:
    """A sanction as operators see it."""
    return Block(
        target=target_of(sanction.subject),
        origin=_origin(sanction),
        policy=sanction.policy.value,
        expires_in_seconds=sanction.expires_in_seconds,
        reason=sanction.reason,
        actor=sanction.actor,
    )


def network_block(known: parsing.Network, entry: Override) -> Block:
    """An operator's block of a network, as operators see it."""
    return Block(
        target=Target(ip_address=network_text(known)),
        origin=Origin.OPERATOR,
        policy=_OPERATOR.value,
        expires_in_seconds=entry.expires_in_seconds,
        reason=entry.reason,
        actor=entry.actor,
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
