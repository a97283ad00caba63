"""What the reading of a GraphQL request leaves with it, and which requests are refused without one."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from fraiseql_guard.checks.query_limits import QueryLimits
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.place import Place
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import BAD_REQUEST
from fraiseql_guard.graphql.reader import Reader
from tests.support.contexts import request_of

QUERY = "query Deep{me{posts{author{name}}}}"


def limits(**settings: Any) -> QueryLimits:
    loaded = Settings.load({}, **settings)
    return QueryLimits(Reader(loaded, rules=RuleTable.of(loaded)))


def asking(query: str = QUERY, media_type: str = "application/json", **facts: Any) -> RequestContext:
    body = json.dumps({"query": query}).encode()
    return request_of(**{"body": body, "headers": {b"content-type": media_type.encode()}, **facts})


def test_what_passes_leaves_what_was_measured() -> None:
    ctx = asking()
    assert limits().decide(ctx) is None
    assert ctx.measured is not None
    assert (ctx.measured.name, ctx.measured.depth, ctx.rewritten, ctx.query_text) == ("Deep", 4, None, None)
    assert ctx.hashes == (sha256(QUERY.encode()).hexdigest(),)
    assert ctx.would_refuse == ()


def test_what_is_over_a_limit_is_refused_and_known_as_well() -> None:
    ctx = asking()
    denial = limits(max_query_depth=3).decide(ctx)
    assert denial is not None
    assert (denial.code.name, denial.limit, denial.actual) == ("QUERY_TOO_DEEP", 3, 4)
    assert ctx.hashes
    assert limits(max_query_depth=4).decide(asking()) is None


def test_the_text_of_a_refused_document_is_kept_where_lines_are_to_carry_it() -> None:
    ctx = asking()
    limits(max_query_depth=3, log_query_text=True).decide(ctx)
    assert ctx.query_text
    plain = asking()
    limits(max_query_depth=3).decide(plain)
    assert plain.query_text is None


@pytest.mark.parametrize("media_type", ["text/plain", ""])
def test_what_cannot_be_read_is_refused(media_type) -> None:
    assert limits().decide(asking(media_type=media_type)) is not None
    unnamed = request_of(body=b'{"query":"{me}"}', headers={})
    assert limits().decide(unnamed) is not None
    assert limits().decide(request_of(body=None, headers={b"content-type": b"application/json"})) is not None


def test_a_query_may_come_by_get_without_a_body_and_with_one_none_is_read() -> None:
    get = {"method": "GET", "query_string": b"query={me{id}}"}
    ctx = request_of(**get, body=b"", headers={})
    assert limits().decide(ctx) is None
    assert ctx.measured is not None
    ctx = request_of(**get, body=b"{}", headers={})
    assert limits().decide(ctx) == Denial(BAD_REQUEST, detail="GET with a body")
    assert ctx.measured is None


def test_introspection_for_verified_users_knows_who_is_one() -> None:
    check, query = limits(introspection="authenticated"), "{__schema{types{name}}}"
    assert check.decide(asking(query, user="alice")) is None
    denial = check.decide(asking(query))
    assert denial is not None
    assert denial.code.name == "INTROSPECTION_DENIED"


# --- rules -----------------------------------------------------------------------------------------------------------

RULES = {
    "rules": [
        {"name": "shallow", "match": {"operations": ["Deep"]}, "max_depth": 3},
        {"name": "watched", "match": {"only_root_fields": ["tags"]}, "mode": "monitor", "max_depth": 1},
    ]
}


def by_rule(ctx: RequestContext, rules: Any = RULES) -> Denial | None:
    settings = Settings.load({}, rules=rules, batching=True)
    table = RuleTable(settings)
    ctx.place = Place(graphql="/graphql", rules=table.at(["/graphql"], ["/graphql"], "/graphql"))
    table.narrow(ctx)
    return QueryLimits(Reader(settings, rules=table)).decide(ctx)


def test_the_rule_of_an_operation_is_known_once_it_is_measured_and_decides() -> None:
    ctx = asking()
    denial = by_rule(ctx)
    assert denial is not None
    assert (denial.limit, denial.rule) == (3, "shallow")
    other = asking("{me{posts{author{name}}}}")
    assert by_rule(other) is None
    assert (other.rule, other.rule_shares) == (None, ())


def test_what_a_limit_would_refuse_that_is_only_watched_is_noted_beside_what_was_noted_before() -> None:
    ctx = asking(would_refuse=(Denial(BAD_REQUEST),))
    assert limits(max_query_depth=3, monitor_limits="max_query_depth").decide(ctx) is None
    assert [each.code.name for each in ctx.would_refuse] == ["BAD_REQUEST", "QUERY_TOO_DEEP"]


def test_the_operations_of_a_batch_have_their_own_rules() -> None:
    batch = json.dumps([{"query": "{tags{name}}"}, {"query": "{me{id}}"}]).encode()
    ctx = asking(body=batch)
    by_rule(ctx)
    assert [share.rule and share.rule.name for share in ctx.rule_shares] == ["watched", None]


def test_of_what_is_refused_unread_the_rule_is_the_one_for_what_is_not_known() -> None:
    ctx = asking(method="GET")
    by_path = {"rules": [{"name": "by-path", "match": {"path": "/graphql"}, "max_depth": 9}]}
    assert by_rule(ctx, by_path) == Denial(BAD_REQUEST, detail="GET with a body")
    assert ctx.rule is not None
    assert ctx.rule.name == "by-path"
    without = asking(method="GET")
    by_rule(without)
    assert without.rule is None


def test_the_reader_is_told_whose_request_it_is() -> None:
    """Callers share the room for persisted queries: it takes from the one who fills it."""
    told: list[Subject | None] = []

    class Noting(Reader):
        def read(self, *asked: Any, caller: Subject | None = None, **options: Any) -> Any:
            told.append(caller)
            return super().read(*asked, caller=caller, **options)

    settings = Settings.load({})
    ctx = asking(user="alice")
    assert QueryLimits(Noting(settings, rules=RuleTable.of(settings))).decide(ctx) is None
    assert told == [ctx.subject]
