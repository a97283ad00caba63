"""What is published: the archives hold what users need, and the base alone guards an app.

All in one file: building takes seconds, and a file is one worker's.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from email.message import Message
from email.parser import BytesParser
from hashlib import sha256
from pathlib import Path

import pytest
from readme_renderer import markdown

from fraiseql_guard.core.extras import Extra
from tests.support.installed import PROJECT, ROOT, Archives, Installation

HOME = "https://github.com/fraiseql/fraiseql-guard"
MOST_PACKAGES = 12
SECRET = "a-secret-of-thirty-two-bytes-or-more-0123456789"
GRAPHQL_APP = """
import asyncio, json, sys
from fraiseql_guard import Guard

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    user = getattr(scope.get("user"), "display_name", None)
    await send({"type": "http.response.body", "body": json.dumps({"user": user}).encode()})

async def ask(app, *headers):
    body, sent = b'{"query": "{ a }"}', []
    head = [(b"host", b"x"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
             "path": "/graphql", "raw_path": b"/graphql", "query_string": b"", "root_path": "", "headers": head,
             "client": ("203.0.113.1", 50000), "server": ("x", 80)}
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    async def receive():
        return messages.pop() if messages else await asyncio.sleep(60)
    async def send(message):
        sent.append(message)
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])
"""
"""A program that guards an app and asks it; what it shall print is added."""
NEVER_IMPORTED = (
    *("redis", "hiredis", "joserfc", "cryptography", "httpx", "graphql", "yaml", "typer", "fraiseql", "pytest"),
    *("fraiseql_guard.cli", "fraiseql_guard.testing", "fraiseql_guard.fraiseql", "fraiseql_guard.stores.redis"),
    *("fraiseql_guard.operations.http", "fraiseql_guard.operations.runbooks", "fraiseql_guard.operations.log_analysis"),
    *("fraiseql_guard.operations.document_audit", "fraiseql_guard.operations.explain"),
    *("fraiseql_guard.operations.operator.interface", "fraiseql_guard.operations.operator.store_operator"),
    *("fraiseql_guard.operations.tuning.advice", "fraiseql_guard.operations.tuning.result"),
    *("fraiseql_guard.operations.fleet.overrides_file", "fraiseql_guard.operations.fleet.rules_file"),
    *("fraiseql_guard.identity.keys", "fraiseql_guard.identity.key_material", "fraiseql_guard.identity.jwks_url"),
    *("fraiseql_guard.identity.api_keys_file", "fraiseql_guard.identity.api_key_verifier"),
    *("fraiseql_guard.identity.tokens", "fraiseql_guard.identity.verifier", "fraiseql_guard.identity.user_status"),
    *("fraiseql_guard.asgi.async_authentication", "fraiseql_guard.checks.authentication"),
    *("fraiseql_guard.graphql.cost.schema", "fraiseql_guard.core.yaml_reader"),
    *("fraiseql_guard.graphql.documents.trusted", "fraiseql_guard.graphql.documents.manifests"),
    *("fraiseql_guard.graphql.documents.registrations", "fraiseql_guard.stores.documents_watch"),
    *("fraiseql_guard.stores.failover", "fraiseql_guard.stores.breaker", "fraiseql_guard.asgi.refusal_template"),
    *("fraiseql_guard.graphql.http.multipart", "fraiseql_guard.asgi.sockets.streams"),
    *("fraiseql_guard.asgi.sockets.conversation", "fraiseql_guard.asgi.sockets.other"),
)
"""Modules that a guard without keys, Redis, schema, operators, files, sockets and uploads does not use, and all inside
of them."""


# --- the archives ----------------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_whole_package_and_nothing_else(archives: Archives):
    with zipfile.ZipFile(archives.wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        described = {name.partition(".dist-info/")[2] for name in archive.namelist() if ".dist-info/" in name}
    assert found == package_files()
    assert {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"} == described


@pytest.mark.parametrize(
    "needed",
    [
        "fraiseql_guard/py.typed",
        "fraiseql_guard/stores/redis/lua/admit.lua",
        "fraiseql_guard/operations/http/console/index.html",
        "fraiseql_guard/operations/runbooks/alerts/the-guard-itself.yml",
        "fraiseql_guard/operations/runbooks/grafana/fraiseql-ops.json",
    ],
)
def test_what_is_no_code_is_published_too(archives: Archives, needed: str):
    with zipfile.ZipFile(archives.wheel) as archive:
        assert archive.getinfo(needed).file_size == (ROOT / needed).stat().st_size


def test_the_sdist_holds_what_the_wheel_is_built_from(archives: Archives):
    with tarfile.open(archives.sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    beside = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert found == package_files() | beside


def test_the_metadata_says_where_everything_is(archives: Archives):
    metadata = metadata_of(archives)
    urls = dict(each.split(", ") for each in metadata.get_all("Project-URL", []))
    assert set(urls) == {"Repository", "Documentation", "Changelog", "Issues"}
    assert all(url == HOME or url.startswith(f"{HOME}/") for url in urls.values())
    assert metadata["Version"] == "0.1.0"
    assert metadata["License-Expression"] == "MIT"


def test_all_brings_what_the_extras_of_the_guard_bring(archives: Archives):
    found = requirements_of(archives)
    assert found["all"] == found["cli"] | found["redis"] | found["jwt"]
    assert found[""] == {"graphql-core", "orjson", "prometheus-client", "pyyaml", "starlette", "structlog"}


@pytest.mark.parametrize("extra", Extra)
def test_a_missing_extra_is_told_by_the_packages_that_it_brings(archives: Archives, extra: Extra):
    assert requirements_of(archives)[extra.value] == set(extra.packages)


def test_the_package_index_renders_the_readme_without_a_warning():
    warnings = io.StringIO()
    page = markdown.render((ROOT / "README.md").read_text(encoding="utf-8"), stream=warnings)
    assert page is not None
    assert "<h1" in page
    assert warnings.getvalue() == ""


# --- the base --------------------------------------------------------------------------------------------------------


def test_the_base_is_few_packages(base: Installation):
    names = base.printed(
        "import json; from importlib.metadata import distributions as all_of; "
        "print(json.dumps([each.name for each in all_of()]))"
    )
    assert "fraiseql-guard" in names
    assert len(names) <= MOST_PACKAGES, names


def test_the_base_limits_requests(base: Installation):
    code = """
