"""Packs an admit request into the keys and arguments of admit.lua, and reads its answer. The script says what each key
holds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Bucket, Charge, Limit, Rate, is_shared
from fraiseql_guard.stores.limits import effective_charges
from fraiseql_guard.stores.protocol import (
    LONGEST_REPEAT_SECONDS,
    REPEAT_SECONDS,
    SANCTIONED_NETWORKS,
    Adjustment,
    AdmitRequest,
    AdmitResult,
    Imposed,
)
from fraiseql_guard.stores.redis.client import Command, ScriptCall, pack
from fraiseql_guard.stores.redis.namespace import Namespace

Part = str | int | float

MILLIONTHS: Final = 1_000_000
_SANCTION_NUMBERS: Final = f"{SANCTIONED_NETWORKS} {REPEAT_SECONDS} {LONGEST_REPEAT_SECONDS} {' '.join(PolicyName)} "
_NO_SANCTIONS: Final = f"{SANCTIONED_NETWORKS} {REPEAT_SECONDS} {LONGEST_REPEAT_SECONDS} "
_ACTOR: Final = "\x1f"  # ASCII's unit separator
_WINDOW: Final = _ACTOR
_LIMIT: Final = re.compile(
    r"([1-9]\d{0,8}) ([1-9]\d{0,8}) (\d{1,9})(?: ((?:\x1f[1-9]\d{0,8}/[1-9]\d{0,8}){1,7})(?= |$))?(?: (.*))?", re.DOTALL
)
_FIRST_BUCKET: Final = 6  # the place of the first bucket's name in admit_arguments
_PLAIN: Final = 3  # length of an answer that says only that one bucket had room
_ANY_SUBJECT: Final = Subject("address", "any")


def first_key(request: AdmitRequest, arguments: Sequence[Part], namespace: Namespace) -> str:
    """The key that routes a request to its node. The script reads it: while a cluster moves a slot, only a key that may
    exist shows which node has the subject's keys."""
    if request.charges and request.limit_subject is None:
        return f"{namespace.of(request.subject)}b:{arguments[_FIRST_BUCKET]}"
    return f"{namespace.of(request.subject)}{arguments[0]}s{arguments[1]}"


def admit_call(request: AdmitRequest, sha: str, namespace: Namespace) -> ScriptCall:
    """The call of admit.lua for a request. ``sha`` is the script's digest.

    Most requests differ from an earlier one only in their subject, so that everything but the key is packed already.
    """

    def command() -> Command:
        arguments = admit_arguments(request)
        return evaluation(sha, request, namespace, arguments)

    subject, charges = request.subject, request.charges
    # Rare requests have arguments that differ from subject to subject: they are packed anew.
    if not charges or subject.member or request.refused_before or request.offences != 1 or request.limit_subject:
        whole = command()
        return ScriptCall(sha, pack(whole), str(whole[3]), command, namespace.name)
    # Everything but the key was packed for an earlier request of this kind.
    before, bucket, after = _packed(
        sha,
        namespace,
        charges,
        request.abuse,
        request.offence,
        request.exempt,
        request.enforced,
        request.patience_seconds,
    )
    # The same key as first_key makes, without the arguments.
    key = f"{namespace.name}:{{{subject.tag}}}:b:{bucket}"
    # RESP: $LENGTH, the key, and a line break each.
    packed = b"%b$%d\r\n%b\r\n%b" % (before, len(key.encode()), key.encode(), after)
    return ScriptCall(sha, packed, key, command, namespace.name)


