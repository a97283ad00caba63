"""Limits of single users and addresses, and the allow-list."""

from __future__ import annotations

from collections.abc import Sequence

from fraiseql_guard.core import parsing, signals
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.settings import name_of as variable
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Rate
from fraiseql_guard.identity.networks import subject_of
from fraiseql_guard.operations.operator.blocks import as_listed
from fraiseql_guard.operations.operator.deps import (
    OperatorDeps,
    duration_text,
    network,
    network_text,
    printable_text,
    seconds,
    store_answering,
)
from fraiseql_guard.operations.operator.interface import Allowed, Done, LimitOverride, LimitPage, OperatorError
from fraiseql_guard.operations.operator.pages import filtered_page
from fraiseql_guard.operations.operator.shared_values import BLOCK_SECONDS, Target
from fraiseql_guard.operations.operator.targets import (
    canonical,
    fields_of,
    kind_of,
    lies_in,
    name_of,
    subject_of_address,
    subject_of_key,
    subject_of_user,
    target_of,
    users_among,
)
from fraiseql_guard.stores.limits import HeldLimit
from fraiseql_guard.stores.overrides import LONGEST_SECONDS, Override, OverrideKind


class LimitActions:
    """The operator's methods about limits."""

    def __init__(self, deps: OperatorDeps) -> None:
        self._deps = deps

    async def set_limit(
        self, target: Target, limit: str, *, duration_seconds: float = BLOCK_SECONDS, actor: str = ""
    ) -> Done:
        """Operator.set_limit."""
        wanted, lasts, deps = _limit(limit), seconds(duration_seconds), self._deps
        target = canonical(target)
        subject = await self._subject(target)
        # The bucket of the shortest window holds the rate and the configured burst.
        burst = deps.settings.rate_limit_burst.of(wanted.shortest)
        with store_answering():
            held = await deps.store.limits.of(subject)
            await deps.store.limits.set(subject, wanted, burst, lasts, actor=actor)
        # The same limit for as long is no change.
        known = held is not None and held.rate == wanted and held.expires_in_seconds >= lasts
        fields = {**fields_of(target), "limit": str(wanted), "duration_seconds": lasts}
        await deps.record(signals.ADMIN_LIMIT, actor, fields)
        return Done(
            message=f"The limit of {name_of(target)} is {wanted} for {duration_text(lasts)}.",
            changed=not known,
            affected=1,
            details={"limit": str(wanted), "burst": burst},
        )

    async def clear_limit(self, target: Target, *, actor: str = "") -> Done:
        """Operator.clear_limit."""
        store, target = self._deps.store, canonical(target)
        with store_answering():
            # A user_id may name several users that have a limit: all of them lose it.
            of_user = kind_of(target, keys=True) == "user_id"
            due = users_among([each.subject for each in await store.limits.all()], target) if of_user else []
            due = due or [await self._subject(target)]
            ended = sum([await store.limits.clear(subject) for subject in due])
        await self._deps.record(signals.ADMIN_LIMIT_CLEARED, actor, {**fields_of(target), "cleared": ended})
        now = "has its ordinary limit again" if ended else "had its ordinary limit already"
        name = name_of(target)
        return Done(message=f"{name[:1].upper()}{name[1:]} {now}.", changed=ended > 0, affected=ended)

    async def limits(self) -> Sequence[LimitOverride]:
        """Operator.limits."""
        with store_answering():
            held = await self._deps.store.limits.all()
        return sorted(map(_override, held), key=lambda each: -each.expires_in_seconds)

    async def limits_page(
        self,
        count: int = 100,
        cursor: str = "",
        *,
        user_id: str | None = None,
        ip_address: str | None = None,
        key: str | None = None,
    ) -> LimitPage:
        """Operator.limits_page."""
        named = None if key is None else (await subject_of_key(self._deps, Target(key=key))).name
        wanted = {"user_id": user_id, "ip_address": ip_address, "key": named}
        given = {name: value for name, value in wanted.items() if value is not None}

        def meant(held: HeldLimit) -> bool:
            target = target_of(held.subject)
            return all(getattr(target, name) == value for name, value in given.items())

        page = await filtered_page(self._deps.store.limits.page, count, cursor, meant)
        items = [_override(each) for each in page.items]
        return LimitPage(items=items, next_cursor=page.cursor or None, total=page.total)

    async def _subject(self, target: Target) -> Subject:
        kind = kind_of(target, keys=True)
        if kind == "identifier":
            raise OperatorError("a login has no limit of its own: give user_id or ip_address", field=kind)
        if kind == "key":
            return await subject_of_key(self._deps, target)
        if kind == "user_id":
            return await subject_of_user(self._deps, target)
        return subject_of_address(self._deps, target)


