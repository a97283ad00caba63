"""Every action leaves a line and an entry in the store, with its actor; looking leaves none."""

import inspect

import pytest

from fraiseql_guard.core import signals
from fraiseql_guard.operations.operator.interface import Document, NotAppliedError, Operator, Origin, Target
from fraiseql_guard.operations.operator.routes import BESIDE, CHANGES
from fraiseql_guard.stores import StoreError
from fraiseql_guard.stores.documents import TrustedDocument

ADDRESS, USER = Target(ip_address="203.0.113.9"), Target(user_id="carol", issuer="https://a")
DIGEST = "ab" * 32
ACTIONS = {
    signals.ADMIN_BLOCK: lambda operator: operator.block(ADDRESS, reason="why", actor="alice"),
    signals.ADMIN_LIFT: lambda operator: operator.lift(USER, actor="alice"),
    signals.ADMIN_LIFT_ALL: lambda operator: operator.lift_all(origin=Origin.OPERATOR, actor="alice"),
    signals.ADMIN_UNLOCK: lambda operator: operator.unlock("carol", actor="alice"),
    signals.ADMIN_LIMIT: lambda operator: operator.set_limit(USER, "5/minute", actor="alice"),
    signals.ADMIN_LIMIT_CLEARED: lambda operator: operator.clear_limit(USER, actor="alice"),
    signals.ADMIN_ALLOW: lambda operator: operator.allow("203.0.113.9", actor="alice"),
    signals.ADMIN_DISALLOW: lambda operator: operator.disallow("203.0.113.9", actor="alice"),
    signals.ADMIN_SWITCH: lambda operator: operator.switch("document", DIGEST, duration_seconds=9, actor="alice"),
    signals.ADMIN_UNSWITCH: lambda operator: operator.unswitch("document", DIGEST, actor="alice"),
    signals.ADMIN_GC: lambda operator: operator.collect_garbage(actor="alice"),
    signals.ADMIN_CLEAR_CACHES: lambda operator: operator.clear_caches(actor="alice"),
    signals.ADMIN_CLOSE_SOCKETS: lambda operator: operator.close_sockets(user_id="carol", actor="alice"),
    signals.ADMIN_DRAIN_SOCKETS: lambda operator: operator.drain_sockets(actor="alice"),
    signals.ADMIN_TRUST: lambda operator: operator.trust([Document(id="", text="{a}")], actor="alice"),
    signals.ADMIN_DISTRUST: lambda operator: operator.distrust("held", actor="alice"),
}


@pytest.mark.parametrize("event", ACTIONS, ids=lambda event: event.name)
async def test_an_action_is_audited(make_operator, store, audited, event) -> None:
    operator = make_operator()
    await store.documents.add([TrustedDocument("held", "{held}")])
    done = await ACTIONS[event](operator)
    assert done.message.endswith(".")
    [(name, fields)] = audited
    assert (name, fields["actor"]) == (event.name, "alice")
    assert set(fields) <= set(event.fields), "a line drops what its event does not name"
    assert event.always
    [action] = await operator.actions()
    assert (action.event, action.actor, dict(action.fields)) == (event.name, "alice", fields)


def test_every_event_of_an_operator_belongs_to_an_action() -> None:
    named = {event for event in signals.EVENTS if event.name.startswith("admin.")}
    assert named - {*CHANGES.values(), *BESIDE.values()} == {signals.ADMIN_LOGIN, signals.ADMIN_LOGIN_FAILED}
    assert set(ACTIONS) == set(CHANGES.values())


def test_every_method_that_has_an_actor_is_a_change_with_an_event() -> None:
    methods = {name: method for name, method in vars(Operator).items() if inspect.iscoroutinefunction(method)}
    assert set(CHANGES) == {name for name, method in methods.items() if "actor" in inspect.signature(method).parameters}


async def test_looking_leaves_nothing(make_operator, audited) -> None:
    operator = make_operator()
    looks = (operator.blocks, operator.limits, operator.allowed, operator.switches, operator.documents)
    for look in (
        *looks,
        operator.status,
        operator.offenders,
        operator.refusals,
        operator.actions,
        operator.config,
        operator.sockets,
    ):
        await look()
    assert audited == []


@pytest.mark.parametrize("event", ACTIONS, ids=lambda event: event.name)
async def test_what_was_not_applied_is_said_and_not_audited(make_operator, store, audited, monkeypatch, event) -> None:
    async def fail(*_args, **_options):
        raise StoreError("timeout", "no answer")

    async def fail_to_list():
        raise StoreError("timeout", "no answer")
        yield ()

    for part, methods in (
        (store.overrides, ("put", "delete", "read")),
        (store.sanctions, ("impose", "lift", "lift_many", "of", "count")),
        (store.limits, ("all", "set", "clear")),
        (store.fleet, ("beats",)),
        (store.documents, ("add", "remove")),
    ):
        for method in methods:
            monkeypatch.setattr(part, method, fail)
    monkeypatch.setattr(store.sanctions, "batches", fail_to_list)
    with pytest.raises(NotAppliedError, match=r"does not answer \(timeout\), so that nothing was changed"):
        await ACTIONS[event](make_operator())
    assert audited == []


async def test_a_ring_that_cannot_take_it_undoes_nothing(make_operator, store, audited, monkeypatch) -> None:
    async def fail(*_args):
        raise StoreError("timeout", "no answer")

    monkeypatch.setattr(store.fleet, "record_action", fail)
    assert (await make_operator().block(ADDRESS, actor="alice")).changed
    assert len(audited) == 1
