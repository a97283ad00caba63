"""Whatever way a path is written, it is the path that the settings name."""

from urllib.parse import quote

import pytest

from fraiseql_guard.asgi.paths import PathTable
from fraiseql_guard.core.place import OwnPage, Place
from fraiseql_guard.core.settings import Settings


def scope(path: str, raw: bytes | None = None, root: str = "") -> dict:
    return {"type": "http", "path": path, "raw_path": raw, "root_path": root}


def place(given: dict, *, admin: bool = False, **options: object) -> Place:
    return PathTable(Settings.load(environ={}, **options), admin=admin).place(given)


SPELLINGS = [
    scope("/graphql"),
    scope("/graphql/"),
    scope("/graphql/rust"),
    scope("//graphql"),
    scope("/./graphql"),
    scope("/x/../graphql"),
    scope("/x/..;/graphql"),
    scope("/graphql;v=1"),
    scope("/\\graphql"),
    scope("/other", b"/%67raphql"),
    scope("/%67raphql"),
    scope("/%2567raphql"),
    scope("/graphql%2F"),
    scope("/graphql ", b"/graphql%20"),
    scope("/graphql\n", b"/graphql%0A"),
    scope("/graphql?", b"/graphql%3F"),
    scope("/other", b"/graphql?query=x"),
    scope("graphql", b"graphql"),
    scope("http://host/graphql", b"http://host/graphql"),
    scope("HTTPS://user@host:1/graphql"),
    scope("//host/graphql"),
    scope("/api/graphql", b"/api/graphql", "/api"),
    scope("/graphql", b"/api/graphql", "/api"),
    scope("/graphql", b"/graphql", "/api/"),
    scope("/v1graphql", b"graphql", "/v1"),
    scope("/v1http://host/graphql", b"http://host/graphql", "/v1"),
    scope("/svc/api/graphql", None, "/svc/api"),
    scope("/svc//api/graphql", None, "/svc/api"),
]


@pytest.mark.parametrize("given", SPELLINGS, ids=lambda each: f"{each['path']!r} {each['root_path']}")
def test_every_reading_of_a_guarded_path_is_guarded(given: dict) -> None:
    found = place(given)
    assert (found.graphql, found.needs_token, found.endpoint) == ("/graphql", True, "/graphql")


@pytest.mark.parametrize("given", SPELLINGS, ids=lambda each: f"{each['path']!r} {each['root_path']}")
def test_every_other_configured_path_is_read_alike(given: dict) -> None:
    found = place(
        given, graphql_paths="/query", auth_paths="/graphql", metrics_path="/graphql", admin_path="/graphql", admin=True
    )
    assert found.needs_token
    assert found.below_admin is not None
    assert found.page is (None if given["path"].endswith("/rust") else OwnPage.METRICS)


def test_a_mount_may_be_named_with_its_outer_mounts_or_without() -> None:
    mounted = scope("/svc/api/graphql", None, "/svc/api")
    for named in ("/graphql", "/api/graphql", "/svc/api/graphql"):
        assert place(mounted, graphql_paths=named).graphql == named


@pytest.mark.parametrize("path", ["/", "/graphq", "/graphqlx", "/health", "/graphql.js", "/api/graphql", ""])
def test_other_paths_are_not_guarded(path: str) -> None:
    assert place(scope(path, path.encode())).graphql is None


def test_a_slash_alone_guards_everything() -> None:
    assert place(scope("/anything"), graphql_paths="/").graphql == "/"


@pytest.mark.parametrize("control", ["\n", "\r", "\x00", "\x1f", "\x7f", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("path", ["/graphql{}", "/page{}", "/a{}b", "{}"])
def test_a_control_character_makes_a_path_malformed(path: str, control: str) -> None:
    assert "control character" in place(scope(path.format(control))).malformed
    if control.isascii():
        assert "control character" in place(scope("/page", path.format(f"%{ord(control):02x}").encode())).malformed


@pytest.mark.parametrize("path", ["/caf\xe9", "/\u4e2d\u6587", "/100%0A", "/a b", "/\U0001f600", "/a+b&c=d'(e)"])
def test_other_characters_do_not(path: str) -> None:
    assert place(scope(path, quote(path).encode())).malformed == ""


def test_a_query_string_is_no_part_of_the_path() -> None:
    found = place(scope("/graphql", b"/graphql?query=%7Bme%0A%7Bid%7D%7D" + b"a" * 30_000))
    assert (found.graphql, found.malformed) == ("/graphql", "")
    assert place(scope("/page", b"/page?to=/graphql")).graphql is None


def test_a_path_of_8000_characters_is_read_and_a_longer_one_is_malformed() -> None:
    assert place(scope("/" + "a" * 7_999)).malformed == ""
    assert place(scope("/" + "a" * 7_985 + "/../graphql")).graphql == "/graphql"
    assert place(scope("/" + "a" * 8_000)).malformed == "it is longer than 8000 characters"
    assert place(scope("/page", b"/" + b"%2e/" * 8_000)).malformed


def test_what_can_be_read_in_too_many_ways_is_malformed() -> None:
    assert "too many ways" in place(scope("/v" * 200 + "/graphql", None, "/v")).malformed


@pytest.mark.parametrize("root", ["", "/svc", "/svc/"])
def test_exempt_paths_and_pages_are_found_under_a_root_path(root: str) -> None:
    for path, page in (("/health", OwnPage.ALIVE), ("/ready", None), ("/metrics", OwnPage.METRICS)):
        for written in (path, root.rstrip("/") + path):
            found = place(scope(written, None, root))
            assert (found.exempt, found.page, found.endpoint) == (True, page, path)
    assert place(scope(f"{root.rstrip('/')}/health/detailed", None, root)).page is OwnPage.HEALTH


@pytest.mark.parametrize(
    "path", ["/x/../health", "//health", "/%68ealth", "/health;x", "/health/../private", "/health/x"]
)
def test_no_spelling_makes_another_path_free(path: str) -> None:
    found = place(scope(path))
    assert not found.exempt
    assert found.endpoint == "unknown"


def test_operators_find_their_routes_under_the_plain_readings_alone() -> None:
    assert place(scope("/admin/blocks"), admin=True).below_admin == "/blocks"
    assert place(scope("/svc/admin", None, "/svc"), admin=True).below_admin == ""
    assert place(scope("/x/../admin/blocks"), admin=True).below_admin == "//"
    assert place(scope("/administration"), admin=True).below_admin is None
    assert place(scope("/admin/blocks")).below_admin is None


def test_endless_different_paths_do_not_fill_the_memory() -> None:
    table = PathTable(Settings.load(environ={}))
    for number in range(5_000):
        assert table.place(scope(f"/page/{number}")).graphql is None
        assert table.place(scope(f"/graphql/{number}")).graphql == "/graphql"
    assert table.remembered <= 1024