guard = Guard(app, rate_limit_default="2/minute", rate_limit_burst=0)
async def main():
    return [(await ask(guard))[0] for _ in range(3)]
print(json.dumps(asyncio.run(main())))
"""
    assert base.printed(GRAPHQL_APP + code) == [200, 200, 429]


def test_the_base_knows_api_keys(base: Installation):
    code = """
from hashlib import sha256
from fraiseql_guard import ApiKey
key = "a-key-of-a-partner-0123456789"
async def known(digest):
    return ApiKey(name="partner") if digest == sha256(key.encode()).hexdigest() else None
guard = Guard(app, api_keys=known)
async def main():
    return [await ask(guard, (b"authorization", b"Bearer " + each.encode())) for each in (key, key[::-1])]
(status, answer), (refused, _) = asyncio.run(main())
print(json.dumps([status, answer["user"], refused]))
"""
    assert base.printed(GRAPHQL_APP + code) == [200, "partner", 401]


def test_the_base_reads_api_keys_in_a_file(base: Installation, tmp_path: Path):
    file = tmp_path / "keys.yml"
    file.write_text(f"- {{sha256: '{sha256(SECRET.encode()).hexdigest()}', name: partner}}\n", encoding="utf-8")
    code = f"""
authorization = (b"authorization", b"Bearer {SECRET}")
print(json.dumps(asyncio.run(ask(Guard(app), authorization))))
"""
    assert base.printed(GRAPHQL_APP + code, FRAISEQL_GUARD_API_KEYS_FILE=str(file)) == [200, {"user": "partner"}]


def test_a_guard_imports_nothing_that_it_does_not_use(everything: Installation):
    code = """
status, _ = asyncio.run(ask(Guard(app)))
print(json.dumps([status, sorted(sys.modules)]))
"""
    status, modules = everything.printed(GRAPHQL_APP + code)
    assert status == 200
    assert [
        each for each in modules if any(each == name or each.startswith(f"{name}.") for name in NEVER_IMPORTED)
    ] == []
    assert "fraiseql_guard.checks.rate_limits" in modules


def test_importing_the_package_loads_no_guard(everything: Installation):
    modules = everything.printed("import json, sys, fraiseql_guard; print(json.dumps(sorted(sys.modules)))")
    ours = [each for each in modules if each.startswith("fraiseql_guard")]
    assert ours == ["fraiseql_guard", "fraiseql_guard.core", "fraiseql_guard.core.first_use"]


def test_the_plugin_of_pytest_loads_no_guard(everything: Installation):
    code = "import json, sys, fraiseql_guard.testing.plugin; print(json.dumps(sorted(sys.modules)))"
    ours = [each for each in everything.printed(code) if each.startswith("fraiseql_guard.")]
    assert [each for each in ours if not each.startswith(("fraiseql_guard.testing", "fraiseql_guard.core"))] == []
    assert "fraiseql_guard.testing.probe" not in ours


@pytest.mark.parametrize("package", ["fraiseql_guard", "fraiseql_guard.testing"])
def test_every_public_name_is_there(everything: Installation, package: str):
    code = f"""
