"""``fraiseql-guard explain`` of a log line's query_hash: where the text is found, and what is said where it is not."""

import hashlib
import json

import pytest
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from tests.support.asgi import request

ME, HUGE = "query Me{me{id}}", 'query Huge($s:String="\\u0041") {\n\tusers(limit:90000, s:$s) { id } }'


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def run(*arguments, typed=None, **environ):
    return CliRunner().invoke(app, ["explain", *map(str, arguments)], env=environ, input=typed)


def line(**context):
    return json.dumps({"event": "graphql.expensive_query", "context": context})


@pytest.fixture
def manifest(tmp_path):
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({"md5-of-it": ME, "other": "{a}"}))
    return file


@pytest.mark.parametrize("digits", [12, 20, 64])
def test_a_hash_or_its_beginning_is_looked_up_in_the_manifest(manifest, digits):
    wanted = sha(ME)[:digits]
    lines = ("no json", "[1]", line(user_id="x"), line(query_hash=wanted), line(query_hash=sha("{a}")))
    results = [
        run(wanted, "--manifest", manifest),
        run(wanted.upper(), FRAISEQL_GUARD_TRUSTED_DOCUMENTS_FILE=str(manifest)),
        run("--log", line(query_hash=wanted), "--manifest", manifest),
        run("--log", "-", "--manifest", manifest, typed="\n".join(lines)),
    ]
    for result in results:
        assert (result.exit_code, "query Me" in result.stdout) == (0, True), result.output
        assert f"query_hash {sha(ME)}" in result.stdout


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "abcdefabcdef").write_text("query File{a}")
    assert "query File" in run("abcdefabcdef").stdout
    assert run("abcdefabcde").exit_code == 2  # too short for a hash, and no file


def test_an_unknown_hash_says_where_it_was_looked_for_and_what_helps(manifest):
    nowhere = run("0" * 64)
    assert (nowhere.exit_code, "looked nowhere" in nowhere.stderr) == (1, True)
    result = run("0" * 12, "--manifest", manifest)
    assert (result.exit_code, f"looked in the manifest {manifest} alone" in result.stderr) == (1, True)
    for hint in ("--manifest PATH", "FRAISEQL_REDIS_URL", "--url", "FRAISEQL_GUARD_LOG_QUERY_TEXT=true"):
        assert hint in result.stderr


def test_a_beginning_that_several_have_is_refused(tmp_path):
    texts = {}
    number = 0
    while not (same := [found for found in texts.values() if len(found) > 1]):
        number += 1
        texts.setdefault(sha(f"{{a{number}}}")[:2], []).append(f"{{a{number}}}")
    # Twelve digits that agree cannot be found in a test, so the look-up is asked with what the pattern would refuse.
    from fraiseql_guard.cli.query_text import text_of_hash

    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({str(key): text for key, text in enumerate(same[0])}))
    with pytest.raises(ValueError, match=r"has 2 documents whose query_hash begins with"):
        text_of_hash(sha(same[0][0])[:2], url=None, manifest=file)


@pytest.mark.parametrize("arguments", [[], ["x", "--log", "y"], ["--log", "no line"], ["--log", line(query_hash="x")]])
def test_what_is_no_question_ends_with_2(arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")


async def test_a_line_that_carries_its_text_needs_no_other_place(guarded):
    guard = guarded(log_query_text=True)
    await request(guard, body=json.dumps({"query": HUGE}).encode())
    [said] = guard.lines("graphql.expensive_query")
    result = run("--log", json.dumps(said))
    assert result.exit_code == 1
    assert ("query Huge" in result.stdout, f"query_hash {sha(HUGE)}" in result.stdout) == (True, True)


async def test_a_text_that_was_cut_is_looked_up_by_its_hash(guarded):
    guard = guarded(log_query_text=True)
    text = "{a" + " " * 60_000 + "}"
    await request(guard, body=json.dumps({"query": text}).encode())
    [said] = guard.lines("graphql.expensive_query")
    assert len(said["context"]["query_text"]) == 20_000
    result = run("--log", json.dumps(said))
    assert (result.exit_code, sha(text) in result.stderr) == (1, True)


async def test_lines_carry_no_text_unless_they_are_to(guarded):
    for options in ({}, {"apq": True, "batching": True, "log_query_text": True}):
        guard = guarded(**options)
        await request(guard, body=json.dumps({"query": "{a(}"}).encode())
        [said] = guard.lines("guard.request_refused")
        assert said["context"].get("query_text") == ("{a(}" if options else None)
    await request(guard, body=json.dumps([{"query": "{a}"}, {"query": "{b(}"}]).encode())
    assert guard.lines("guard.request_refused")[-1]["context"]["query_text"] == "{b(}"
