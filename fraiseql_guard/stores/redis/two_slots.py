"""An admit request on a cluster whose subject and limit subject are on two nodes: one call to each.

The first call goes to the limit subject's node, for its buckets. The second goes to the subject's node, for sanctions,
the subject's own buckets, and offences, which depend on the first answer. If the second call refuses the request, the
tokens of the first are given back. A subject that is known to be sanctioned has its own node asked first, so that it
takes no tokens from others while the sanction lasts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.token_buckets import Bucket
from fraiseql_guard.stores.ledger import with_tokens
from fraiseql_guard.stores.protocol import Adjustment, AdmitRequest, AdmitResult, StoreError
from fraiseql_guard.stores.redis.admit_codec import Part, admit_arguments, evaluation, first_key
from fraiseql_guard.stores.redis.client import Command, ScriptCall, pack
from fraiseql_guard.stores.redis.namespace import Namespace

Send = Callable[[AdmitRequest, ScriptCall], Awaitable[AdmitResult]]

_REMEMBERED: Final = 1_000
"""Most subjects that are remembered as sanctioned when they were last asked about."""


class TwoSlots:
    """Settles requests with two calls of admit.lua. ``sha`` is the script's digest, ``send`` makes a call, and
    ``adjust`` is RedisStore.adjust."""

    def __init__(
        self, send: Send, adjust: Callable[[Adjustment], Awaitable[Sequence[Bucket]]], sha: str, namespace: Namespace
    ) -> None:
        self._send = send
        self._adjust = adjust
        self._sha = sha
        self._namespace = namespace
        self._sanctioned: Lru[tuple[str, str], None] = Lru(_REMEMBERED)

    async def admit(self, request: AdmitRequest) -> AdmitResult:
        """RedisStore.admit. StoreError if one of the two calls fails."""
        if self._sanctioned.holds(request.subject.key):
            alone = AdmitRequest(request.subject, exempt=request.exempt, enforced=request.enforced)
            found = await self._ask(alone, admit_arguments(alone))
            if found.sanction is not None:
                return found
            self._sanctioned.pop(request.subject.key)
        # 1. The buckets.
        charges = tuple(charge for charge in request.charges if not charge.own)
        if not charges:  # an outer guard has paid them
            rest = replace(request, limit_subject=None, call=None)
            return await self._ask(rest, admit_arguments(rest))
        payer = AdmitRequest(request.pays, charges)
        paid = await self._ask(payer, admit_arguments(payer, binding=False))
        # 2. Sanctions, the subject's own charges, offences. An override of the limits has replaced the own charges.
        beside = paid.admitted and paid.override_seconds is None
        own = tuple(charge for charge in request.charges if charge.own) if beside else ()
        rest = replace(request, charges=own, limit_subject=None, call=None)
        if not paid.admitted and request.awaits(paid.buckets):
            rest.abuse = None
        told = await self._ask(rest, admit_arguments(rest, refused=not paid.admitted))
        if paid.admitted and not told.admitted:
            paid.buckets = await self._given_back(request.pays, paid.buckets)
        if told.sanction is not None:
            self._sanctioned.put(request.subject.key, None)
            return told
        told.buckets = (*paid.buckets, *told.buckets)
        told.override_seconds = paid.override_seconds
        return told

    async def _given_back(self, payer: Subject, buckets: Sequence[Bucket]) -> tuple[Bucket, ...]:
        """The buckets after the tokens were given back; as they were if that fails."""
        given = tuple([with_tokens(bucket.charge, -bucket.charge.tokens) for bucket in buckets])
        try:
            now = await self._adjust(Adjustment(payer, given))
        except StoreError:
            return tuple(buckets)
        return tuple([replace(bucket, remaining=each.remaining) for bucket, each in zip(buckets, now, strict=True)])

    def _ask(self, request: AdmitRequest, arguments: Sequence[Part]) -> Awaitable[AdmitResult]:
        def command() -> Command:
            return evaluation(self._sha, request, self._namespace, arguments)

        key = first_key(request, arguments, self._namespace)
        return self._send(request, ScriptCall(self._sha, pack(command()), key, command, self._namespace.name))
