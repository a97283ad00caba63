"""While Redis is silent the command says what the worker at the URL knows, marked as such, and ends with 2."""

import pytest

from fraiseql_guard.operations.operator.interface import Status
from fraiseql_guard.operations.operator.json_values import from_json
from tests.cli.fleet import eventually

pytestmark = pytest.mark.redis


@pytest.fixture
def silent(fleet, by_http):
    eventually(lambda: len(by_http("status", "--json").json["workers"]) == 4, "every worker should report")
    fleet.redis.freeze()
    yield fleet.workers[0]
    fleet.redis.thaw()
    eventually(lambda: by_http("status").code == 0, "the store should answer again")


def test_status_shows_one_worker_and_no_zero(silent, by_http):
    ran = by_http("status")
    assert ran.code == 2
    first, second, *_ = ran.out.splitlines()
    assert first.startswith("ONLY WHAT ONE WORKER KNOWS, redis does not answer: ")
    assert second.split("\t")[0].endswith(f"/{silent.pid}")
    assert ran.err.count("\n") == 1
    assert f"/{silent.pid} knows by itself" in ran.err
    in_json = by_http("status", "--json")
    assert in_json.code == 2
    found = from_json(Status, in_json.json)
    assert (found.sanctions, found.store_answers, len(found.workers)) == (None, False, 1)


def test_top_shows_the_worker_s_own_numbers(silent, by_http):
    def is_among_the_worst():
        # A worker tells of those with most refusals, and tests before this one may have brought many.
        for _ in range(20):
            silent.post("{ a", headers={"X-Forwarded-For": "203.0.113.231"})
        return "203.0.113.231" in by_http("top", "--once", "-n", "1000").out

    eventually(is_among_the_worst, "its own refusals should be among the worker's numbers")
    ran = by_http("top", "--once", "-n", "1000")
    assert ran.code == 2
    assert ran.out.startswith("ONLY WHAT ONE WORKER KNOWS")
    assert "0 workers" not in ran.out


@pytest.mark.parametrize("words", [["keys"], ["pool"], ["blocks"], ["limit", "list"], ["mode"]], ids=" ".join)
def test_what_is_of_the_whole_fleet_is_not_said(silent, by_http, words):
    ran = by_http(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "does not answer" in ran.err
