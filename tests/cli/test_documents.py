"""``documents`` and ``explain`` on the fleet, on its Redis and through a worker's HTTP API."""

import hashlib
import json

import pytest

from tests.cli.fleet import QUERY, eventually

pytestmark = pytest.mark.redis
TEXTS = {"redis": "query OnRedis { users(limit: 2) { name } }\n", "http": "query ByHttp { users(limit: 3) { name } }\n"}


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def text(operator):
    return TEXTS["http" if operator.words else "redis"]


@pytest.fixture
def file(tmp_path, text):
    place = tmp_path / "query.graphql"
    place.write_text(text)
    return str(place)


def test_documents_are_added_listed_explained_and_removed(operator, file, text) -> None:
    name = text.split()[1]
    row = [sha(text), "query", name, "store"]
    ran = operator.done("documents", "add", file)
    assert ran.rows[0] == row
    assert "1 document is trusted by all workers, within a second" in ran.out
    assert f"Undo: fraiseql-guard documents remove {sha(text)}" in ran.out
    assert operator.done("documents", "add", file, "--json").json["changed"] is False
    assert row in operator.done("documents", "list").rows
    assert f"query {name}" in operator.done("explain", sha(text)[:12]).out
    assert f"query {name}" in operator.done("explain", "--log", json.dumps({"query_hash": sha(text)})).out
    assert "admin.trust" in operator.done("actions", "--last", "1").out
    assert "no longer trusted" in operator.done("documents", "remove", file).out
    assert row not in operator("documents", "list").rows
    gone = operator("documents", "remove", file)
    assert (gone.code, f"the store has no document {sha(text)}" in gone.err) == (1, True)


def test_a_manifest_is_added_with_its_ids_all_or_nothing(operator, tmp_path, text) -> None:
    built, other = tmp_path / "built.json", tmp_path / "other.json"
    built.write_text(json.dumps({f"{sha(text)[:8]}-{number}": text for number in range(3)}))
    other.write_text(json.dumps({"new": "{new}", f"{sha(text)[:8]}-1": "{other}"}))
    done = operator.done("documents", "add", str(built), "--json").json
    assert (done["affected"], len(done["details"]["ids"])) == (3, 3)
    ran = operator("documents", "add", str(other))
    assert (ran.code, "stands for another text: nothing was added" in ran.err) == (2, True)
    before = len(operator.done("documents", "list").rows)
    assert "new" not in operator.done("documents", "list").out
    missing = operator("documents", "remove", str(built), "no-such-id")
    assert (missing.code, "no document no-such-id" in missing.err) == (1, True)
    assert len(operator.done("documents", "list").rows) == before
    assert operator.done("documents", "remove", str(built), "--json").json["affected"] == 3


def test_what_a_worker_remembers_is_explained_through_it(fleet, on_redis, by_http) -> None:
    fleet.answers(QUERY)
    eventually(lambda: by_http("explain", sha(QUERY)).code == 0, "the worker remembers it")
    ran = on_redis("explain", sha(QUERY))
    assert (ran.code, "looked in the store's trusted documents" in ran.err, "--url" in ran.err) == (1, True, True)
    ran = by_http("explain", "0" * 64)
    assert (ran.code, "what this worker has let pass" in ran.err) == (1, True)


def test_a_store_that_does_not_answer_is_said(on_redis) -> None:
    ran = on_redis("documents", "list", FRAISEQL_REDIS_URL="redis://127.0.0.1:1")
    assert (ran.code, "does not answer" in ran.err) == (2, True)
    ran = on_redis("explain", "0" * 64, FRAISEQL_REDIS_URL="redis://127.0.0.1:1")
    assert (ran.code, "(it does not answer)" in ran.err) == (1, True)
