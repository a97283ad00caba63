"""Turns the names that people use (a user_id, an address, a login) into the store's subjects, and back."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fraiseql_guard.core import parsing
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.limit_key import KeyPart, joined, plain, read_key
from fraiseql_guard.identity.logins import read_login
from fraiseql_guard.identity.networks import subject_of
from fraiseql_guard.operations.operator.deps import OperatorDeps, network, printable_text
from fraiseql_guard.operations.operator.interface import OperatorError
from fraiseql_guard.operations.operator.shared_values import Target

_FIELDS = ("user_id", "ip_address", "identifier", "key")


def kind_of(target: Target, *, keys: bool = False) -> str:
    """Which one field of the target is given; OperatorError unless exactly one is. ``keys``: the action is about a
    limit, which a key may have."""
    # An address beside a login says which of its lockouts is meant.
    given = [name for name in _FIELDS if getattr(target, name) is not None]
    if given == ["ip_address", "identifier"]:
        return "identifier"
    if len(given) != 1:
        raise OperatorError("give exactly one of user_id, ip_address and identifier", field=(given or ["user_id"])[-1])
    if given == ["key"] and not keys:
        raise OperatorError("a key has limits alone: give user_id or ip_address", field="key")
    if given[0] != "user_id" and (target.issuer is not None or target.tenant is not None):
        raise OperatorError("issuer and tenant belong to a user_id", field="issuer")
    # What a key may look like, and how long it is, is its own affair (canonical()).
    if given[0] != "key" and not printable_text(getattr(target, given[0]), given[0]).strip():
        raise OperatorError(f"{given[0]} is empty", field=given[0])
    return given[0]


def name_of(target: Target) -> str:
    """The target for people: ``user alice``, ``203.0.113.7``, ``login alice@example.org``, ``key tenant:acme``."""
    if target.user_id is not None:
        return f"user {target.user_id}"
    if target.key is not None:
        return f"key {target.key}"
    return f"login {target.identifier}" if target.identifier is not None else str(target.ip_address)


def fields_of(target: Target) -> dict[str, Any]:
    """The target as fields of an audit line."""
    found = {name: getattr(target, name) for name in (*_FIELDS, "issuer", "tenant")}
    # Few deployments count by keys: lines of the others stay as they are.
    return found if target.key is not None else {name: found[name] for name in found if name != "key"}


# --- addresses -------------------------------------------------------------------------------------------------------


def subject_of_address(deps: OperatorDeps, target: Target) -> Subject:
    """The subject of an address: of IPv6 its prefix. OperatorError for a network that holds several subjects."""
    wanted, prefix = network(target.ip_address), deps.settings.ipv6_prefix
    # A subject is one IPv4 address, or an IPv6 prefix of the length that is set.
    narrow = 32 if wanted.version == 4 else prefix
    if wanted.prefixlen < narrow:
        raise OperatorError(
            f"ip_address={wanted} holds many callers, and a limit belongs to one: give an IPv4 address or an IPv6 "
            f"/{prefix}",
            field="ip_address",
        )
    return subject_of(wanted.network_address, ipv6_prefix=prefix)


def lies_in(subject: Subject, wanted: parsing.Network, ipv6_prefix: int) -> bool:
    """Whether a subject is an address or network inside another network, or the subject of just this address."""
    if subject.kind != "address":
        return False
    try:
        own = ipaddress.ip_network(subject.name)
    except ValueError:
        return False  # the subject of peers without an address
    inside = own.version == wanted.version and own.subnet_of(wanted)  # type: ignore[arg-type]
    return inside or subject.name == _subject_name(wanted, ipv6_prefix)


def _subject_name(wanted: parsing.Network, ipv6_prefix: int) -> str:
    alone = wanted.num_addresses == 1
    return subject_of(wanted.network_address, ipv6_prefix=ipv6_prefix).name if alone else str(wanted)


# --- users -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class User:
    """The user that a subject is of, read from its name."""

    issuer: str | None
    tenant: Any
    user_id: str

    def is_meant(self, target: Target) -> bool:
        """Whether a target names this user: by user_id, and by issuer and tenant if it gives them."""
        return (
            self.user_id == target.user_id
            and (target.issuer is None or target.issuer == self.issuer)
            and (target.tenant is None or target.tenant == str(self.tenant))
        )


def read_user(name: str) -> User | None:
    """The user of a subject's name, which identity/claims.py makes; None for any other name."""
    try:
        issuer, tenant, user_id = json.loads(name)
    except (ValueError, TypeError, RecursionError):  # another program wrote this name
        return None
    return User(issuer, tenant, str(user_id)) if issuer is None or isinstance(issuer, str) else None


