"""Rules: what holds for some requests alone, over HTTP and WebSockets, on GraphQL paths and those of the app."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET, Guarded
from tests.graphql.requests import BLOG, of_an_app
from tests.support.asgi import EchoApp, graphql, request
from tests.support.redis_server import RedisServer
from tests.support.socket_memory import SocketApp, T, opened

ME, TAGS = "{me{id}}", "{tags{name}}"
DEEP = "{me{posts{comments{author{id}}}}}"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def redis() -> Any:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, redis: RedisServer) -> dict[str, Any]:
    """The options of each store. Callers of a test in Redis are its own by the namespace."""
    if request.param == "memory":
        return {}
    return {"redis_url": redis.url, "store_timeout_ms": 5000, "namespace": f"t{abs(hash(request.node.name)) % 10**9}"}


@pytest.fixture
async def mount(guarded: Any) -> Any:
    """Mount guards, which are closed at the end: what they hold in Redis is no other test's."""
    made: list[Guarded] = []

    def of(app: Any = None, **options: Any) -> Guarded:
        made.append(guarded(app, **options))
        return made[-1]

    yield of
    for each in made:
        await each.guard.aclose()


def rule(name: str, match: dict[str, Any], **effects: Any) -> dict[str, Any]:
    return {"name": name, "match": match, **effects}


async def statuses(guard: Guarded, times: int, query: str = ME, **more: Any) -> list[int]:
    return [(await graphql(guard, query, **more)).status for _ in range(times)]


async def over_a_socket(guard: Guarded, *queries: str) -> list[str]:
    """How operations end that are sent over one WebSocket: a result, or the code of the refusal."""
    found = []
    async with opened(guard, T) as socket:
        await socket.init()
        for number, query in enumerate(queries):
            await socket.start(str(number), query)
            while (message := await socket.receive())["type"] not in ("next", "error"):
                pass
            payload = message["payload"]
            found.append(payload[0]["extensions"]["code"] if message["type"] == "error" else "result")
    return found


# --- rate and cost ---------------------------------------------------------------------------------------------------


async def test_a_rule_has_a_bucket_of_its_own_in_place_of_the_callers(mount, store) -> None:
    rules = [rule("tags", {"only_root_fields": ["tags"]}, rate="2/minute")]
    guard = mount(rules=rules, rate_limit_burst=0, rate_limit_default="3/minute", **store)
    assert await statuses(guard, 3, TAGS) == [200, 200, 429]
    assert await statuses(guard, 4, ME) == [200, 200, 200, 429]  # nothing of it was taken


async def test_a_refusal_names_the_rule_and_its_rate(mount) -> None:
    guard = mount(rules=[rule("tags", {"only_root_fields": ["tags"]}, rate="1/minute")], rate_limit_burst=0)
    first, refused = await graphql(guard, TAGS), await graphql(guard, TAGS)
    assert '"rule:tags";q=1;w=60' in str(first.header("ratelimit-policy"))
    assert (refused.code, refused.extensions["detail"]) == ("RATE_LIMITED", "rule:tags: 1/minute")
    (line,) = guard.lines("security.rate_limit")
    assert line["context"]["rule"] == "tags"


async def test_all_windows_of_a_rules_rate_count(mount, clock) -> None:
    rules = [rule("tags", {"only_root_fields": ["tags"]}, rate="2/second+3/hour")]
    guard = mount(rules=rules, rate_limit_burst=0, clock=clock)
    assert await statuses(guard, 3, TAGS) == [200, 200, 429]
    guard.advance(2)
    assert await statuses(guard, 2, TAGS) == [200, 429]


async def test_the_first_rule_that_matches_holds(mount, store) -> None:
    rules = [
        rule("narrow", {"only_root_fields": ["tags"]}, rate="1/minute"),
        rule("wide", {"path": "/graphql"}, rate="3/minute"),
    ]
    guard = mount(rules=rules, rate_limit_burst=0, **store)
    assert await statuses(guard, 2, TAGS) == [200, 429]
    assert await statuses(guard, 4, ME) == [200, 200, 200, 429]
    swapped = mount(rules=rules[::-1], rate_limit_burst=0)
    assert await statuses(swapped, 4, TAGS) == [200, 200, 200, 429]


