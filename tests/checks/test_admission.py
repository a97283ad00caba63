"""The one question to the store: who is asked about, what is charged, and what the answer means for the request."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from fraiseql_guard.checks.admission import PASSED, Admission
from fraiseql_guard.checks.app_documents import AppDocuments
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import (
    BAD_REQUEST,
    BLOCKED,
    CHARGE_TOO_LARGE,
    COST_BUDGET_EXCEEDED,
    RATE_LIMITED,
    STORE_UNAVAILABLE,
    UNAUTHENTICATED,
    FailureReason,
    PolicyName,
    Protection,
)
from fraiseql_guard.core.token_buckets import Charge, Limit, Rate
from fraiseql_guard.stores import AdmitRequest, AdmitResult, MemoryStore, Refusals
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.stores.overrides import Override, OverrideKind, Overrides
from fraiseql_guard.testing import ManualClock
from tests.support.contexts import measured, request_of

EXPIRED = Denial(UNAUTHENTICATED, reason=FailureReason.TOKEN_EXPIRED, tokens=0)
DEAR = Denial(BAD_REQUEST, offence=PolicyName.DOS)


class Asked(MemoryStore):
    """A store in memory that remembers what it was asked; ``there``: whether it answers itself."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.requests: list[AdmitRequest] = []
        self.there = True

    async def admit(self, request: AdmitRequest) -> AdmitResult:
        self.requests.append(request)
        if not self.there:
            return AdmitResult(admitted=False, unavailable=True)
        return await super().admit(request)


class Front:
    """The admission of one process, two requests a minute, and all that it is built of."""

    def __init__(self, modes: dict[Protection, Mode] | None = None, *, beside: bool = False, **settings: Any) -> None:
        self.clock = ManualClock()
        self.store = Asked(self.clock)
        self.refusals = Refusals(clock=self.clock)
        self.blocked = BlockedAddresses(clock=self.clock)
        options = {
            "rate_limit_default": "2/minute", "rate_limit_burst": 0, "dos_offences": 2, "rate_limit_abuse_offences": 2,
            **settings,
        }  # fmt: skip
        self.settings = Settings.load({}, **options)
        of_all = dict.fromkeys(Protection, Mode.ENFORCE) | (modes or {})
        observer: Any = SimpleNamespace(app_documents=lambda _: None)
        self.documents = AppDocuments(self.store, observer=observer, clock=self.clock)
        self.admission = Admission(
            self.store, self.refusals, self.settings, of_all, self.blocked, app_documents=self.documents, beside=beside
        )

    async def admits(self, ctx: RequestContext | None = None, denial: Denial | None = None) -> Denial | None:
        """What is decided about a request."""
        return (await self.admission.admit(ctx or request_of(), denial)).denial

    @property
    def asked(self) -> int:
        return len(self.store.requests)


async def test_what_passes_is_one_question_and_what_is_short_is_told_with_its_wait() -> None:
    front = Front()
    ctx = request_of()
    assert await front.admission.admit(ctx, None) is PASSED
    assert [bucket.remaining for bucket in ctx.buckets] == [1.0]
    assert not ctx.unpaid
    await front.admits()
    assert front.asked == 2
    refused = request_of()
    assert await front.admits(refused) == Denial(
        RATE_LIMITED, detail="default: 2/minute", limit=2, actual=3, retry_after_seconds=30.0
    )
    assert (front.asked, refused.unpaid, refused.buckets[0].remaining) == (3, True, 0.0)