@lru_cache(maxsize=512)
def _packed(
    sha: str,
    namespace: Namespace,
    charges: tuple[Charge, ...],
    abuse: Escalation | None,
    offence: Escalation | None,
    exempt: frozenset[PolicyName],
    enforced: bool,
    patience_seconds: float,
) -> tuple[bytes, str, bytes]:
    """The bytes before the key of such a request on the wire, the bucket in that key, and the bytes behind the key."""
    request = AdmitRequest(
        _ANY_SUBJECT, charges, abuse, offence, exempt=exempt, enforced=enforced, patience_seconds=patience_seconds
    )
    arguments = admit_arguments(request)
    key = first_key(request, arguments, namespace)
    packed_key = b"$%d\r\n%b\r\n" % (len(key.encode()), key.encode())
    # The wire form is cut at the key: the length stands before it, so that any key fits in.
    before, _, after = pack(("EVALSHA", sha, 1, key, *arguments)).partition(packed_key)
    return before, str(arguments[_FIRST_BUCKET]), after


def evaluation(sha: str, request: AdmitRequest, namespace: Namespace, arguments: Sequence[Part]) -> Command:
    """The command that runs admit.lua with these arguments, on the keys of a request."""
    key = first_key(request, arguments, namespace)
    if request.limit_subject is None or not request.charges:
        return ("EVALSHA", sha, 1, key, *arguments)
    return ("EVALSHA", sha, 2, key, namespace.override_of(request.limit_subject), *arguments)


def admit_arguments(request: AdmitRequest, *, binding: bool = True, refused: bool = False) -> list[Part]:
    """ARGV of admit.lua. Without ``binding`` no sanction binds; ``refused``: another node has refused the request."""
    subject, payer = request.subject, request.pays
    member = subject.member
    exempt = f" {' '.join(request.exempt)} " if request.exempt else ""
    arguments: list[Part] = [
        "" if request.enforced else "m:",
        member,
        exempt,
        request.refused_before,
        _SANCTION_NUMBERS if binding else _NO_SANCTIONS,
        f"{len(request.charges)} {sum(charge.fixed for charge in request.charges)}"
        f" {sum(charge.own for charge in request.charges)} {refused:d}",
    ]
    for charge in request.charges:
        limit = charge.limit
        name = bucket_name(member if charge.own else payer.member, charge.key)
        # Five arguments for each charge, as the script expects.
        arguments += (name, charge.capacity, limit.tokens, limit.window_seconds, charge.tokens)
    arguments += _escalation_arguments(request.abuse, 1)
    arguments += _escalation_arguments(request.offence, request.offences)
    if request.patience_seconds:
        arguments.append(int(request.patience_seconds * MILLIONTHS))
    return arguments


def adjust_arguments(adjustment: Adjustment) -> list[Part]:
    """ARGV of adjust.lua."""
    member, arguments = adjustment.subject.member, list[Part]()
    for charge in adjustment.charges:
        limit = charge.limit
        name = bucket_name(member, charge.key)
        arguments += (name, charge.capacity, limit.tokens, limit.window_seconds, charge.tokens)
    return arguments


def _escalation_arguments(escalation: Escalation | None, weight: int) -> Sequence[Part]:
    if escalation is None:
        return ("",)
    return (
        escalation.policy.value,
        escalation.offences,
        escalation.window_seconds,
        escalation.sanction_seconds,
        "" if escalation.enforced else "m:",
        weight,
    )


UNREADABLE: Final = (ArithmeticError, LookupError, TypeError, ValueError)
"""The exceptions of reading an answer that admit.lua does not give."""


def read_result(request: AdmitRequest, reply: Sequence[Any]) -> AdmitResult:
    """The result in admit.lua's answer to a request; raises one of UNREADABLE for any other answer."""
    # Admitted, with one bucket and nothing else to say.
    if reply[0] == 1 and len(reply) == _PLAIN and len(request.charges) == 1:
        return AdmitResult(True, (Bucket(request.charges[0], reply[1] / MILLIONTHS),))
    if reply[0] == -1:  # a sanction binds
        _, policy, left, reason, of_group = reply
        bearer = _group_of(request.subject) if of_group else request.subject
        sanction = Sanction(bearer, PolicyName(policy.decode()), left / MILLIONTHS, *read_reason(reason))
        return AdmitResult(admitted=False, sanction=sanction)
    admitted, charges, first = reply[0] in (1, 3), request.charges, 1
    override_seconds = None
    if reply[0] in (2, 3):  # decided by an override of the limits, which the answer describes
        burst, override_seconds, first = reply[1], reply[2] / 1000, 4 + 2 * reply[3]
        windows = [Limit(*pair) for pair in zip(reply[4:first:2], reply[5:first:2], strict=True)]
        charges = effective_charges(charges, _rate_of(windows), burst)
    end = first + 2 * len(charges)
    buckets = tuple(
        [
            Bucket(charge, remaining / MILLIONTHS, math.inf if wait < 0 else wait / MILLIONTHS)
            for charge, remaining, wait in zip(charges, reply[first:end:2], reply[first + 1 : end : 2], strict=True)
        ]
    )
    imposed = _read_imposed(request, admitted, reply[end:]) if len(reply) > end else None
    return AdmitResult(admitted, buckets, None, imposed, False, override_seconds)


