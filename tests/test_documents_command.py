"""``fraiseql-guard documents``: what an engineer types to trust a document, and what stands in the manifest then."""

import hashlib
import json

import pytest
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from fraiseql_guard.graphql.documents.manifests import Manifest, ManifestForm, write_manifest
from tests.support.asgi import request

ME, CHANGE = "query Me { me { id } }\n", "mutation Change { change { id } }\n"


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def place(tmp_path):
    """A directory with two documents and room for a manifest."""
    (tmp_path / "me.graphql").write_text(ME)
    (tmp_path / "change.graphql").write_text(CHANGE)
    return tmp_path


def run(*arguments, **environ):
    return CliRunner().invoke(app, ["documents", *map(str, arguments)], env=environ)


def test_documents_are_added_listed_and_removed(place) -> None:
    manifest = place / "manifest.json"
    named = {"FRAISEQL_GUARD_TRUSTED_DOCUMENTS_FILE": str(manifest)}
    result = run("add", place / "me.graphql", place / "change.graphql", **named)
    assert result.exit_code == 0
    content = json.loads(manifest.read_text())
    assert (content["format"], content["version"]) == ("apollo-persisted-query-manifest", 1)
    expected = [
        {"id": sha(ME), "name": "Me", "type": "query", "body": ME},
        {"id": sha(CHANGE), "name": "Change", "type": "mutation", "body": CHANGE},
    ]
    assert content["operations"] == sorted(expected, key=lambda item: item["id"])
    lines = sorted([f"{sha(ME)}\tquery\tMe\tfile", f"{sha(CHANGE)}\tmutation\tChange\tfile"])
    assert run("list", **named).stdout.splitlines() == lines
    assert run("remove", place / "me.graphql", **named).exit_code == 0
    assert run("remove", sha(CHANGE), **named).exit_code == 0
    assert json.loads(manifest.read_text())["operations"] == []


def test_a_manifest_keeps_its_form_its_entries_and_its_permissions(place) -> None:
    manifest = place / "relay.json"
    manifest.write_text(json.dumps({"zz": "{z}", "aa": "{a}"}))
    manifest.chmod(0o640)
    assert run("add", place / "me.graphql", "--manifest", manifest).exit_code == 0
    content = json.loads(manifest.read_text())
    assert content == {"aa": "{a}", "zz": "{z}", sha(ME): ME}
    assert list(content) == sorted(content)
    assert manifest.stat().st_mode & 0o777 == 0o640
    before = manifest.read_bytes()
    run("add", place / "me.graphql", "--manifest", manifest)
    assert manifest.read_bytes() == before
    assert {each.name for each in place.iterdir()} == {"me.graphql", "change.graphql", "relay.json"}


def test_a_new_manifest_has_the_form_that_is_asked_for(place) -> None:
    manifest = place / "new.json"
    assert run("add", place / "me.graphql", "--manifest", manifest, "--form", "relay").exit_code == 0
    assert json.loads(manifest.read_text()) == {sha(ME): ME}


async def test_the_guard_trusts_what_was_added(place, guarded) -> None:
    manifest = place / "manifest.json"
    run("add", place / "me.graphql", "--manifest", manifest)
    guard = guarded(trusted_documents="require", trusted_documents_file=manifest)
    assert (await request(guard, body=json.dumps({"documentId": sha(ME)}).encode())).status == 200
    assert (await request(guard, body=json.dumps({"query": CHANGE}).encode())).status == 403


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["add", "{}/me.graphql"], "which documents?"),
        (["add", "{}/none.graphql", "--manifest", "{}/m.json"], "No such file"),
        (["add", "{}/bad.graphql", "--manifest", "{}/m.json"], "bad.graphql: it is not GraphQL: Syntax Error"),
        (["add", "{}/deep.graphql", "--manifest", "{}/m.json"], "nested too deeply"),
        (["add", "{}/fragment.graphql", "--manifest", "{}/m.json"], "it has no operation"),
        (["add", "{}/me.graphql", "--manifest", "{}/bad.graphql"], "it is not JSON"),
        (["list", "--manifest", "{}/m.json"], "No such file"),
        (["remove", "abc", "--manifest", "{}/empty.json"], "has no abc"),
        (["remove", "{}/empty.json", "--manifest", "{}/empty.json"], "empty.json names no document"),
        (["add", "{}/me.graphql", "--manifest", "{}/nowhere/m.json"], "No such file"),
        (["add", "{}/other.json", "--manifest", "{}/same.json"], "the id abc stands for two texts"),
        (["add", "{}/other.json", "{}/same.json", "--manifest", "{}/m.json"], "the id abc stands for two texts"),
        (["add", "{}/none.json", "--manifest", "{}/m.json"], "No such file"),
        (["list", "--manifest", "{}/m.json", "--url", "http://127.0.0.1/admin"], "two places"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(place, arguments, problem) -> None:
    (place / "bad.graphql").write_text("{")
    (place / "deep.graphql").write_text("{a" * 5000 + "}" * 5000)
    (place / "fragment.graphql").write_text("fragment F on T{a}")
    (place / "empty.json").write_text("{}")
    (place / "same.json").write_text(json.dumps({"abc": "{a}"}))
    (place / "other.json").write_text(json.dumps({"abc": "{b}"}))
    before = sorted(each.name for each in place.iterdir())
    result = run(*[argument.format(place) for argument in arguments])
    assert (result.exit_code, problem in result.stderr) == (2, True), result.stderr
    assert sorted(each.name for each in place.iterdir()) == before


def test_a_manifest_is_added_to_another_with_its_ids(place) -> None:
    built = {"format": "apollo-persisted-query-manifest", "version": 1,
             "operations": [{"id": "7", "name": "Me", "type": "query", "body": ME}]}  # fmt: skip
    (place / "built.json").write_text(json.dumps(built))
    manifest = place / "relay.json"
    manifest.write_text(json.dumps({"7": ME}))
    assert run("add", place / "built.json", place / "change.graphql", "--manifest", manifest).exit_code == 0
    assert json.loads(manifest.read_text()) == {"7": ME, sha(CHANGE): CHANGE}
    assert run("remove", place / "built.json", "--manifest", manifest).exit_code == 0
    assert json.loads(manifest.read_text()) == {sha(CHANGE): CHANGE}
    assert json.loads(run("list", "--json", "--manifest", manifest).stdout)[0]["query_hash"] == sha(CHANGE)


def test_a_link_to_a_manifest_stays_one(place) -> None:
    (place / "real.json").write_text("{}")
    (place / "link.json").symlink_to(place / "real.json")
    assert run("add", place / "me.graphql", "--manifest", place / "link.json").exit_code == 0
    assert (place / "link.json").is_symlink()
    assert json.loads((place / "real.json").read_text()) == {sha(ME): ME}


def test_a_manifest_that_cannot_be_written_leaves_nothing_behind(place) -> None:
    (place / "directory").mkdir()
    (place / "directory" / "x").touch()
    with pytest.raises(OSError):
        write_manifest(place / "directory", Manifest(ManifestForm.RELAY, {}))
    assert {each.name for each in place.iterdir()} == {"me.graphql", "change.graphql", "directory"}
