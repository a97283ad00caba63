"""``fraiseql-guard tune``: on logs, and on four real workers by either way in."""

from __future__ import annotations

import asyncio
import gzip
import json
from xml.etree import ElementTree

import httpx
import pytest
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from fraiseql_guard.core import signals as s
from fraiseql_guard.core.settings import name_of
from tests.cli.fleet import QUERY, eventually
from tests.operations.log_analysis.lines import Log

MEASURES = {"tier": "free", "kind": "query", "depth": 3, "complexity": 40, "list_size": 20, "offset": 0, "aliases": 0}
SHALLOW = "query Shallow { a { b { c } } }"
DEEP = "query Deep { a { b { c { d { e } } } } }"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """An hour's log: 1,500 requests of 30 callers, and an attack of one."""
    lines = Log()
    for number in range(1_500):
        numbers = MEASURES | {"caller": f"caller {number % 30}", "list_size": 10 * (number % 3)}
        lines.write(s.HTTP_REQUEST, status=200, duration_ms=9.5, operation="Home", query_hash="f00", measures=numbers)
    attack = MEASURES | {"caller": "attacker", "depth": 60, "code": "QUERY_TOO_DEEP", "enforced": False}
    lines.write(s.HTTP_REQUEST, 50, status=200, duration_ms=1.0, query_hash="bad", measures=attack)
    lines.write(s.HTTP_REQUEST, 7, status=200, endpoint="/other")
    path = tmp_path_factory.mktemp("log") / "app.log"
    path.write_bytes(lines.text)
    return path


def tune(*arguments, **options):
    return CliRunner().invoke(app, ["tune", *map(str, arguments)], **options)


def test_it_says_what_fits_and_how_to_set_it(log):
    done = tune(log)
    assert done.exit_code == 0, done.output
    assert "1,550 GraphQL requests of 31 callers" in done.output
    assert "note: 7 lines of answered requests carry no measures" in done.output
    assert "FRAISEQL_MAX_QUERY_DEPTH is 10, recommended 3" in done.output
    assert "10 refuses 50 requests (3.23%), 1 operation, 1 caller" in done.output
    assert "fraiseql-guard set FRAISEQL_MAX_QUERY_DEPTH 3 --for 1h" in done.output
    assert "   FRAISEQL_MAX_LIST_SIZE=20\n" in done.output
    assert "too little is known of the database" in done.output


def test_for_a_program(log):
    found = json.loads(tune(log, "--json").output)
    assert (found["requests"], found["callers"]) == (1_550, 31)
    assert found["values"]["FRAISEQL_MAX_QUERY_DEPTH"] == "3"
    depth = next(each for each in found["limits"] if each["variable"] == "FRAISEQL_MAX_QUERY_DEPTH")
    assert depth["distribution"]["all"] == {"n": 1_550, "p50": 3, "p99": pytest.approx(60, rel=0.02), "p99.9":
        pytest.approx(60, rel=0.02), "max": 60}  # fmt: skip
    assert (depth["at_present"]["requests"], depth["as_recommended"]["callers"]) == (50, 1)


def test_wrapped_compressed_and_in_two_files_and_of_a_time(log, tmp_path):
    packed, wrapped = tmp_path / "app.log.gz", tmp_path / "pod.log"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    wrapped.write_bytes(
        b"".join(b"2027-01-15T08:00:00.1Z stdout F " + line + b"\n" for line in log.read_bytes().splitlines())
    )
    assert json.loads(tune(packed, wrapped, "--json").output)["requests"] == 3_100
    piped = tune("-", "--json", input=log.read_bytes())
    assert json.loads(piped.output)["requests"] == 1_550
    part = tune(log, "--json", "--since", "2027-01-15T08:00:11Z", "--until", "2027-01-15T08:00:21Z")
    assert json.loads(part.output)["requests"] == 10


def test_the_settings_of_the_environment_are_the_present_ones(log):
    done = tune(log, env={"FRAISEQL_MAX_QUERY_DEPTH": "3"})
    assert "FRAISEQL_MAX_QUERY_DEPTH is 3, as recommended" in done.output


def test_pictures(log, tmp_path):
    assert tune(log, "--svg", tmp_path / "new" / "folder").exit_code == 0
    drawn = sorted(each.name for each in (tmp_path / "new" / "folder").iterdir())
    assert {"max_query_depth.svg", "max_list_size.svg", "query_timeout.svg"} <= set(drawn)
    for name in drawn:
        ElementTree.parse(tmp_path / "new" / "folder" / name)


@pytest.mark.parametrize(
    "content",
    [b"", b"Traceback (most recent call last):\n", b'{"timestamp":"2027-01-15T08:00:00Z","event":"http.request",'
     b'"context":{"status":200}}\n'],
    ids=["empty", "another program's", "an older version's"],
)  # fmt: skip
def test_a_log_without_measures_says_what_would_bring_them(tmp_path, content):
    path = tmp_path / "app.log"
    path.write_bytes(content)
    done = tune(path)
    assert done.exit_code == 1
    assert "0 GraphQL requests of 0 callers" in done.output
    assert "FRAISEQL_GUARD_ACCESS_LOG must be all or sampled, and FRAISEQL_GUARD_LOG_MEASURES true" in done.output
    assert "Nothing to change" in done.output


def test_too_little_is_said_to_be_too_little(tmp_path):
    lines = Log().write(s.HTTP_REQUEST, 20, status=200, measures=MEASURES | {"caller": "one"})
    path = tmp_path / "app.log"
    path.write_bytes(lines.text)
    done = tune(path)
    assert done.exit_code == 0
    assert "FRAISEQL_MAX_QUERY_DEPTH is 10, no recommendation" in done.output
    assert "too few callers to say: 1 were seen, and 10 are needed" in done.output


