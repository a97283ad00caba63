"""GraphQL texts in program sources: what is found, and what is said of a text that only the running program knows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.operations.document_audit.tags import compiled_texts, python_texts, tagged_texts

DOCUMENT = "query Me { me { id } }"


@pytest.mark.parametrize(
    "source",
    [
        f"const q = gql`{DOCUMENT}`;",
        f"const q = gql<Me, Variables>`{DOCUMENT}`;",
        f"const q = graphql(`{DOCUMENT}`);",
        f"const q = graphql(/* GraphQL */ `{DOCUMENT}`);",
        f"const q = /* GraphQL */ `{DOCUMENT}`;",
        f"useQuery(gql\n  `{DOCUMENT}`)",
        f"<script>const q = gql`{DOCUMENT}`</script>",
    ],
)
def test_a_tagged_text_is_found(source: str) -> None:
    (found,) = tagged_texts(source)
    assert (found.text, found.fault) == (DOCUMENT, "")


@pytest.mark.parametrize(
    "source",
    [
        "const q = `query Me { me { id } }`;",
        "the `graphql` package, and `gql` in it",
        "mygql`{ me }`; this.gql`{ me }`; $gql`{ me }`",
        " * query: graphql`\n *   query Example { me }\n * `",
        "// const old = gql`{ me }`;",
        "graphql(schema, text)",
    ],
)
def test_what_is_no_document_is_left_alone(source: str) -> None:
    assert list(tagged_texts(source)) == []


def test_the_line_is_that_of_the_text() -> None:
    found = list(tagged_texts("\n\nconst a = gql`{ a }`;\n\nconst b = gql`\n{ b }`;"))
    assert [each.line for each in found] == [3, 5]


def test_fragments_that_are_put_in_between_definitions_are_left_to_where_they_stand() -> None:
    (found,) = tagged_texts("gql`query A { a { ...F } } ${F} ${fragments[`x${1}`].of({a: '}'})} query B { b }`")
    assert (" ".join(found.text.split()), found.fault) == ("query A { a { ...F } } query B { b }", "")


@pytest.mark.parametrize("hole", ["${field}", "...${Name}", "id ${cond ? `x { y }` : ''}"])
def test_what_is_put_into_a_selection_is_not_known_here(hole: str) -> None:
    (found,) = tagged_texts(f"gql`query A {{ a {{ {hole} }} }}`; gql`{{ b }}`".replace("; gql`{ b }`", ""))
    assert "when the program runs" in found.fault


def test_a_template_that_does_not_end_is_told_of() -> None:
    assert [each.fault for each in tagged_texts("gql`query A { a")] == ["it does not end"]


def test_escapes_are_read_as_the_program_reads_them() -> None:
    (found,) = tagged_texts(r'gql`{ a(text: "\\n") b(text: "\`") }`')
    assert found.text == r'{ a(text: "\n") b(text: "`") }'


@given(st.text(alphabet="`${}\\'\"gql \n", max_size=60))
def test_whatever_a_source_holds_the_search_ends(source: str) -> None:
    assert all(0 < each.line <= source.count("\n") + 1 for each in tagged_texts(source))


def test_python_texts() -> None:
    source = 'Q = gql("""\nquery A { a }\n""")\nR = gql(\n    \'\'\'{ b }\'\'\')\nnot_gql("""{ c }""")'
    assert [(each.text.strip(), each.line) for each in python_texts(source)] == [("query A { a }", 1), ("{ b }", 5)]


def test_what_the_compiler_of_relay_has_written() -> None:
    params = f'{{ "name": "Me", "text": {json.dumps(DOCUMENT)} }}'
    artifact = f'"params": {params}, "hash": {{ "text": "no document" }}, "text": null'
    assert [each.text for each in compiled_texts(artifact)] == [DOCUMENT]
