"""The operator's blocks of networks and of documents: for how long, and which of several is told."""

from __future__ import annotations

import ipaddress

import pytest

from fraiseql_guard.checks.blocks import OperatorBlocks
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import BLOCKED, Protection
from fraiseql_guard.stores.overrides import Override, OverrideKind, Overrides
from fraiseql_guard.testing import ManualClock
from tests.support.contexts import request_of


def blocked(clock: ManualClock, **networks: float) -> OperatorBlocks:
    blocks = OperatorBlocks(clock=clock)
    blocks.update(control(networks))
    return blocks


def control(networks: dict[str, float]) -> Overrides:
    entries = [Override(OverrideKind.BLOCK, network, seconds) for network, seconds in networks.items()]
    return Overrides(1, tuple(entries))


def test_a_blocked_network_is_refused_until_the_longest_block_that_covers_the_address_ends() -> None:
    clock = ManualClock()
    blocks = OperatorBlocks(clock=clock)
    assert blocks.decide(request_of("192.0.2.1")) is None
    blocks.update(control({"192.0.2.0/24": 600, "192.0.2.0/28": 60, "198.51.100.0/24": 3600}))
    expected = Denial(BLOCKED, detail="operator", retry_after_seconds=600.0, protection=Protection.RATE_LIMIT, tokens=0)
    assert blocks.decide(request_of("192.0.2.1")) == expected
    assert blocks.decide(request_of("192.0.2.1", user="alice")) == expected  # with a token, too
    assert blocks.decide(request_of("192.0.3.1")) is None
    clock.advance(100.5)
    assert wait(blocks, "192.0.2.1") == pytest.approx(499.5)
    clock.advance(499)
    assert wait(blocks, "192.0.2.1") == 1.0  # never told to come back at once
    blocks.update(control({}))
    assert blocks.decide(request_of("192.0.2.1")) is None


def wait(blocks: OperatorBlocks, address: str) -> float | None:
    denial = blocks.decide(request_of(address))
    return None if denial is None else denial.retry_after_seconds


def test_blocks_refuse_in_the_name_that_they_are_given() -> None:
    blocks = OperatorBlocks(Protection.AUTH, clock=ManualClock())
    blocks.update(control({str(ipaddress.ip_network("2001:db8::/32")): 60}))
    denial = blocks.decide(request_of("2001:db8::1"))
    assert denial is not None
    assert (denial.owner, denial.status) == (Protection.AUTH, 403)