def test_without_log_and_fleet_it_says_what_is_missing(tmp_path):
    assert "which workers? Set FRAISEQL_REDIS_URL" in tune().output
    assert tune(tmp_path / "none.log").exit_code == 2


# --- documents of a deploy --------------------------------------------------------------------------------------------


def test_a_deploy_that_the_recommended_limits_would_refuse(log, tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "shallow.graphql").write_text(SHALLOW)
    assert tune(log, "--check", tmp_path).exit_code == 0
    (tmp_path / "pages" / "deep.graphql").write_text("query Deep { a { b { ...Parts } } }")
    (tmp_path / "parts.gql").write_text("fragment Parts on C { c { d { ...More } } } fragment More on D { e }")
    done = tune(log, "--check", tmp_path)
    assert done.exit_code == 1
    assert (
        f"refused by the limits recommended: Deep in {tmp_path}/pages/deep.graphql:1: QUERY_TOO_DEEP: 5 of 3"
        in done.output
    )
    refused = json.loads(tune(log, "--check", tmp_path, "--json").output)["refused"]
    assert [(each["name"], each["actual"]) for each in refused] == [("Deep", 5)]
    done = tune(log, "--check", tmp_path, env={"FRAISEQL_MAX_QUERY_DEPTH": "4"})
    assert "refused by the limits in force: Deep" in done.output


def test_a_manifest(log, tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"1": SHALLOW, "2": DEEP}))
    done = tune(log, "--check", path)
    assert (done.exit_code, done.output.count("refused by")) == (1, 1)


def test_what_audit_finds_is_checked(log, tmp_path):
    (tmp_path / "page.tsx").write_text(f"const page = gql`{DEEP}`")
    (tmp_path / "page.py").write_text(f'page = gql("""{SHALLOW}""")')
    refused = json.loads(tune(log, "--check", tmp_path, "--json").output)["refused"]
    assert [(each["name"], each["limits"], each["limit"]) for each in refused] == [("Deep", "recommended", 3)]


def test_what_cannot_be_read_does_not_pass(log, tmp_path):
    (tmp_path / "a.graphql").write_text("query {\n")
    (tmp_path / "b.graphql").write_text(f"{SHALLOW} query Lost {{ a {{ ...Nowhere }} }}")
    done = tune(log, "--check", tmp_path)
    assert done.exit_code == 1
    assert f"cannot be read: (without a name) in {tmp_path}/a.graphql:1: it is not GraphQL" in done.output
    assert f"cannot be read: Lost in {tmp_path}/b.graphql:1: no fragment Nowhere" in done.output
    assert "refused by" not in done.output


@pytest.mark.parametrize(("name", "text"), [("a.json", "[]"), ("a.graphql", "type A { b: C }"), ("a.graphql", "")])
def test_what_is_no_document_is_named(log, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    done = tune(log, "--check", tmp_path / name)
    assert done.exit_code == 2
    assert name in done.output


# --- a running fleet --------------------------------------------------------------------------------------------------


async def _many(fleet, addresses=12, each=100):
    """Requests from several addresses to all workers."""
    async with httpx.AsyncClient() as client:
        for number in range(each):
            await asyncio.gather(
                *(
                    client.post(
                        f"{fleet.workers[(number + host) % len(fleet.workers)].url}/graphql",
                        json={"query": QUERY},
                        headers={"X-Forwarded-For": f"198.18.7.{host + 1}"},
                    )
                    for host in range(addresses)
                )
            )


@pytest.mark.redis
def test_the_running_workers_are_asked_and_changed(fleet, operator):
    asyncio.run(_many(fleet))

    def known():
        found = operator("tune", "--json").json
        enough = found["requests"] > 1_000 and found["callers"] >= 12
        return (enough and "FRAISEQL_MAX_QUERY_DEPTH" in found["values"]) or found

    eventually(known, "the workers should tell of more than 1,000 requests, and a depth follow from them")
    found = operator("tune", "--json").json
    depth = found["values"]["FRAISEQL_MAX_QUERY_DEPTH"]
    assert int(depth) < 10
    try:
        ran = operator.done("tune", "--apply", "--for", "10m")
        assert f"Set FRAISEQL_MAX_QUERY_DEPTH to {depth} on all workers for 10m" in ran.out
        assert "Undo: fraiseql-guard set --clear FRAISEQL_MAX_QUERY_DEPTH" in ran.out
        switches = {row[0]: row[1] for row in operator.done("set", "--list").rows}
        assert switches.items() >= found["values"].items()
        assert "FRAISEQL_MAX_QUERY_DEPTH is " + depth in operator.done("tune").out
    finally:
        for variable in found["values"]:
            operator("set", "--clear", variable)


@pytest.mark.redis
def test_all_is_set_or_nothing(on_redis, monkeypatch):
    from fraiseql_guard.cli.connect import connect
    from fraiseql_guard.cli.set_all import set_all
    from fraiseql_guard.operations.operator.interface import OperatorError

    for name, value in on_redis.environment.items():
        monkeypatch.setenv(name, value)
    variables = [name_of(option) for option in ("max_fragments", "max_operations", "max_tokens")]

    async def go():
        async with connect(None) as fleet:
            await fleet.operator.switch("setting", variables[0], "44", duration_seconds=600, actor="ada")
            values = dict(zip(variables, ("41", "9", "no number"), strict=True))
            with pytest.raises(OperatorError, match="None of the other values was left set"):
                await set_all(fleet, values, 60, reason="a test")
            found = {each.name: each.value for each in await fleet.operator.switches()}
            await fleet.operator.unswitch("setting", variables[0])
            return found

    found = asyncio.run(go())
    assert (found[variables[0]], variables[1] in found, variables[2] in found) == ("44", False, False)
