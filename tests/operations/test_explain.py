"""``fraiseql-guard explain``: what it shows is what the guard does."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.graphql.cost.arguments import SizeOrigin
from fraiseql_guard.operations.explain import ExplainedField, Explanation, explain, render
from tests.graphql.cost.test_cost import TABLE
from tests.graphql.requests import BLOG, WIDE, body, post, reader
from tests.graphql.test_attacks import CORPUS

SETTINGS = Settings.load({})


def fields(explanation: Explanation) -> dict[str, ExplainedField]:
    found: dict[str, ExplainedField] = {}
    pending = [field for operation in explanation.operations for field in operation.fields]
    while pending:
        field = pending.pop()
        found[field.key] = field
        pending += field.children
    return found


DOCUMENTS = [(text, {"n": 5, "s": True}) for text in CORPUS] + [(row[0], row[1]) for row in TABLE]


@pytest.mark.parametrize("schema", [None, BLOG])
@pytest.mark.parametrize("options", [{}, WIDE])
def test_its_total_and_its_verdict_are_those_of_the_reader(schema, options):
    settings, to = Settings.load({}, **options), reader(schema, **options)
    measured = 0
    for text, variables in DOCUMENTS:
        found = explain(text, settings, schema=schema, variables=variables)
        named = found.operations[0].name if found.operations else None
        reading = post(to, body(text, variables, operationName=named))
        assert (found.refusal.code if found.refusal else None) == (reading.denial.code.name if reading.denial else None)
        if reading.measured:
            measured += 1
            assert found.complexity == reading.measured.complexity
            assert (found.query_hash,) == reading.hashes
            assert max(operation.cost for operation in found.operations) == found.complexity
            actual = {verdict.code: verdict.actual for verdict in found.limits}
            assert actual["QUERY_TOO_DEEP"] == reading.measured.depth
            assert actual["LIST_TOO_LARGE"] == reading.measured.list_size
    assert measured > 8


def recount(field: ExplainedField, *, in_page: bool = False) -> int:
    """The specification's formula over the tree alone (one type for each selection)."""
    paged = field.origin is not SizeOrigin.ONE and any(
        child.field.endswith(("edges", "items")) for child in field.children
    )
    held = [child for child in field.children if child.field.rpartition(".")[2] in ("edges", "nodes", "items")]
    if paged:
        inside = sum(recount(child, in_page=True) for child in held)
        rest = sum(recount(child) for child in field.children if child not in held)
        return field.size * (field.weight + inside) + rest + field.arguments
    return field.size * (field.weight + sum(recount(child) for child in field.children)) + field.arguments


@pytest.mark.parametrize("number", range(8))
def test_the_numbers_in_the_tree_explain_the_total(number):
    query, variables, _, _ = TABLE[number]
    for schema in (None, BLOG):
        found = explain(query, SETTINGS, schema=schema, variables=variables)
        (operation,) = found.operations
        assert sum(recount(field) * field.times for field in operation.fields) == found.complexity


@pytest.mark.parametrize(
    ("query", "variables", "schema", "key", "origin", "said_by", "size"),
    [
        ("{users(limit:5){id}}", {}, None, "users", SizeOrigin.ARGUMENT, "limit", 5),
        ("query($n:Int){users(limit:$n){id}}", {"n": 6}, None, "users", SizeOrigin.VARIABLE, "$n", 6),
        ("query($n:Int=7){users(limit:$n){id}}", {}, None, "users", SizeOrigin.DEFAULT, "$n", 7),
        ("query($n:Int){users(limit:$n){id}}", {}, None, "users", SizeOrigin.ASSUMED, "limit", 10),
        ("query($p:P){users(page:$p){id}}", {"p": {"limit": 18}}, None, "users", SizeOrigin.GUESSED, "page", 18),
        ("{users(page:{limit:19}){id}}", {}, None, "users", SizeOrigin.GUESSED, "page", 19),
        ("{users(page:{limit:9}){id}}", {}, None, "users", SizeOrigin.NAME, "", 10),
        ("{users(limit:5,page:{limit:19}){id}}", {}, None, "users", SizeOrigin.GUESSED, "page", 19),
        (
            "query($n:[ID]){_entities(representations:$n){id}}",
            {"n": [1, 2]},
            None,
            "_entities",
            SizeOrigin.VARIABLE,
            "$n",
            2,
        ),
        ("{users{id}}", {}, None, "users", SizeOrigin.NAME, "", 10),
        ("{me{id}}", {}, None, "me", SizeOrigin.ONE, "", 1),
        ("{tags{name}}", {}, BLOG, "tags", SizeOrigin.SCHEMA, "limit", 7),
        ("query($n:Int){tags(limit:$n){name}}", {}, BLOG, "tags", SizeOrigin.SCHEMA, "limit", 7),
        ("{feed{id}}", {}, BLOG, "feed", SizeOrigin.SCHEMA, "", 4),
        ("{users{id}}", {}, BLOG, "users", SizeOrigin.ASSUMED, "", 10),
        ("{postsConnection(first:3){edges{node{id}}}}", {}, BLOG, "edges", SizeOrigin.ONE, "", 1),
        ("{x:users(limit:5){id}}", {}, None, "x", SizeOrigin.ARGUMENT, "limit", 5),
    ],
)
def test_it_says_where_a_size_came_from(query, variables, schema, key, origin, said_by, size):
    field = fields(explain(query, SETTINGS, schema=schema, variables=variables))[key]
    assert (field.origin, field.said_by, field.size) == (origin, said_by, size)