async def test_a_caller_within_their_wait_is_refused_without_a_question_for_a_second() -> None:
    front = Front()
    for _ in range(3):
        await front.admits()
    assert front.asked == 3
    assert front.admission.known_wait(request_of()) == 30.0
    for _ in range(2):
        ctx = request_of()
        denial = front.admission.remembered(ctx)
        assert denial is not None
        assert (denial.code, denial.retry_after_seconds, ctx.unpaid) == (RATE_LIMITED, 30.0, True)
    assert front.admission.remembered(request_of("192.0.2.9")) is None
    front.clock.advance(0.5)
    denial = await front.admits()
    assert denial is not None
    assert (denial.retry_after_seconds, front.asked) == (29.5, 3)
    front.clock.advance(0.5)
    assert front.admission.remembered(request_of()) is None
    assert front.admission.known_wait(request_of()) is None
    await front.admits()
    assert front.asked == 4
    assert front.store.requests[-1].refused_before == 3  # so that offences stay complete


@pytest.mark.parametrize("facts", [{"socket": True}, {"patience_seconds": 5.0}])
async def test_refusals_from_memory_of_sockets_and_of_those_who_wait_are_no_offences(facts) -> None:
    front = Front(rate_limit_sockets="1/minute")
    for _ in range(4):
        await front.admits(request_of(**facts))
    assert [front.admission.remembered(request_of(**facts)) is None for _ in range(3)] == [False] * 3
    front.clock.advance(1)
    await front.admits()
    assert front.store.requests[-1].refused_before == 0


@pytest.mark.parametrize("facts", [{"token_pending": True}, {"allow_listed": True}, {"in_turn": True}])
async def test_what_is_remembered_does_not_decide_where_more_has_to_be_known(facts) -> None:
    front = Front()
    for _ in range(3):
        await front.admits()
    assert front.admission.remembered(request_of(**facts)) is None
    assert front.admission.remembered(request_of()) is not None


async def test_a_checks_refusal_is_paid_and_counted_and_the_rate_comes_before_it() -> None:
    front = Front()
    assert await front.admits(denial=Denial(BAD_REQUEST)) == Denial(BAD_REQUEST)
    assert await front.admits(denial=Denial(BAD_REQUEST)) == Denial(BAD_REQUEST)
    found = await front.admits(denial=Denial(BAD_REQUEST))
    assert found is not None
    assert found.code is RATE_LIMITED


async def test_refusals_that_the_store_has_said_a_moment_ago_are_no_question() -> None:
    front = Front()
    for known in (Denial(BLOCKED), Denial(RATE_LIMITED)):
        assert await front.admits(denial=known) is known
    assert front.asked == 0


async def test_expensive_queries_bring_a_block_and_its_refusal_comes_first() -> None:
    front = Front(rate_limit_default="100/minute")
    assert (await front.admission.admit(request_of(), DEAR)).imposed is None
    second = await front.admission.admit(request_of(), DEAR)
    assert second.denial is DEAR
    assert second.imposed is not None
    assert second.imposed.sanction.policy is PolicyName.DOS
    denial = await front.admits(denial=DEAR)
    assert denial == Denial(
        BLOCKED, detail="dos", retry_after_seconds=300.0, protection=Protection.QUERY_LIMITS, tokens=0
    )
    assert await front.admits(request_of("192.0.2.9")) is None
    assert front.blocked.holds(request_of().address_subject)


@pytest.mark.parametrize("facts", [{"socket": True}, {"shared_peer": True}, {"allow_listed": True}])
async def test_offences_of_callers_who_may_be_innocent_are_none(facts) -> None:
    front = Front(rate_limit_default="1/minute", rate_limit_sockets="1/minute")
    for _ in range(60):
        front.clock.advance(1.1)
        denial = await front.admits(request_of(**facts))
        assert denial is None or denial.code is RATE_LIMITED
    assert await front.store.sanctions.count() == 0


async def test_going_on_over_the_limit_is_an_offence_and_brings_a_block() -> None:
    front = Front(rate_limit_default="1/hour")
    found = []
    for _ in range(4):
        front.clock.advance(1.1)
        decision = await front.admission.admit(request_of(), None)
        found.append((decision.denial and decision.denial.code.name, decision.imposed is not None))
    assert found == [(None, False), ("RATE_LIMITED", False), ("RATE_LIMITED", True), ("BLOCKED", False)]