def read_adjusted(adjustment: Adjustment, reply: Sequence[Any]) -> tuple[Bucket, ...]:
    """The buckets in adjust.lua's answer, in the order of the charges; raises one of UNREADABLE for any other
    answer."""
    return tuple([Bucket(charge, left / MILLIONTHS) for charge, left in zip(adjustment.charges, reply, strict=True)])


def _read_imposed(request: AdmitRequest, admitted: bool, parts: Sequence[Any]) -> Imposed:
    """The sanction that the request has brought into force: for its own offence, or for abuse of its rate."""
    length, seen, of_group, reason = parts
    escalation = request.offence if admitted else request.abuse
    if escalation is None:
        raise ValueError("a sanction without an escalation")
    bearer = _group_of(request.subject) if of_group else request.subject
    return Imposed(Sanction(bearer, escalation.policy, length / MILLIONTHS, reason.decode()), escalation, seen)


def written_reason(sanction: Sanction) -> str:
    """A sanction's reason as Redis keeps it: with the actor behind a separator that no reason has."""
    reason = sanction.reason.replace(_ACTOR, " ")
    return f"{reason}{_ACTOR}{sanction.actor}" if sanction.actor else reason


def read_reason(kept: bytes) -> tuple[str, str]:
    """The reason and the actor in a text of :func:`written_reason`; the actor is "" for a policy's own sanction."""
    reason, _, actor = kept.decode(errors="replace").partition(_ACTOR)
    return reason, actor


def written_limit(rate: Rate, burst: int, actor: str) -> str:
    """An override of a subject's limits as Redis keeps it. Older versions write and read overrides of one window; of
    several windows they read the shortest."""
    shortest, *others = rate.limits
    further = "".join([f"{_WINDOW}{limit.tokens}/{limit.window_seconds}" for limit in others])
    parts = (f"{shortest.tokens} {shortest.window_seconds} {burst}", further, actor.replace(_WINDOW, " "))
    return " ".join([part for part in parts if part])


def read_limit(kept: bytes) -> tuple[Rate, int, str]:
    """The rate, the burst and the actor of an override. ValueError for a value that no version of the guard writes."""
    match = _LIMIT.fullmatch(kept.decode(errors="replace"))
    if match is None:
        raise ValueError("is no limit")
    tokens, window, burst, further, actor = match.groups("")
    windows = [Limit(int(tokens), int(window))]
    for each in further.split(_WINDOW)[1:]:
        tokens, _, window = each.partition("/")
        windows.append(Limit(int(tokens), int(window)))
    return _rate_of(windows), int(burst), actor


def _rate_of(windows: Sequence[Limit]) -> Rate:
    """The rate with these windows; ValueError unless they are the windows of a rate, in its order."""
    rate = Rate(tuple(windows))
    if rate.limits != tuple(windows):
        raise ValueError("is no limit")
    return rate


def bucket_name(member: str, bucket: str) -> str:
    """A bucket's name behind the hash tag: with the member, unless its group shares the bucket."""
    return f"{member}:{bucket}" if member and not is_shared(bucket) else bucket


def _group_of(subject: Subject) -> Subject:
    return Subject(subject.kind, subject.group)