def test_it_names_the_fields_whose_lists_have_no_known_size():
    query = "{users(limit:5){followers{id} posts{id}} feed{id} postsConnection{edges{node{id}}}}"
    found = explain(query, SETTINGS, schema=BLOG)
    assert found.unsliced == ("Query.postsConnection", "User.followers", "User.posts")
    assert "lists without a slicing argument: Query.postsConnection" in render(found)
    assert explain(query, SETTINGS).unsliced == ()


def test_a_bomb_is_shown_in_part():
    bomb = "{...F0}" + "".join(f"fragment F{i} on T{{a{{...F{i + 1}}} b{{...F{i + 1}}}}}" for i in range(9))
    found = explain(bomb + "fragment F9 on T{x}", SETTINGS)
    assert found.shortened
    assert "more than can be shown" in render(found)


@pytest.mark.parametrize("text", ["", "{a", "{a%}", "type T{a:Int}", "{" * 500, '{a(x:"\ud800")}', "\x00"])
def test_what_cannot_be_measured_is_explained_as_refused(text):
    found = explain(text, SETTINGS)
    assert (found.complexity, found.operations) == (None, ())
    assert found.refusal is not None
    assert "refused" in render(found)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    def call(text: str, *arguments: str, stdin: bool = False):
        file = tmp_path / "query.graphql"
        file.write_text(text)
        place = "-" if stdin else str(file)
        return CliRunner().invoke(app, ["explain", place, *arguments], input=text if stdin else None)

    return call


def test_the_command_shows_the_tree_the_limits_and_the_verdict(run):
    text = "query Feed($n:Int){users(limit:$n){name posts(limit:3){id}} me{id}}"
    for stdin in (False, True):
        result = run(text, "--variables", '{"n": 20}', stdin=stdin)
        assert result.exit_code == 0
        lines = result.output.splitlines()
        assert lines[0].split() == ["query", "Feed", "81"]
        assert lines[1].split() == "users 80 list of 20 (variable $n)".split()
        assert lines[2].split() == "posts 3 list of 3 (argument limit)".split()
        assert any(line.split() == "max_query_complexity 81 of 1000".split() for line in lines)
        assert lines[-1] == "accepted"


def test_the_command_ends_with_1_for_what_is_refused(run):
    result = run("{users(limit:900){posts(limit:9){id}}}")
    assert result.exit_code == 1
    assert "EXCEEDED" in result.output
    assert "refused: QUERY_TOO_COMPLEX (400) at users.posts" in result.output


def test_the_command_prints_json(run, tmp_path):
    schema = tmp_path / "schema.graphql"
    schema.write_text(BLOG)
    found = json.loads(run("{users{id}}", "--json", "--schema", str(schema)).output)
    assert (found["accepted"], found["complexity"], found["unsliced"]) == (True, 10, ["Query.users"])
    assert found["operations"][0]["fields"][0]["origin"] == "assumed"
    assert {"setting": "max_query_complexity", "code": "QUERY_TOO_COMPLEX", "limit": 1000, "actual": 10,
            "exceeded": False} in found["limits"]  # fmt: skip


@pytest.mark.parametrize(
    "arguments", [["--variables", "[1]"], ["--variables", "{"], ["--schema", "/no/such/file"], ["--schema", "."]]
)
def test_the_command_ends_with_2_for_what_it_cannot_use(run, arguments):
    result = run("{a}", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_the_command_ends_with_2_without_its_file_and_for_bad_settings(run, monkeypatch):
    assert CliRunner().invoke(app, ["explain", "/no/such/file"]).exit_code == 2
    monkeypatch.setenv("FRAISEQL_MAX_QUERY_DEPTH", "deep")
    assert run("{a}").exit_code == 2
    with pytest.raises(SettingsError):
        explain("{a}", SETTINGS, schema="/no/such/file.graphql")
