"""Limits of single users and addresses, and the allow-list."""

from __future__ import annotations

from collections.abc import Sequence

from fraiseql_guard import parsing, signals
from fraiseql_guard.context import Limit, Subject
from fraiseql_guard.operator.bench import Bench, answering, lasting, network, seconds, shown, words
from fraiseql_guard.operator.interface import BLOCK_SECONDS, Allowed, Done, LimitOverride, OperatorError, Target
from fraiseql_guard.operator.targets import (
    fields_of,
    kind_of,
    lies_in,
    name_of,
    subject_of_address,
    subject_of_user,
    target_of,
    users_among,
)
from fraiseql_guard.settings import name_of as variable
from fraiseql_guard.stores.control import LONGEST_SECONDS, Entry, EntryKind


class Limits:
    """The part of the operator that limits are about."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def set_limit(
        self, target: Target, limit: str, *, duration_seconds: float = BLOCK_SECONDS, actor: str = ""
    ) -> Done:
        """Operator.set_limit."""
        wanted, lasts, bench = _limit(limit), seconds(duration_seconds), self._bench
        subject = await self._subject(target)
        burst = bench.settings.rate_limit_burst.of(wanted)
        with answering():
            held = [each for each in await bench.store.limits() if _same(each.subject, subject)]
            await bench.store.set_limit(subject, wanted, burst, lasts, actor=actor)
        known = any(each.limit == wanted and each.expires_in_seconds >= lasts for each in held)
        fields = {**fields_of(target), "limit": str(wanted), "duration_seconds": lasts}
        await bench.record(signals.ADMIN_LIMIT, actor, fields)
        return Done(
            message=f"The limit of {name_of(target)} is {wanted} for {lasting(lasts)}.",
            changed=not known,
            affected=1,
            details={"limit": str(wanted), "burst": burst},
        )

    async def clear_limit(self, target: Target, *, actor: str = "") -> Done:
        """Operator.clear_limit."""
        store = self._bench.store
        with answering():
            subjects = [each.subject for each in await store.limits()]
            due = users_among(subjects, target) if kind_of(target) == "user_id" else []
            due = due or [await self._subject(target)]
            ended = sum([await store.clear_limit(subject) for subject in due])
        await self._bench.record(signals.ADMIN_LIMIT_CLEARED, actor, {**fields_of(target), "cleared": ended})
        now = "has its ordinary limit again" if ended else "had its ordinary limit already"
        name = name_of(target)
        return Done(message=f"{name[:1].upper()}{name[1:]} {now}.", changed=ended > 0, affected=ended)

    async def limits(self) -> Sequence[LimitOverride]:
        """Operator.limits."""
        with answering():
            held = await self._bench.store.limits()
        found = [
            LimitOverride(
                target=target_of(each.subject),
                limit=str(each.limit),
                burst=each.burst,
                expires_in_seconds=each.expires_in_seconds,
                actor=each.actor,
            )
            for each in held
        ]
        return sorted(found, key=lambda each: -each.expires_in_seconds)

    async def _subject(self, target: Target) -> Subject:
        kind = kind_of(target)
        if kind == "identifier":
            raise OperatorError("a login has no limit of its own: give user_id or ip_address", field=kind)
        return await subject_of_user(self._bench, target) if kind == "user_id" else subject_of_address(target)


class AllowListing:
    """The part of the operator that the allow-list is about."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def allow(
        self, ip_address: str, *, reason: str = "", duration_seconds: float | None = None, actor: str = ""
    ) -> Done:
        """Operator.allow. Automatic sanctions inside end, because nobody allows an address for it to stay blocked."""
        wanted = network(ip_address)
        if wanted.prefixlen == 0:
            raise OperatorError(f"ip_address={ip_address} would allow every address", field="ip_address")
        lasts = LONGEST_SECONDS if duration_seconds is None else seconds(duration_seconds)
        words(reason, "reason")
        bench, store = self._bench, self._bench.store
        held = [(known, entry) for known, entry in (await bench.control()).networks(EntryKind.ALLOW) if known == wanted]
        with answering():
            await store.tell(Entry(EntryKind.ALLOW, str(wanted), lasts, words(reason, "reason"), actor))
            due = [each for each in await store.sanctions() if each.automatic and lies_in(each.subject, wanted)]
            lifted = sum([await store.lift(each.subject, each.policy) for each in due])
        fields = {"ip_address": str(wanted), "duration_seconds": lasts, "reason": reason, "lifted": lifted}
        await bench.record(signals.ADMIN_ALLOW, actor, fields)
        more = f" {lifted} automatic sanctions of it ended." if lifted else ""
        return Done(
            message=f"{shown(wanted)} is allowed for {lasting(lasts)}.{more}",
            changed=not any(entry.expires_in_seconds >= lasts for _, entry in held),
            affected=lifted,
        )

    async def disallow(self, ip_address: str, *, actor: str = "") -> Done:
        """Operator.disallow."""
        wanted, bench = network(ip_address), self._bench
        entries = [entry for known, entry in (await bench.control()).networks(EntryKind.ALLOW) if known == wanted]
        if not entries:
            self._refuse_elsewhere(wanted)
        with answering():
            ended = sum([await bench.store.untell(entry.kind, entry.key) for entry in entries])
        await bench.record(signals.ADMIN_DISALLOW, actor, {"ip_address": str(wanted), "removed": ended})
        now = "is no longer allowed" if ended else "was not on the allow-list"
        return Done(message=f"{shown(wanted)} {now}.", changed=ended > 0, affected=ended)

    def _refuse_elsewhere(self, wanted: parsing.Network) -> None:
        """OperatorError if an address is allowed where an operator cannot take it back."""
        settings = self._bench.settings
        places = (
            ("allow_list", settings.allow_list),
            ("allow_list_file", [entry.network for entry in self._bench.allow_list.entries()]),
        )
        for option, networks in places:
            if wanted in networks:
                raise OperatorError(
                    f"{shown(wanted)} is allowed by {variable(option)}, and can be taken back only there",
                    field="ip_address",
                )

    async def allowed(self) -> Sequence[Allowed]:
        """Operator.allowed."""
        bench = self._bench
        now = bench.clock()
        told = (await bench.control()).networks(EntryKind.ALLOW)
        return [
            *(Allowed(ip_address=shown(each), source="settings") for each in bench.settings.allow_list),
            *(
                Allowed(
                    ip_address=shown(each.network),
                    reason=each.reason,
                    expires_in_seconds=None if each.expires_at is None else each.expires_at - now,
                    source="file",
                )
                for each in bench.allow_list.entries()
            ),
            *(
                Allowed(
                    ip_address=shown(known),
                    reason=entry.reason,
                    expires_in_seconds=entry.expires_in_seconds,
                    actor=entry.actor,
                )
                for known, entry in told
            ),
        ]


def _limit(value: object) -> Limit:
    try:
        return parsing.rate(value)
    except ValueError as error:
        raise OperatorError(f"limit={str(value)[:80]!r} {error}, as 1000/minute", field="limit") from None


def _same(one: Subject, other: Subject) -> bool:
    return (one.kind, one.name) == (other.kind, other.name)
