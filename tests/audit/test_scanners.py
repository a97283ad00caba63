"""What security scanners for GraphQL try, against the guarded Starlette example with the defaults.

Sources: the checks that graphql-cop and the OWASP GraphQL cheat sheet describe, written anew. A probe must be refused
with the code of its own reason: a scanner that was merely blocked for what it sent before would find nothing either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.support.processes import STARLETTE, Server

INTROSPECTION = "{__schema{queryType{name}types{name fields{name args{name}}}}}"
CIRCULAR = "{__schema{types{fields{type{fields{type{fields{type{fields{type{name}}}}}}}}}}}"
MUTATION = 'mutation{createPost(input:{authorId:"user-1",title:"x",body:"y"}){id}}'
QUERY = "{__typename}"
IDES = ("graphiql", "playground", "altair", "apollo sandbox", "voyager")
TRACES = ("traceback", "stacktrace", "tracing", 'file "', ".py", "ftv1")


def aliases(field: str) -> str:
    return " ".join(f"a{number}:{field}" for number in range(101))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(STARLETTE, tmp_path_factory.mktemp("scanned")) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        yield client


def ask(client: httpx.Client, query: str, **more: Any) -> httpx.Response:
    return client.post("/graphql", json={"query": query}, **more)


def code_of(answer: httpx.Response) -> str:
    return answer.json()["errors"][0]["extensions"]["code"]


def test_the_scanner_reaches_the_app_at_all(client):
    assert ask(client, QUERY).json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        pytest.param("{" + aliases("__typename") + "}", "TOO_MANY_ROOT_FIELDS TOO_MANY_ALIASES", id="aliases"),
        pytest.param('{user(id:"1"){' + aliases("id") + "}}", "TOO_MANY_ALIASES", id="aliases below"),
        pytest.param("{" + "__typename " * 500 + "}", "TOO_MANY_ROOT_FIELDS TOO_MANY_DUPLICATE_KEYS", id="duplicates"),
        pytest.param('{user(id:"1"){' + "id " * 500 + "}}", "TOO_MANY_DUPLICATE_KEYS", id="duplicates below"),
        pytest.param("{__typename" + "@skip(if:false)" * 101 + "}", "TOO_MANY_DIRECTIVES", id="directives"),
        pytest.param("{...A}fragment A on Query{...B}fragment B on Query{...A}", "GRAPHQL_INVALID", id="fragments"),
        pytest.param('{user(id:"1")' + "{invitedBy" * 20 + "{id}" + "}" * 21, "QUERY_TOO_DEEP", id="nesting"),
        pytest.param(INTROSPECTION, "INTROSPECTION_DENIED", id="introspection"),
        pytest.param(CIRCULAR, "INTROSPECTION_DENIED INTROSPECTION_TOO_DEEP", id="circular introspection"),
        pytest.param('{__type(name:"User"){fields{name}}}', "INTROSPECTION_DENIED", id="introspection of a type"),
        pytest.param("{__schema\n{types{name}}}", "INTROSPECTION_DENIED", id="introspection behind a line break"),
        pytest.param("{__schema{directive}}", "INTROSPECTION_DENIED", id="suggestions of the introspection"),
    ],
)  # fmt: skip
def test_overloading_and_introspection_are_refused(client, query, codes):
    answer = ask(client, query)
    assert answer.status_code == 400
    assert code_of(answer) in codes.split()
    assert "data" not in answer.json()
    assert "did you mean" not in answer.text.lower()


def test_a_directive_that_nobody_knows_is_refused_before_the_app(client):
    answer = ask(client, "{__typename" + "@aa" * 10 + "}")
    assert len(answer.json()["errors"]) == 1


@pytest.mark.parametrize("query", ["{usr{id}}", "{...on Usr{id}}", "query($x:Strin){__typename}"])
def test_no_name_of_the_schema_is_suggested(client, query):
    assert "did you mean" not in ask(client, query).text.lower()


def test_batches_are_refused(client):
    answer = client.post("/graphql", json=[{"query": QUERY}] * 11)
    assert (answer.status_code, code_of(answer)) == (400, "BATCHING_DISABLED")


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        pytest.param({"method": "GET", "params": {"query": MUTATION}}, 405, "MUTATION_BY_GET", id="mutation by GET"),
        pytest.param({"method": "HEAD", "params": {"query": MUTATION}}, 405, None, id="mutation by HEAD"),
        pytest.param({"method": "POST", "data": {"query": QUERY}}, 415, "UNSUPPORTED_MEDIA_TYPE", id="query by form"),
        pytest.param(
            {"method": "POST", "data": {"query": MUTATION}}, 415, "UNSUPPORTED_MEDIA_TYPE", id="mutation by form"
        ),
        pytest.param(
            {"method": "POST", "params": {"query": QUERY}}, 415, "UNSUPPORTED_MEDIA_TYPE", id="query in the URL"
        ),
        pytest.param(
            {"method": "POST", "params": {"query": QUERY}, "json": {}}, 400, "BAD_REQUEST", id="query in the URL, JSON"
        ),
        pytest.param(
            {"method": "POST", "content": b'{"query":"{__typename}"}', "headers": {"content-type": "text/plain"}},
            415, "UNSUPPORTED_MEDIA_TYPE", id="text",
        ),
        pytest.param(
            {"method": "POST", "files": {"operations": (None, '{"query":"{__typename}"}')}},
            415, "UNSUPPORTED_MEDIA_TYPE", id="multipart",
        ),
        pytest.param({"method": "PUT", "json": {"query": QUERY}}, 405, "METHOD_NOT_ALLOWED", id="query by PUT"),
    ],
)  # fmt: skip
def test_forms_that_a_foreign_page_can_send_are_refused(client, request_: Mapping[str, Any], status, code):
    answer = client.request(url="/graphql", **request_)
    assert answer.status_code == status
    assert code is None or code_of(answer) == code


def test_a_query_by_get_is_refused_to_a_foreign_page(client):
    """Queries by GET are part of GraphQL over HTTP. Scanners that merely ask for one call it possible CSRF."""
    foreign = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}
    answer = client.get("/graphql", params={"query": QUERY}, headers=foreign)
    assert (answer.status_code, code_of(answer)) == (400, "CROSS_SITE_REQUEST")
    assert client.get("/graphql", params={"query": QUERY}).status_code == 200


@pytest.mark.parametrize("path", ["/graphql", "/graphiql", "/graphql/graphiql", "/playground", "/console", "/altair"])
def test_no_ide_is_shown(client, path):
    answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code in (400, 404)
    assert not [name for name in IDES if name in answer.text.lower()]


@pytest.mark.parametrize("header", ["x-apollo-tracing", "apollo-federation-include-trace", "x-debug"])
def test_nothing_is_traced(client, header):
    answer = client.post("/graphql", json={"query": QUERY, "extensions": {"tracing": True}}, headers={header: "ftv1"})
    assert answer.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("qwerty scan { abc }", None),
        ("{", None),
        ('{postsConnection(after:"no cursor"){totalCount}}', None),
        ("{users(limit:1,offset:-1){id}}", None),
        ("query($n:Int){users(limit:$n){id}}", {"n": {"a": []}}),
        ("query($i:CreatePostInput!){createPost(input:$i){id}}", {"i": {"__proto__": {}}}),
        ("{user(id:1e999){id}}", None),
    ],
)
def test_errors_show_nothing_of_the_inside(client, query, variables):
    answer = client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code < 500
    assert not [word for word in TRACES if word in answer.text.lower()]
    assert all("exception" not in error.get("extensions", {}) for error in answer.json()["errors"])


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"\xff\xfe{", b'{"query":{}}', b'{"query":"{a}","variables":[[]]}']
)
def test_bodies_that_are_no_request_are_refused_quietly(client, body):
    answer = client.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert not [word for word in TRACES if word in answer.text.lower()]


def test_no_header_tells_what_runs_here_but_the_server(client):
    answer = ask(client, "{")
    assert not {"x-powered-by", "via", "x-debug"} & set(answer.headers)
    assert "python" not in answer.headers.get("server", "").lower()