async def test_a_cost_is_what_a_request_takes(mount, store) -> None:
    rules = [rule("tags", {"only_root_fields": ["tags"]}, cost=4), rule("me", {"only_root_fields": ["me"]}, cost=0)]
    guard = mount(rules=rules, rate_limit_burst=0, rate_limit_default="9/minute", **store)
    assert await statuses(guard, 20, ME) == [200] * 20  # free
    assert await statuses(guard, 3, TAGS) == [200, 200, 429]
    assert await statuses(guard, 2, "{hero{name}}") == [200, 429]  # one token was left


async def test_a_cost_is_that_of_each_mutation(mount) -> None:
    rules = [rule("posts", {"only_root_fields": ["createPost"]}, cost=2, rate="9/minute")]
    guard = mount(rules=rules, rate_limit_burst=0)
    reply = await graphql(guard, "mutation{a:createPost{id} b:createPost{id} c:createPost{id}}")
    assert reply.header("x-ratelimit-remaining") == "3"  # an alias is no way around it


async def test_what_is_free_still_pays_its_budget(mount) -> None:
    rules = [rule("users", {"only_root_fields": ["users"]}, cost=0)]
    guard = mount(rules=rules, cost_budgets="default=25")
    assert await statuses(guard, 3, "{users(limit:10){id}}") == [200, 200, 429]


async def test_routes_of_the_app_have_rules_too(mount, store) -> None:
    rules = [
        rule("export", {"path": "/api/export", "methods": ["POST"]}, rate="1/minute"),
        rule("dear", {"path": "/api/*"}, cost=5),
        rule("status", {"path": "/status"}, cost=0),
    ]
    guard = mount(rules=rules, rate_limit_burst=0, rate_limit_default="10/minute", **store)

    async def ask(method: str, path: str, times: int) -> list[int]:
        return [(await request(guard, method, path)).status for _ in range(times)]

    assert await ask("POST", "/api/export", 2) == [200, 429]
    assert await ask("GET", "/api/export", 3) == [200, 200, 429]  # five tokens each
    assert await ask("GET", "/status", 3) == [200, 200, 200]
    assert await ask("GET", "/other", 1) == [429]  # the caller's own bucket is empty


async def test_operations_over_a_socket_have_rules(mount, store) -> None:
    rules = [
        rule("tags", {"path": "/graphql", "methods": ["POST"], "only_root_fields": ["tags"]}, rate="1/minute"),
        rule("shallow", {"root_fields": ["me"]}, max_depth=2),
    ]
    guard = mount(SocketApp(), rules=rules, rate_limit_burst=0, **store)
    found = await over_a_socket(guard, TAGS, TAGS, ME, DEEP, "{hero{name}}")
    assert found == ["result", "RATE_LIMITED", "result", "QUERY_TOO_DEEP", "result"]


async def test_rules_are_for_tiers(mount, secret, store) -> None:
    rules = [rule("partners", {"tiers": ["partner"], "path": "/graphql"}, rate="1/minute")]
    guard = mount(rules=rules, rate_limit_burst=0, jwt_secret=secret, **store)
    partner, other = (make_token(secret, sub=name, tier=name) for name in ("partner", "other"))
    assert await statuses(guard, 2, token=partner) == [200, 429]
    assert await statuses(guard, 4, token=other) == [200] * 4


async def test_a_remembered_refusal_of_one_bucket_refuses_nothing_of_another(mount, store) -> None:
    rules = [rule("tags", {"only_root_fields": ["tags"]}, rate="50/minute")]
    guard = mount(rules=rules, rate_limit_burst=0, rate_limit_default="1/minute", **store)
    assert await statuses(guard, 5, ME) == [200, 429, 429, 429, 429]
    assert await statuses(guard, 5, TAGS) == [200] * 5
    assert await statuses(guard, 2, ME) == [429, 429]


async def test_callers_behind_one_proxy_share_a_rules_bucket(mount) -> None:
    guard = mount(rules=[rule("tags", {"only_root_fields": ["tags"]}, rate="2/minute")], rate_limit_burst=0)
    behind = {"client": ("10.0.0.1", 1), "headers": {"x-forwarded-for": "198.51.100.1"}}
    assert await statuses(guard, 41, TAGS, **behind) == [200] * 40 + [429]