async def test_a_request_that_waits_for_its_turn_is_no_offence() -> None:
    front = Front(rate_limit_default="1/minute")
    for _ in range(5):
        front.clock.advance(1.1)
        await front.admits(request_of(patience_seconds=60.0))
    assert await front.store.sanctions.count() == 0


async def test_what_a_check_would_have_refused_counts_as_an_offence_of_its_own_mode() -> None:
    front = Front({Protection.QUERY_LIMITS: Mode.MONITOR}, rate_limit_default="100/minute")
    for _ in range(2):
        decision = await front.admission.admit(request_of(would_refuse=(Denial(BAD_REQUEST), DEAR)), None)
    assert decision.denial is None
    assert decision.imposed is not None
    assert not decision.imposed.escalation.enforced
    assert await front.admits() is None


async def test_what_a_check_would_have_refused_without_an_offence_is_none() -> None:
    front = Front()
    assert await front.admits(request_of(would_refuse=(Denial(BAD_REQUEST),))) is None
    assert front.store.requests[-1].offence is None


async def test_what_is_refused_counts_and_not_what_would_have_been_beside_it() -> None:
    front = Front()
    await front.admits(request_of(would_refuse=(Denial(BAD_REQUEST),)), DEAR)
    offence = front.store.requests[-1].offence
    assert offence is not None
    assert offence.policy is PolicyName.DOS


async def test_the_bucket_of_expired_tokens_is_the_callers_under_every_key() -> None:
    front = Front()
    ctx = request_of(keyed=Subject("key", "tenant-1"), token_failure=FailureReason.TOKEN_EXPIRED)
    await front.admits(ctx, EXPIRED)
    assert front.store.requests[-1].pays == ctx.subject
    await front.admits(request_of(keyed=Subject("key", "tenant-1")))
    assert front.store.requests[-1].pays == Subject("key", "tenant-1")


async def test_a_document_of_the_apps_own_brings_no_offence_and_another_of_the_same_caller_does() -> None:
    front = Front(rate_limit_default="100/minute")
    value = '["QUERY_TOO_DEEP",3,4,""]'
    front.documents.update(Overrides(1, (Override(OverrideKind.APP_DOCUMENT, "ab", value=value),)))
    for _ in range(5):
        assert await front.admits(request_of(hashes=("ab",)), DEAR) is DEAR
    assert await front.store.sanctions.count() == 0
    token = Denial(UNAUTHENTICATED, offence=PolicyName.BRUTE_FORCE)
    await front.admits(request_of(hashes=("ab",)), token)
    assert front.store.requests[-1].offence is not None
    for _ in range(2):
        await front.admits(request_of(hashes=("cd",)), DEAR)
    assert await front.store.sanctions.count() == 1


async def test_what_can_never_be_paid_is_said_without_a_question() -> None:
    front = Front()
    denial = await front.admits(request_of(measured=measured("mutation", fields=("a", "b", "c"))))
    assert denial == Denial(CHARGE_TOO_LARGE, limit=2, actual=3, detail="default", tokens=0)
    assert front.asked == 0


async def test_a_budget_that_is_used_up_has_its_own_refusal_and_the_longest_wait_is_told() -> None:
    front = Front(rate_limit_default="100/minute")
    points = Charge("cost", Limit(100, 3600), tokens=60, fixed=True)
    assert await front.admits(request_of(charges=(points,))) is None
    denial = await front.admits(request_of(charges=(points,)))
    assert denial is not None
    assert (denial.code, denial.retry_after_seconds) == (COST_BUDGET_EXCEEDED, pytest.approx(720))
    both = Front(rate_limit_default="1/minute")
    await both.admits(request_of(charges=(points,)))
    denial = await both.admits(request_of(charges=(points,)))
    assert denial is not None
    assert denial.code is COST_BUDGET_EXCEEDED