class AllowListing:
    """The operator's methods about the allow-list."""

    def __init__(self, deps: OperatorDeps) -> None:
        self._deps = deps

    async def allow(
        self, ip_address: str, *, reason: str = "", duration_seconds: float | None = None, actor: str = ""
    ) -> Done:
        """Operator.allow. Automatic sanctions inside the network end with it."""
        wanted = network(ip_address)
        # An allow-list of every address would switch all limits off.
        if wanted.prefixlen == 0:
            raise OperatorError(f"ip_address={ip_address} would allow every address", field="ip_address")
        lasts = LONGEST_SECONDS if duration_seconds is None else seconds(duration_seconds)
        printable_text(reason, "reason")
        deps, store = self._deps, self._deps.store
        # For the answer alone: whether the entry was there already.
        held = [
            (known, entry) for known, entry in (await deps.control()).networks(OverrideKind.ALLOW) if known == wanted
        ]
        with store_answering():
            await store.overrides.put(
                Override(OverrideKind.ALLOW, str(wanted), lasts, printable_text(reason, "reason"), actor)
            )
            lifted = await self._lift_inside(wanted)
        fields = {"ip_address": str(wanted), "duration_seconds": lasts, "reason": reason, "lifted": lifted}
        await deps.record(signals.ADMIN_ALLOW, actor, fields)
        more = f" {lifted} automatic sanctions of it ended." if lifted else ""
        return Done(
            message=f"{network_text(wanted)} is allowed for {duration_text(lasts)}.{more}",
            changed=not any(entry.expires_in_seconds >= lasts for _, entry in held),
            affected=lifted,
        )

    async def _lift_inside(self, wanted: parsing.Network) -> int:
        """End the automatic sanctions of an address, or of all addresses in a network."""
        store = self._deps.store
        # One address: its subject has the sanctions.
        if wanted.num_addresses == 1:
            address = subject_of(wanted.network_address, ipv6_prefix=self._deps.settings.ipv6_prefix)
            subject = as_listed(address)
            held = [each for each in await store.sanctions.of(subject) if each.automatic]
            return await store.sanctions.lift_many([(subject, each.policy) for each in held])
        # A network: look at everything that is sanctioned.
        lifted, prefix = 0, self._deps.settings.ipv6_prefix
        async for batch in store.sanctions.batches():
            due = [each for each in batch if each[1] is not PolicyName.OPERATOR and lies_in(each[0], wanted, prefix)]
            lifted += await store.sanctions.lift_many(due) if due else 0
        return lifted

    async def disallow(self, ip_address: str, *, actor: str = "") -> Done:
        """Operator.disallow."""
        wanted, deps = network(ip_address), self._deps
        entries = [entry for known, entry in (await deps.control()).networks(OverrideKind.ALLOW) if known == wanted]
        # No operator has allowed it: maybe the settings do.
        if not entries:
            self._refuse_elsewhere(wanted)
        with store_answering():
            ended = sum([await deps.store.overrides.delete(entry.kind, entry.key) for entry in entries])
        await deps.record(signals.ADMIN_DISALLOW, actor, {"ip_address": str(wanted), "removed": ended})
        now = "is no longer allowed" if ended else "was not on the allow-list"
        return Done(message=f"{network_text(wanted)} {now}.", changed=ended > 0, affected=ended)

    def _refuse_elsewhere(self, wanted: parsing.Network) -> None:
        """Raise OperatorError if an address is allowed by the settings or their file, which no operator can change."""
        settings = self._deps.settings
        places = (
            ("allow_list", settings.allow_list),
            ("allow_list_file", [entry.network for entry in self._deps.allow_list.entries()]),
        )
        for option, networks in places:
            if wanted in networks:
                raise OperatorError(
                    f"{network_text(wanted)} is allowed by {variable(option)}, and can be taken back only there",
                    field="ip_address",
                )

    async def allowed(self) -> Sequence[Allowed]:
        """Operator.allowed."""
        deps = self._deps
        now = deps.clock()
        by_operators = (await deps.control()).networks(OverrideKind.ALLOW)
        return [
            *(Allowed(ip_address=network_text(each), source="settings") for each in deps.settings.allow_list),
            *(
                Allowed(
                    ip_address=network_text(each.network),
                    reason=each.reason,
                    expires_in_seconds=None if each.expires_at is None else each.expires_at - now,
                    source="file",
                )
                for each in deps.allow_list.entries()
            ),
            *(
                Allowed(
                    ip_address=network_text(known),
                    reason=entry.reason,
                    expires_in_seconds=entry.expires_in_seconds,
                    actor=entry.actor,
                )
                for known, entry in by_operators
            ),
        ]


def _limit(value: object) -> Rate:
    try:
        return parsing.rate(value)
    except ValueError as error:
        raise OperatorError(f"limit={str(value)[:80]!r} {error}, as 1000/minute", field="limit") from None


def _override(held: HeldLimit) -> LimitOverride:
    return LimitOverride(
        target=target_of(held.subject),
        limit=str(held.rate),
        burst=held.burst,
        expires_in_seconds=held.expires_in_seconds,
        actor=held.actor,
    )