# --- limits ----------------------------------------------------------------------------------------------------------


async def test_limits_become_larger_and_smaller(mount) -> None:
    rules = [
        rule("deep", {"only_root_fields": ["me"]}, max_depth=30, max_complexity=5000, max_list_size=5000),
        rule("flat", {"root_fields": ["hero"]}, max_depth=1, max_complexity=3),
    ]
    guard = mount(rules=rules, schema=of_an_app(BLOG), max_query_depth=3, max_list_size=100)
    assert await statuses(guard, 1, DEEP) == [200]
    assert await statuses(guard, 1, "{me{posts(limit:400){id}}}") == [200]
    refused = await graphql(guard, "{hero{name}}")
    assert (refused.code, refused.extensions["limit"]) == ("QUERY_TOO_DEEP", 1)
    assert refused.extensions["detail"] == "Rule flat decides this."
    other = await graphql(guard, "{users{posts{comments{id}}}}")
    assert (other.code, other.extensions["limit"]) == ("QUERY_TOO_DEEP", 3)
    assert "FRAISEQL_MAX_QUERY_DEPTH" in other.extensions["detail"]


async def test_a_rule_may_allow_what_no_parser_would_be_asked_for_without_it(mount) -> None:
    nested = "{me" + "{friend" * 60 + "{id}" + "}" * 61
    guard = mount(rules=[rule("deep", {"only_root_fields": ["me"]}, max_depth=70)])
    assert await statuses(guard, 1, nested) == [200]
    assert (await graphql(guard, nested.replace("{me", "{you", 1))).code == "QUERY_TOO_DEEP"


async def test_one_document_under_two_rules_is_decided_by_each(mount, secret) -> None:
    rules = [rule("partner", {"tiers": ["partner"]}, max_depth=10), rule("all", {"path": "/*"}, max_depth=2)]
    guard = mount(rules=rules, jwt_secret=secret, auth_required=False)
    partner = make_token(secret, sub="p", tier="partner")
    for _ in range(4):
        assert (await graphql(guard, DEEP, token=partner)).status == 200
        assert (await graphql(guard, DEEP)).code == "QUERY_TOO_DEEP"
        assert (await graphql(guard, DEEP, token=make_token(secret, sub="x"))).code == "QUERY_TOO_DEEP"


async def test_monitored_limits_stay_monitored(mount) -> None:
    guard = mount(rules=[rule("flat", {"path": "/graphql"}, max_depth=1)], monitor_limits="max_query_depth")
    assert await statuses(guard, 1, DEEP) == [200]
    assert guard.metric("fraiseql_guard_would_refuse_total", code="QUERY_TOO_DEEP") == 1


# --- who can pretend -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "effect",
    [
        {"cost": 0},
        {"rate": "5000/minute"},
        {"max_depth": 50},
        {"max_complexity": 10_000},
        {"max_list_size": 10_000},
        {"timeout": 600},
        {"mode": "monitor"},
        {"count": "failures"},
    ],
)
@pytest.mark.parametrize("names", [{"operations": ["Export"]}, {"root_fields": ["exports"], "path": "/graphql"}])
def test_names_that_clients_choose_loosen_nothing(guarded, names, effect) -> None:
    with pytest.raises(SettingsError, match=r"rule 'loose' loosens .* which every client chooses"):
        guarded(rules=[rule("loose", names, **effect)])
    guarded(rules=[rule("loose", {**names, "only_root_fields": ["exports"]}, **effect)])
    guarded(rules=[rule("loose", {**names, "tiers": ["internal"]}, **effect)])


async def test_a_name_brings_no_second_bucket(mount) -> None:
    """A caller whose operation has the name of a rule pays as before, and from the bucket of the rule as well."""
    rules = [rule(f"r{number}", {"operations": [f"Op{number}"]}, rate="2/minute") for number in range(5)]
    guard = mount(rules=rules, rate_limit_burst=0, rate_limit_default="4/minute")
    found = [await statuses(guard, 3, f"query Op{number}{{me{{id}}}}") for number in range(5)]
    assert sum(each.count(200) for each in found) == 4


