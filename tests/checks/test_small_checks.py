"""Checks of a few lines: blocked documents, mixed documents, short memory, and readers of the metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fraiseql_guard.checks.blocked_documents import BlockedDocuments
from fraiseql_guard.checks.memory_pressure import MemoryPressure
from fraiseql_guard.checks.metrics_access import HealthAccess, MetricsAccess
from fraiseql_guard.checks.mixed_documents import MixedDocuments
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.place import OwnPage, Place
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import (
    DOCUMENT_BLOCKED,
    GRAPHQL_INVALID,
    HEALTH_FORBIDDEN,
    MEMORY_PRESSURE,
    METRICS_FORBIDDEN,
)
from fraiseql_guard.stores.overrides import Override, OverrideKind, Overrides
from fraiseql_guard.testing import ManualClock
from tests.support.contexts import measured, request_of

# --- blocked documents -----------------------------------------------------------------------------------------------

DIGEST = "ab" * 32


def test_a_blocked_document_or_operation_is_refused_until_its_block_ends() -> None:
    clock = ManualClock()
    blocks = BlockedDocuments(clock=clock)
    document, other = request_of(hashes=("cd" * 32, DIGEST)), request_of(hashes=("cd" * 32,))
    operation = request_of(measured=measured(names=("Other", "Report")))
    assert [blocks.decide(each) for each in (document, other, operation)] == [None] * 3
    blocks.update(
        Overrides(
            1,
            (
                Override(OverrideKind.DOCUMENT, DIGEST.upper(), 60),
                Override(OverrideKind.OPERATION, "Report", 600),
                Override(OverrideKind.OPERATION, "report", 600),
            ),
        )
    )
    by_text = Denial(DOCUMENT_BLOCKED, detail=f"document {DIGEST}", retry_after_seconds=60.0)
    by_name = Denial(DOCUMENT_BLOCKED, detail="operation Report", retry_after_seconds=600.0)
    assert blocks.decide(document) == by_text
    assert blocks.decide(operation) == by_name
    assert blocks.decide(request_of(hashes=(DIGEST,), measured=measured(names=("Report",)))) == by_text
    assert [blocks.decide(each) for each in (other, request_of(), request_of(measured=measured()))] == [None] * 3
    assert blocks.decide(request_of(measured=measured(names=("REPORT",)))) is None  # names are case-sensitive
    clock.advance(59.5)
    assert [_wait(blocks.decide(each)) for each in (document, operation)] == [1.0, 540.5]
    blocks.update(Overrides(2, (Override(OverrideKind.OPERATION, "Report", 60),)))
    assert blocks.decide(document) is None
    assert _wait(blocks.decide(operation)) == 60.0


def _wait(denial: Denial | None) -> float | None:
    return None if denial is None else denial.retry_after_seconds


# --- mixed documents -------------------------------------------------------------------------------------------------

MIXED = {"kinds": frozenset({"mutation", "subscription"})}
EVENTS = ((b"accept", b"text/event-stream"),)


@pytest.mark.parametrize(
    ("asked", "facts", "refused"),
    [
        (measured("mutation", **MIXED), {"header_lines": EVENTS}, True),
        (measured("mutation", **MIXED), {"carrier": request_of()}, True),
        (measured("mutation", **MIXED), {}, False),
        (measured("mutation", **MIXED), {"header_lines": ((b"accept", b"application/json"),)}, False),
        (measured("subscription"), {"header_lines": EVENTS}, False),
        (measured("mutation"), {"header_lines": EVENTS}, False),
        (measured(), {"carrier": request_of()}, False),
        (None, {"carrier": request_of()}, False),
    ],
)
def test_a_document_that_holds_a_subscription_beside_others_is_refused_where_answers_last(
    asked, facts, refused
) -> None:
    denial = MixedDocuments().decide(request_of(measured=asked, **facts))
    detail = "The document holds a subscription beside other operations: send the operation alone."
    assert denial == (Denial(GRAPHQL_INVALID, detail=detail) if refused else None)


# --- short memory ----------------------------------------------------------------------------------------------------


def test_above_the_share_of_memory_queries_are_shed_and_mutations_pass() -> None:
    watch: Any = SimpleNamespace(percent=90.0)
    check = MemoryPressure(watch, 90.0)
    assert check.decide(request_of(measured=measured())) is None
    watch.percent = 90.26
    refusal = Denial(MEMORY_PRESSURE, limit=90.0, actual=90.3, retry_after_seconds=5.0, tokens=0)
    assert check.decide(request_of(measured=measured())) == refusal
    assert check.decide(request_of(measured=measured("subscription"))) == refusal
    assert check.decide(request_of()) == refusal
    assert check.decide(request_of(measured=measured("mutation"))) is None


# --- readers of the metrics and the health details -------------------------------------------------------------------

TOKEN = "a-token-of-at-least-thirty-two-bytes"
CHALLENGE = ((b"www-authenticate", b"Bearer"),)


def page(which: OwnPage | None = OwnPage.METRICS, *, address: str = "198.51.100.1", token: str = "", **facts: Any):
    lines = ((b"authorization", token.encode()),) if token else ()
    return request_of(address, **{"method": "GET", "place": Place(page=which), "header_lines": lines, **facts})


READERS = [
    ({"loopback_peer": True}, True, True),
    ({"private_peer": True}, False, True),
    ({"address": "10.1.2.3"}, True, True),
    ({"address": "10.1.2.3", "shared_peer": True}, False, False),
    ({"address": "10.2.0.1"}, False, False),
    ({"token": f"Bearer {TOKEN}"}, True, True),
    ({"token": f"bearer  {TOKEN} "}, True, True),
    ({"token": f"Bearer {TOKEN}", "shared_peer": True}, True, True),
    ({"token": f"Basic {TOKEN}"}, False, False),
    ({"token": "Bearer another-token"}, False, False),
    ({"token": TOKEN}, False, False),
    ({}, False, False),
]


@pytest.mark.parametrize(("facts", "metrics", "health"), READERS)
def test_who_may_read_the_metrics_and_the_health_details(facts, metrics, health) -> None:
    settings = Settings.load({}, metrics_networks="10.1.0.0/16", metrics_token=TOKEN)
    denial = MetricsAccess(settings).decide(page(**facts))
    assert denial == (None if metrics else Denial(METRICS_FORBIDDEN, headers=CHALLENGE))
    denial = HealthAccess(settings).decide(page(OwnPage.HEALTH, **facts))
    assert denial == (None if health else Denial(HEALTH_FORBIDDEN, headers=CHALLENGE))


def test_without_a_token_in_the_settings_none_opens_them() -> None:
    check = MetricsAccess(Settings.load({}))
    assert check.decide(page(token="Bearer ")) is not None
    assert check.decide(page()) is not None


@pytest.mark.parametrize(
    ("facts", "asked"),
    [
        ({}, True), ({"method": "HEAD"}, True), ({"method": "POST"}, False), ({"socket": True}, False),
        ({"which": OwnPage.ALIVE}, False), ({"which": None}, False),
    ],
)  # fmt: skip
def test_what_asks_for_a_page(facts, asked) -> None:
    settings = Settings.load({})
    assert MetricsAccess(settings).asked_for(page(**facts)) is asked
    assert (MetricsAccess(settings).decide(page(**facts)) is not None) is asked
    own = {"which": OwnPage.HEALTH, **facts}
    assert HealthAccess(settings).asked_for(page(**own)) is asked
    assert (HealthAccess(settings).decide(page(**own)) is not None) is asked
