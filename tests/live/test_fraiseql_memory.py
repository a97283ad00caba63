"""The memory runbook on the real host: its metrics are what the kernel, the collector and the client know."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from examples.process import Samples, parse_samples, sum_of
from tests.support.fraiseql_host import UNLIMITED, Host, within
from tests.support.processes import FRAISEQL, Server, needs_fraiseql

pytestmark = needs_fraiseql

PAGE = os.sysconf("SC_PAGE_SIZE")
CHEAP = "{ users(limit: 1) { id } }"
OPERATOR = "a-token-for-an-operator-of-32-bytes-or-more"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    environment = {**UNLIMITED, "FRAISEQL_GUARD_ADMIN_TOKENS": f"olga={OPERATOR}"}
    with Server(FRAISEQL, tmp_path_factory.mktemp("host"), environment) as server:
        made = Host(server)
        yield made
        made.close()


def test_process_metrics_are_those_of_the_kernel(host: Host) -> None:
    host.server.samples()  # the first page to be compressed starts a thread, which has memory of its own
    samples = host.server.samples()
    pages = Path(f"/proc/{host.server.pid}/statm").read_text().split()
    assert sum_of(samples, "process_virtual_memory_bytes") == pytest.approx(int(pages[0]) * PAGE, rel=0.2)
    assert sum_of(samples, "process_resident_memory_bytes") == pytest.approx(int(pages[1]) * PAGE, rel=0.2)
    assert sum_of(samples, "process_cpu_seconds_total") > 0
    limit = sum_of(samples, "fraiseql_guard_memory_limit_bytes")
    ratio = sum_of(samples, "fraiseql_guard_memory_used_bytes") / limit
    assert sum_of(samples, "fraiseql_guard_memory_usage_ratio") == pytest.approx(ratio)


def test_a_collection_that_an_operator_asks_for_is_counted(host: Host) -> None:
    oldest = str(len(gc.get_stats()) - 1)

    def counted() -> float:
        return sum_of(host.server.samples(), "python_gc_collections_total", generation=oldest)

    before = counted()
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    answer = httpx.post(f"{host.server.url}/admin/gc", json={}, headers=headers, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert within(30, lambda: counted() >= before + 1)


def test_sizes_are_those_that_went_over_the_wire(host: Host) -> None:
    def scrape() -> tuple[Samples, int]:
        answer = httpx.get(f"{host.server.url}/metrics", headers={"accept-encoding": "identity"}, trust_env=False)
        return parse_samples(answer.text), len(answer.content)

    (before, scraped), answer, (after, _) = scrape(), host.ask(CHEAP), scrape()
    assert answer.status_code == 200
    sent, received = (
        sum_of(after, f"fraiseql_http_{kind}_size_bytes_sum") - sum_of(before, f"fraiseql_http_{kind}_size_bytes_sum")
        for kind in ("request", "response")
    )
    assert sent == len(answer.request.content)
    assert received == len(answer.content) + scraped  # the first scrape was an answer as well


def test_caches_hold_more_after_a_query_that_nobody_has_asked_before(host: Host) -> None:
    before = sum_of(host.server.samples(), "fraiseql_cache_size_bytes")
    host.ask("{ users(limit: 1) { id name email posts { title } } }")
    assert sum_of(host.server.samples(), "fraiseql_cache_size_bytes") > before > 0