@pytest.mark.parametrize(
    "query",
    [
        "query Other{me{id}} query Export{exports{id}}",
        "query Export{exports{id}} query Other{me{id}}",
        "{a:exports{id}}",
        "{me{id} ...F} fragment F on Query{exports{id}}",
        "{... on Query{exports{id}}}",
        "{me{id} exports @skip(if:true){id}}",
    ],
)
async def test_a_rule_is_not_dodged_by_how_a_field_is_asked_for(mount, query) -> None:
    guard = mount(rules=[rule("exports", {"root_fields": ["exports"]}, rate="1/minute")], rate_limit_burst=0)
    body = {"query": query, "operationName": "Other" if "Other" in query else None}
    replies = [await request(guard, body=json.dumps(body).encode()) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 429]


@pytest.mark.parametrize("query", ["{me{id} tags{name}}", "{tags{name} ...F} fragment F on Query{me{id}}"])
async def test_only_root_fields_are_all_that_is_asked_for(mount, query) -> None:
    rules = [rule("tags", {"only_root_fields": ["tags"]}, cost=0)]
    guard = mount(rules=rules, rate_limit_burst=0, rate_limit_default="1/minute")
    assert await statuses(guard, 3, "{__typename tags{name}}") == [200] * 3
    assert await statuses(guard, 2, query) == [200, 429]