def users_among(subjects: Iterable[Subject], target: Target) -> list[Subject]:
    """Those of the subjects that are users and named by a target, each once."""
    found = {
        (subject.name): subject
        for subject in subjects
        if subject.kind == "user" and (user := read_user(subject.name)) is not None and user.is_meant(target)
    }
    return list(found.values())


async def users_seen(deps: OperatorDeps, target: Target) -> list[Subject]:
    """The users that a target names and that a worker has seen lately."""
    beats = await deps.heartbeats()
    seen = [Subject(caller.kind, caller.name, caller.group) for beat in beats for caller in beat.callers]  # type: ignore[arg-type]
    return users_among(seen, target)


async def subject_of_user(deps: OperatorDeps, target: Target) -> Subject:
    """The subject of the user that a target names: the one lately seen under this user_id, else the one of the
    configured issuer.

    OperatorError if several were seen, and the target does not tell them apart.
    """
    # The one that was seen is the one that is meant, if there is just one.
    found = await users_seen(deps, target)
    if len(found) > 1:
        raise OperatorError(
            f"several users are called {target.user_id}: {_told_apart(found)}. Give issuer or tenant",
            field="tenant" if target.tenant is None else "issuer",
        )
    if found:
        return found[0]
    issuer = target.issuer if target.issuer is not None else deps.settings.jwt_issuer
    return Subject("user", json.dumps([issuer, target.tenant, target.user_id], separators=(",", ":")))


# --- keys ------------------------------------------------------------------------------------------------------------


def canonical(target: Target) -> Target:
    """The target with its key as the store has it, which holds no secret. OperatorError if it is no key."""
    if target.key is None:
        return target
    try:
        return replace(target, key=read_key(target.key))
    except ValueError as error:
        raise OperatorError(f"key {error}", field="key") from None


async def subject_of_key(deps: OperatorDeps, target: Target) -> Subject:
    """The subject of a key; in one of several parts a user may be given by name. OperatorError if it is no key, or a
    user or address alone, which has a limit without one."""
    parts = str(canonical(target).key).split("+")
    if len(parts) == 1 and parts[0].startswith(("user:", "address:")):
        raise OperatorError(f"key={target.key} is a user or an address: give user_id or ip_address", field="key")
    return Subject("key", joined([await _part_of_key(deps, part) for part in parts]))


async def _part_of_key(deps: OperatorDeps, part: str) -> str:
    """A part of a key, with the user or address that is meant as the store has it."""
    word, _, value = part.partition(":")
    if word == "user" and read_user(plain(value)) is None:
        return KeyPart(word).of((await subject_of_user(deps, Target(user_id=plain(value)))).name)
    if word == "address":
        return KeyPart(word).of(subject_of_address(deps, Target(ip_address=plain(value))).name)
    return part


def _told_apart(subjects: Sequence[Subject]) -> str:
    users = [user for subject in subjects if (user := read_user(subject.name)) is not None]
    return "; ".join(f"issuer {user.issuer}, tenant {user.tenant}" for user in users[:5])


# --- back ------------------------------------------------------------------------------------------------------------


def target_of(subject: Subject) -> Target:
    """The target that names a subject, as people use it."""
    if subject.kind == "address":
        return Target(ip_address=subject.name)
    if subject.kind == "user":
        user = read_user(subject.name)
        if user is None:
            return Target(user_id=subject.name)
        tenant = None if user.tenant is None else str(user.tenant)
        return Target(user_id=user.user_id, issuer=user.issuer, tenant=tenant)
    if subject.kind == "key":
        return Target(key=subject.name)
    login = read_login(subject)
    return Target(identifier=subject.name) if login is None else Target(identifier=login[0], ip_address=login[1])