async def test_an_overridden_limit_that_can_never_hold_the_request_says_so() -> None:
    front = Front(rate_limit_default="100/minute")
    await front.store.limits.set(request_of().subject, Rate.of(2, 60), 0, 600)
    denial = await front.admits(request_of(measured=measured("mutation", fields=("a", "b", "c"))))
    assert denial == Denial(CHARGE_TOO_LARGE, limit=2, actual=3, detail="override", tokens=0)
    assert math.isfinite(denial.limit or 0)


async def test_without_the_store_a_policy_that_refuses_asks_to_come_back_in_a_second() -> None:
    front = Front()
    front.store.there = False
    assert await front.admits() == Denial(STORE_UNAVAILABLE, retry_after_seconds=1.0)


# --- expired tokens --------------------------------------------------------------------------------------------------


async def test_a_flood_of_expired_tokens_is_refused_by_its_own_bucket_and_has_few_tokens_verified() -> None:
    front = Front()
    flood = {"token_failure": FailureReason.TOKEN_EXPIRED}
    for _ in range(20):
        ctx = request_of(**flood)
        assert await front.admits(ctx, EXPIRED) is EXPIRED
        assert ctx.buckets == ()  # the answer shows the caller's own limits alone
    assert not front.blocked.holds(request_of().address_subject)
    denial = await front.admits(request_of(**flood), EXPIRED)
    assert denial is not None
    assert (denial.code, denial.detail) == (RATE_LIMITED, "token_expired: 20/minute")
    assert front.blocked.holds(request_of().address_subject)
    question = front.store.requests[-1]
    assert (question.abuse, question.refused_before) == (None, 0)  # clients whose clock is wrong are no abusers
    assert await front.admits() is None  # the caller's own bucket is full
    assert await front.store.sanctions.count() == 0


# --- blocks ----------------------------------------------------------------------------------------------------------


async def test_a_block_that_this_process_knows_is_a_question_before_the_body_is_read() -> None:
    front = Front()
    ctx = request_of()
    assert front.admission.known_block(ctx) is None
    await front.store.sanctions.impose(Sanction(ctx.subject, PolicyName.DOS, 60))
    question = front.admission.known_block(ctx)
    assert question is not None
    assert (question.subject, question.charges, question.offence) == (ctx.subject, (), None)
    assert front.admission.known_block(request_of(token_pending=True)) is None
    assert front.admission.known_block(request_of("192.0.2.9")) is None
    watching = Front({Protection.QUERY_LIMITS: Mode.MONITOR})
    await watching.store.sanctions.impose(Sanction(ctx.subject, PolicyName.DOS, 60))
    assert watching.admission.known_block(ctx) is None
    off = dict.fromkeys((Protection.QUERY_LIMITS, Protection.AUTH, Protection.RATE_LIMIT), Mode.MONITOR)
    nowhere = Front(off)
    await nowhere.store.sanctions.impose(Sanction(ctx.subject, PolicyName.OPERATOR, 60))
    assert nowhere.admission.known_block(ctx) is None


def test_which_sanctions_bind_what_a_caller_sends() -> None:
    front = Front({Protection.QUERY_LIMITS: Mode.MONITOR})
    admission, ctx = front.admission, request_of()
    assert admission.binds(ctx, PolicyName.RATE_LIMIT_ABUSE)
    assert admission.binds(ctx, PolicyName.OPERATOR)
    assert not admission.binds(ctx, PolicyName.DOS)
    assert not admission.binds(ctx, PolicyName.BRUTE_FORCE)
    assert admission.binds(request_of(user="alice"), PolicyName.BRUTE_FORCE)
    assert not admission.binds(request_of(token_pending=True), PolicyName.RATE_LIMIT_ABUSE)


async def test_where_nothing_is_mounted_that_sanctions_the_store_is_not_asked() -> None:
    off = dict.fromkeys((Protection.QUERY_LIMITS, Protection.AUTH, Protection.RATE_LIMIT), Mode.OFF)
    front = Front(off)
    assert await front.admits() is None
    assert await front.admits(denial=DEAR) is DEAR
    assert front.admission.usual_request(request_of()) is None
    assert front.asked == 0


