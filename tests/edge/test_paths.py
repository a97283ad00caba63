"""Whatever way a GraphQL path is written, it is a GraphQL path."""

import pytest

from fraiseql_guard.edge.paths import GraphQLPaths


def scope(path: str, raw: bytes | None = None, root: str = "") -> dict:
    return {"path": path, "raw_path": raw, "root_path": root}


@pytest.mark.parametrize(
    "given",
    [
        scope("/graphql"),
        scope("/graphql/"),
        scope("/graphql/rust"),
        scope("//graphql"),
        scope("/./graphql"),
        scope("/x/../graphql"),
        scope("/graphql;v=1"),
        scope("/\\graphql"),
        scope("/other", b"/%67raphql"),
        scope("/%67raphql"),
        scope("/%2567raphql"),
        scope("/graphql%2F"),
        scope("/other", b"/graphql?query=x"),
        scope("/api/graphql", b"/api/graphql", "/api"),
        scope("/graphql", b"/api/graphql", "/api"),
    ],
)
def test_every_reading_of_a_guarded_path_is_guarded(given: dict) -> None:
    assert GraphQLPaths(["/graphql"]).match(given) == "/graphql"


@pytest.mark.parametrize("path", ["/", "/graphq", "/graphqlx", "/health", "/graphql.js", "/api/graphql", ""])
def test_other_paths_are_not_guarded(path: str) -> None:
    assert GraphQLPaths(["/graphql"]).match(scope(path, path.encode())) is None


def test_a_slash_alone_guards_everything() -> None:
    assert GraphQLPaths(["/"]).match(scope("/anything")) == "/"


def test_endless_different_paths_do_not_fill_the_memory() -> None:
    paths = GraphQLPaths(["/graphql"])
    for number in range(5_000):
        assert paths.match(scope(f"/page/{number}")) is None
        assert paths.match(scope(f"/graphql/{number}")) == "/graphql"
    assert len(paths._known) <= 1024
