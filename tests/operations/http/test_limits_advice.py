"""What an operator is told of the limits that would fit, on memory and on a real Redis."""

from __future__ import annotations

from typing import Any

from fraiseql_guard.operations.operator.json_values import from_json, to_plain
from fraiseql_guard.operations.tuning.charts import strip, svg
from fraiseql_guard.operations.tuning.result import TuningResult
from tests.operations.http.conftest import Api
from tests.support.asgi import graphql
from tests.support.waiting import until

QUERY = "{me{posts{id}}}"
DEPTH = "FRAISEQL_MAX_QUERY_DEPTH"


async def depth_of(api: Api) -> dict[str, Any] | None:
    limits = (await api.done("GET", "/limits-advice"))["limits"]
    return next((each for each in limits if each["variable"] == DEPTH), None)


async def test_before_the_first_request_it_says_how_much_is_needed(api: Api) -> None:
    found = await api.done("GET", "/limits-advice")
    assert (found["requests"], found["limits"], found["values"]) == (0, [], {})
    assert "no GraphQL request was seen yet: 1,000 ordinary ones of 10 callers are needed" in found["notes"]


async def test_what_was_seen_beside_the_limit_in_force(api: Api) -> None:
    await graphql(api.guard, QUERY)
    await until(lambda: depth_of(api))
    found = await depth_of(api)
    assert (found["shown"], found["recommended"], found["sets"]) == ("10", None, "")
    assert "too few callers to say: 1 were seen, and 10 are needed" in found["why"]
    assert found["distribution"]["all"] == {"n": 1, "p50": 3, "p99": 3, "p99.9": 3, "max": 3}
    assert found["at_present"]["requests"] == 0
    assert sum(found["histogram"]["columns"]) == 1
    assert set(found["histogram"]["marks"]) == {"p50", "p99", "p99.9", "present"}
    await api.done("PUT", "/settings", {"variable": DEPTH, "value": "2", "duration_seconds": 60})
    found = await depth_of(api)
    assert (found["shown"], found["at_present"]["requests"]) == ("2", 1)


async def test_from_a_distance_it_is_the_same_and_can_be_drawn(api: Api) -> None:
    await graphql(api.guard, QUERY)
    await until(lambda: depth_of(api))
    answered = await api.done("GET", "/limits-advice")
    result = from_json(TuningResult, answered)
    assert to_plain(result) == answered
    assert all(svg(each) and len(strip(each)) == 60 for each in result.limits)
