"""All documents of an app are measured as the guard measures them, wherever they and their fragments stand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from fraiseql_guard import Settings
from fraiseql_guard.operations.document_audit import AuditedOperation, DocumentAudit, audit_documents, operations_in

SETTINGS = Settings.load({}, max_query_depth=4, max_query_complexity=200)
SCHEMA = """
type Query { me: User users(first: Int): [User!]! }
type Mutation { rename(name: String!): User }
type User { id: ID! name: String friends(first: Int): [User!]! }
"""
MANY = "query Many { users(first: 50) { friends(first: 50) { id } } }"


def audited(folder: Path, files: Mapping[str, str], *named: str, **options: object) -> DocumentAudit:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    paths = [folder / name for name in named] or [folder]
    return audit_documents(operations_in(paths), SETTINGS, schema=SCHEMA, **options)  # type: ignore[arg-type]


def by_name(found: DocumentAudit) -> dict[str, AuditedOperation]:
    return {each.operation: each for each in found.operations}


def test_what_would_be_refused_comes_first_with_its_numbers(tmp_path: Path) -> None:
    found = audited(
        tmp_path, {"a.graphql": f"query Me {{ me {{ id }} }}\n{MANY}", "b.gql": "mutation R { rename(name: 1) { id } }"}
    )
    assert (found.operations[0].operation, found.operations[0].code) == ("Many", "QUERY_TOO_COMPLEX")
    assert (found.refused, found.unreadable, found.files) == (1, 0, 2)
    many = found.operations[0]
    assert (many.limit, many.path, many.place) == (200, "users.friends", f"{tmp_path / 'a.graphql'}:2")
    assert many.actual == many.complexity == many.limits["max_query_complexity"]
    assert found.largest["max_query_complexity"] == (many.actual, 200, "Many")


def test_fragments_are_found_in_other_files_and_by_other_fragments(tmp_path: Path) -> None:
    files = {
        "query.ts": "gql`query Me { me { ...Card } }`",
        "deep/card.tsx": "graphql(`fragment Card on User { id ...Friends }`)",
        "friends.graphql": "fragment Friends on User { friends(first: 3) { friends { friends(first: 2) { id } } } }",
    }
    me = by_name(audited(tmp_path, files))["Me"]
    assert (me.code, me.actual) == ("QUERY_TOO_DEEP", 5)


def test_a_fragment_that_is_nowhere_or_means_two_things_is_told_of(tmp_path: Path) -> None:
    files = {
        "a.graphql": "query Lost { me { ...Nowhere } }\nquery Torn { me { ...F } }",
        "b.graphql": "fragment F on User { id }",
        "c.graphql": "fragment F on User { name }",
        "d.graphql": "query Own { me { ...F } } fragment F on User { id name }",
        "same.graphql": "fragment G on User { id, # the same\n name }\nquery Same { me { ...G } }",
        "same2.graphql": "fragment G on User { id name }",
        "user.graphql": "query Uses { me { ...G } }",
    }
    found = by_name(audited(tmp_path, files))
    assert found["Lost"].detail == "no fragment Nowhere"
    assert "fragment F stands in several files" in found["Torn"].detail
    assert all(found[name].passes for name in ("Own", "Same", "Uses"))


@pytest.mark.parametrize("form", ["relay", "apollo"])
def test_manifests(tmp_path: Path, form: str) -> None:
    content: object = {"id1": MANY, "id2": "query Me { me { id } }"}
    if form == "apollo":
        operations = [{"id": id_, "name": "x", "type": "query", "body": MANY} for id_ in ("id1", "id2")]
        content = {"format": "apollo-persisted-query-manifest", "version": 1, "operations": operations}
    written = {
        "manifest.json": json.dumps(content, indent=1),
        "package.json": '{"name": "app"}',
        "de.json": '{"hello": "hallo"}',
    }
    for named in ((), ("manifest.json",)):
        found = audited(tmp_path, written, *named)
        assert found.refused == (1 if form == "relay" else 2)
        assert found.unreadable == 0
    with pytest.raises(ValueError, match=r"de\.json"):
        audited(tmp_path, {"de.json": "[1]"}, "de.json")


def test_what_the_compiler_of_relay_has_written_stands_for_the_source(tmp_path: Path) -> None:
    files = {
        "page.tsx": "graphql`query Page { me { ...Compiled_away @arguments(x: 1) } }`",
        "__generated__/Page.graphql.ts": '"params": {"text": ' + json.dumps("query Page { me { id } }") + "}",
    }
    found = audited(tmp_path, files)
    assert [(each.operation, each.passes) for each in found.operations] == [("Page", True)]
    assert "__generated__" in found.operations[0].place


def test_folders_of_others_types_of_a_schema_and_repeated_operations_are_left_out(tmp_path: Path) -> None:
    files = {
        "node_modules/x/a.graphql": MANY,
        ".cache/a.graphql": MANY,
        "dist/a.js": f"gql`{MANY}`",
        "schema.graphql": SCHEMA,
        "a.ts": "gql`query Me { me { id } }`",
        "generated.ts": "gql`\n  query Me {\n me { id } }\n`",
    }
    assert [each.operation for each in audited(tmp_path, files).operations] == ["Me"]


def test_unreadable_documents_do_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "latin.graphql").write_bytes(b"query \xe9 { me }")
    files = {"a.ts": "gql`query A { ${x} }`; gql`query B { me { id } }`", "b.graphql": "query { me {"}
    found = audited(tmp_path, files)
    assert (found.unreadable, found.refused) == (3, 0)
    assert by_name(found)["B"].passes
    assert all(each.detail for each in found.operations if not each.passes)


def test_variables_by_operation(tmp_path: Path) -> None:
    files = {"a.graphql": "query Users($n: Int) { users(first: $n) { friends(first: 5) { id } } }"}
    assert audited(tmp_path, files).refused == 0
    assert audited(tmp_path, files, variables={"Users": {"n": 100}}).refused == 1


def test_every_operation_of_a_document_is_measured_alone_with_its_own_fragments(tmp_path: Path) -> None:
    found = by_name(
        audited(tmp_path, {"a.graphql": f"{MANY}\nquery Small {{ me {{ id }} }}\nsubscription S {{ me {{ id }} }}"})
    )
    assert (found["Many"].passes, found["Small"].passes, found["Small"].complexity) == (False, True, 1)