@pytest.mark.parametrize("path", ["/api//export", "/api/./export", "/x/../api/export", "/api/export/", "/api/%65xport"])
async def test_a_path_is_limited_however_it_is_spelt(mount, path) -> None:
    guard = mount(rules=[rule("export", {"path": "/api/export"}, rate="1/minute")], rate_limit_burst=0)
    assert [(await request(guard, "POST", path)).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("path", ["/dear/../free", "/free/../dear", "/free/%2e%2e/dear", "//free"])
async def test_a_path_loosens_only_where_all_apps_read_it_alike(mount, path) -> None:
    rules = [rule("free", {"path": ["/free", "/free/*"]}, cost=0)]
    guard = mount(rules=rules, rate_limit_burst=0, rate_limit_default="1/minute")
    assert [(await request(guard, "POST", "/free/x")).status for _ in range(3)] == [200] * 3
    assert [(await request(guard, "POST", path)).status for _ in range(2)] == [200, 429]


async def test_what_cannot_be_measured_profits_from_nothing(mount) -> None:
    rules = [
        rule("exports", {"root_fields": ["exports"]}, rate="1/minute"),
        rule("free", {"path": "/graphql"}, cost=0, mode="monitor"),
    ]
    guard = mount(rules=rules, mode_query_limits="monitor", max_tokens=10, rate_limit_burst=0)
    assert await statuses(guard, 5, ME) == [200] * 5  # free
    padded = "{exports{id} " + " ".join(f"a{number}:me{{id}}" for number in range(20)) + "}"
    assert await statuses(guard, 2, padded) == [200, 429]  # it may be an export
    assert (await graphql(guard, "{")).status == 429


async def test_a_batch_has_the_rule_of_each_operation(mount, store) -> None:
    rules = [rule("tags", {"only_root_fields": ["tags"]}, rate="4/minute")]
    guard = mount(rules=rules, batching=True, rate_limit_burst=0, rate_limit_default="5/minute", **store)

    async def batch(*queries: str) -> int:
        return (await request(guard, body=json.dumps([{"query": query} for query in queries]).encode())).status

    assert await batch(TAGS, ME, TAGS) == 200  # two of the rule's, one of the caller's
    assert await batch(TAGS, TAGS) == 200
    assert await batch(ME, TAGS) == 429
    assert await batch(ME, ME) == 200
    assert await statuses(guard, 4, ME) == [200] * 3 + [429]


async def test_a_batch_is_watched_only_if_each_of_its_operations_is(mount) -> None:
    rules = [rule("tags", {"only_root_fields": ["tags"]}, max_depth=1, mode="monitor")]
    guard = mount(rules=rules, batching=True, max_query_depth=1)

    async def batch(*queries: str) -> int:
        return (await request(guard, body=json.dumps([{"query": query} for query in queries]).encode())).status

    assert await batch(TAGS, TAGS) == 200
    assert await batch(TAGS, "{x}") == 400


# --- times and modes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), [("/graphql", json.dumps({"query": TAGS}).encode()), ("/api/x", None)])
async def test_a_rule_has_a_time_of_its_own(mount, path, body) -> None:
    rules = [rule("tags", {"only_root_fields": ["tags"]}, timeout=0.05), rule("api", {"path": "/api/*"}, timeout=0.05)]
    guard = mount(EchoApp(held=True), rules=rules)
    reply = await request(guard, "POST", path, body=body)
    assert (reply.status, guard.app.stopped) == (504, 1)
    assert "decides this." in reply.body.decode()


async def test_a_socket_has_the_time_of_the_rule(mount) -> None:
    guard = mount(SocketApp(), rules=[rule("slow", {"only_root_fields": ["slow"]}, timeout=0.05)])
    async with opened(guard, T) as socket:
        await socket.init()
        await socket.start("1", "{slow{id}}")
        message = await socket.receive()
    assert message["type"] in ("error", "next")


async def test_a_rule_is_watched_before_it_is_enforced(mount, store) -> None:
    rules = [rule("tags", {"only_root_fields": ["tags"]}, rate="1/minute", max_complexity=2, mode="monitor")]
    guard = mount(rules=rules, rate_limit_burst=0, rate_limit_abuse_offences=2, max_query_depth=2, **store)
    assert await statuses(guard, 6, TAGS) == [200] * 6
    assert guard.metric("fraiseql_guard_would_refuse_total", code="RATE_LIMITED") > 0
    assert guard.metric("fraiseql_guard_sanctions_total") == 0
    assert (await graphql(guard, DEEP)).code == "QUERY_TOO_DEEP"  # others refuse


async def test_a_rule_is_enforced_where_others_are_watched(mount, store) -> None:
    rules = [rule("tags", {"only_root_fields": ["tags"]}, rate="1/minute", mode="enforce")]
    guard = mount(rules=rules, mode="monitor", rate_limit_burst=0, rate_limit_default="1/minute", **store)
    assert await statuses(guard, 3, ME) == [200] * 3
    assert await statuses(guard, 2, TAGS) == [200, 429]


async def test_no_rule_lets_a_wrong_token_or_a_block_pass(mount, secret) -> None:
    rules = [rule("all", {"path": "/*"}, mode="monitor")]
    guard = mount(rules=rules, jwt_secret=secret, brute_force_offences=2)
    forged = make_token("x" * 40, sub="a")
    assert await statuses(guard, 3, token=forged) == [401, 401, 403]
    assert (await graphql(guard, DEEP)).status in (401, 403)
    assert secret == SECRET


# --- the start -------------------------------------------------------------------------------------------------------


def test_all_problems_stand_in_one_message(guarded) -> None:
    with pytest.raises(SettingsError) as raised:
        guarded(
            rules=[
                {"name": "Exports", "match": {"only_root_field": ["x"]}, "rate": "ten"},
                {"name": "a", "match": {"path": "x"}, "max_depht": 3},
                {"name": "a", "match": {"path": "/x"}, "mode": "off"},
                {"match": {"path": "/x"}, "cost": -1},
            ]
        )
    said = str(raised.value)
    for each in (
        "rule 1: name='Exports' is not such a name",
        "rule 1: rate='ten' is not a rate limit",
        "'match.only_root_field'; did you mean only_root_fields?",
        "rule 'a': match.path='x'",
        "'max_depht'; did you mean max_depth?",
        "rule 'a': mode='off' is not one of monitor, enforce",
        "rule 3: name='a' is the name of rule 2 already",
        "rule 4 has no name",
        "rule 4: cost=-1 is outside 0 to 1000000",
    ):
        assert each in said


def test_rules_in_a_file_and_in_a_variable_contradict_each_other(guarded, tmp_path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text("rules: []")
    with pytest.raises(SettingsError, match="FRAISEQL_GUARD_RULES and FRAISEQL_GUARD_RULES_FILE are both set"):
        guarded(rules=[rule("a", {"path": "/a"})], rules_file=path)


@pytest.mark.parametrize("content", ["rules: {", "a: 1\na: 2", "rules: 5", "- name: a", "\x00", "rules: [[]]"])
def test_a_bad_file_stops_the_start(guarded, tmp_path, content) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"FRAISEQL_GUARD_RULES_FILE='.*rules.yml' cannot be used"):
        guarded(rules_file=path)
