"""A minute of hundreds of sockets beside plain requests, a killed worker, an empty Redis: nothing of theirs is left."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.soak import soak

pytestmark = pytest.mark.redis

SECONDS = 60.0


def test_nothing_is_left_of_clients_who_have_gone() -> None:
    report = asyncio.run(soak(SECONDS))
    assert not report.left, report.as_json()
    assert report.kills, report.as_json()
    assert report.tally.total, report.as_json()
    assert report.tally.events, report.as_json()