async def test_the_allow_listed_are_asked_about_where_a_block_of_operators_would_bind_them() -> None:
    front = Front()
    ctx = request_of(allow_listed=True)
    await front.store.sanctions.impose(Sanction(ctx.subject, PolicyName.OPERATOR, 60))
    denial = await front.admits(ctx)
    assert denial is not None
    assert denial.code is BLOCKED
    page = request_of(allow_listed=True)
    page.guarded = page.operation = False
    assert await front.admits(page) is None  # nothing to ask


# --- what usual requests ask ------------------------------------------------------------------------------------------


async def test_usual_requests_of_one_caller_and_kind_ask_the_same_and_others_do_not() -> None:
    front = Front(rate_limit_graphql_mutation="5/minute")
    usual = front.admission.usual_request
    assert usual(request_of()) is usual(request_of())
    different = [
        usual(request_of()),
        usual(request_of("192.0.2.9")),
        usual(request_of(user="alice")),
        usual(request_of(user="alice", tier="pro")),
        usual(request_of(measured=measured())),
        usual(request_of(measured=measured("mutation"))),
        usual(request_of(measured=measured("mutation", fields=("a", "b")))),
        usual(request_of(measured=measured(unmeasured=1))),
        usual(request_of(patience_seconds=5.0)),
        usual(request_of(operation=False)),
    ]
    assert None not in different
    assert len({id(each) for each in different}) == len(different)
    before = usual(request_of())
    assert front.admission.size_bytes > 0
    front.admission.forget()
    assert front.admission.size_bytes == 0
    assert usual(request_of()) is not before


@pytest.mark.parametrize(
    "facts",
    [
        {"charges": (Charge("cost", Limit(1, 3600)),)},
        {"would_refuse": (DEAR,)},
        {"token_failure": FailureReason.TOKEN_EXPIRED},
        {"socket": True},
        {"shared_peer": True},
        {"cross_site_simple": True},
        {"preflight": True},
        {"public_operation": True},
        {"allow_listed": True},
        {"measured": measured("mutation", fields=("a", "b", "c"))},
    ],
)
def test_a_request_of_which_anything_is_special_is_not_usual(facts) -> None:
    assert Front().admission.usual_request(request_of(**facts)) is None


async def test_no_request_is_usual_of_a_caller_who_was_refused_a_moment_ago() -> None:
    front = Front()
    assert front.admission.usual_request(request_of()) is not None
    for _ in range(3):
        await front.admits()
    assert front.admission.usual_request(request_of()) is None
    assert front.admission.usual_request(request_of("192.0.2.9")) is not None


def test_what_the_app_takes_is_asked_for_the_caller_and_is_no_offence() -> None:
    front = Front()
    ctx = request_of()
    more = front.admission.bills.further(ctx, 2)
    question = front.admission.further_request(ctx, more)
    assert (question.subject, question.charges, question.enforced) == (ctx.subject, more, True)
    assert (question.abuse, question.offence) == (None, None)
    assert question.exempt == {PolicyName.BRUTE_FORCE}


async def test_a_caller_who_chooses_the_key_at_will_pays_beside_it() -> None:
    front = Front(beside=True)
    assert await front.admits(request_of(keyed=Subject("key", "tenant-1"))) is None
    (asked,) = front.store.requests
    assert [charge.own for charge in asked.charges] == [False, True]


async def test_what_this_process_was_paid_alone_is_noted_for_what_is_given_back() -> None:
    front = Front()
    asked = AdmitRequest(request_of().subject)
    for alone in (False, True):
        ctx = request_of()
        assert front.admission.conclude(ctx, asked, AdmitResult(admitted=True, alone=alone)) is PASSED
        assert ctx.paid_alone is alone