import json, {package} as package
missing = [name for name in package.__all__ if not hasattr(package, name)]
print(json.dumps([missing, len(package.__all__), hasattr(package, "no_such_name")]))
"""
    missing, count, unknown = everything.printed(code)
    assert missing == []
    assert count > 0
    assert not unknown


# --- what is missing is told in one sentence --------------------------------------------------------------------------

MOUNT = "from fraiseql_guard import Guard; Guard(lambda *_: None)"
TOKENS = 'needs the packages joserfc, cryptography, httpx: pip install "fraiseql-guard[jwt]"'


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "FRAISEQL_REDIS_URL",
            f"redis://:{SECRET}@127.0.0.1:6379/0",
            'FRAISEQL_REDIS_URL needs the package hiredis: pip install "fraiseql-guard[redis]"',
        ),
        ("FRAISEQL_JWT_SECRET", SECRET, f"FRAISEQL_JWT_SECRET {TOKENS}"),
        ("FRAISEQL_GUARD_JWKS_FILE", "jwks.json", f"FRAISEQL_GUARD_JWKS_FILE {TOKENS}"),
        ("FRAISEQL_GUARD_JWKS_URL", "https://issuer.example/jwks", f"FRAISEQL_GUARD_JWKS_URL {TOKENS}"),
    ],
)
def test_a_variable_that_needs_an_extra_stops_the_start(base: Installation, variable: str, value: str, sentence: str):
    done = base.run("-c", MOUNT, **{variable: value})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"fraiseql_guard.core.variables.SettingsError: {sentence}"
    assert SECRET not in done.stderr


def test_tokens_for_tests_need_an_extra(base: Installation):
    done = base.run("-c", f"from fraiseql_guard.testing import make_token; make_token({SECRET!r}, sub='ada')")
    assert done.stderr.splitlines()[-1].endswith(f"SettingsError: make_token {TOKENS}")
    assert SECRET not in done.stderr.splitlines()[-1]


def test_the_part_for_fraiseql_needs_it(base: Installation):
    done = base.run("-c", "from fraiseql_guard.fraiseql import protect")
    assert done.stderr.splitlines()[-1] == (
        "ImportError: fraiseql_guard.fraiseql needs the package fraiseql: pip install --only-binary fraiseql "
        '"fraiseql-guard[fraiseql]" on CPython 3.13, which FraiseQL 1.9 is for'
    )


def test_the_command_needs_an_extra(base: Installation):
    done = base.run("-m", "fraiseql_guard", "status")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        'The command fraiseql-guard needs the packages typer, rich, httpx: pip install "fraiseql-guard[cli]"\n'
    )


def test_the_script_is_the_module(everything: Installation):
    assert PROJECT["scripts"] == {"fraiseql-guard": "fraiseql_guard.__main__:main"}
    assert everything.run("-m", "fraiseql_guard", "--version").stdout == f"{PROJECT['version']}\n"


# --- helpers ---------------------------------------------------------------------------------------------------------


def package_files() -> set[str]:
    """All files of the package but what Python makes itself."""
    found = (path for path in (ROOT / "fraiseql_guard").rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts}


def metadata_of(archives: Archives) -> Message:
    """The wheel's metadata."""
    with zipfile.ZipFile(archives.wheel) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


def requirements_of(archives: Archives) -> dict[str, set[str]]:
    """The names of the required packages by extra; those of the base under an empty name."""
    found: dict[str, set[str]] = {}
    for each in metadata_of(archives).get_all("Requires-Dist", []):
        requirement, _, marker = each.partition(";")
        extra = marker.partition("extra == '")[2].rstrip("'")
        found.setdefault(extra, set()).add(re.split(r"[<>=!~\[ ]", requirement)[0])
    return found
