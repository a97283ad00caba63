"""The demonstration needs nothing but the package, and everything in it comes back as promised."""

from tests.cli.fleet import Operator


def test_every_kind_of_refusal_is_shown():
    ran = Operator({})("demo", "--json")
    assert ran.code == 0
    ends = {act["title"]: act["statuses"][-1] for act in ran.json["acts"]}
    assert set(ends.values()) == {200, 400, 401, 403, 429, 504}
    assert ran.json["refusals"]["QUERY_TIMEOUT"] == 1


def test_what_the_environment_says_does_not_matter():
    ran = Operator({"FRAISEQL_GUARD_MODE": "monitor", "FRAISEQL_REDIS_URL": "redis://127.0.0.1:1"})("demo")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "everything came back as promised"
