"""The examples of deployment run: their command lines and variables, on a real PostgreSQL and Redis, read-only."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fraiseql_guard.testing import make_token
from tests.docs.shell import commands
from tests.support.deployed_app import DEPLOY, DeployedApp, Image
from tests.support.deployments import (
    compose,
    image_command,
    image_environment,
    make_secrets,
    unit_command,
    unit_environment,
)
from tests.support.pages import blocks
from tests.support.ports import free_port
from tests.support.processes import needs_fraiseql
from tests.support.redis_server import RedisServer
from tests.support.waiting import until_now

pytestmark = needs_fraiseql

FROM_A_PROXY = {"X-Forwarded-For": "203.0.113.9"}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("deployment") / "secrets")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return compose(tmp_path_factory.mktemp("compose") / "deploy")["services"]


@pytest.fixture(scope="module")
def database(secrets: Path, image: Image) -> Iterator[Path]:
    """The socket of a PostgreSQL with the schema of compose.yaml; the app's secret says where the app sees it."""
    import psycopg

    from examples.fraiseql_blog.database import running_database

    with running_database() as url:
        (folder,) = parse_qs(urlsplit(url).query)["host"]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE deployed")
        with psycopg.connect(host=folder, user="postgres", dbname="deployed") as connection:
            connection.execute((DEPLOY / "app" / "schema.sql").read_bytes())
        seen = f"postgresql://postgres:@/deployed?host={image.folder / 'run'}"
        (secrets / "fraiseql_database_url").write_text(seen)
        yield Path(folder) / ".s.PGSQL.5432"


@pytest.fixture(scope="module")
def redis(secrets: Path, services: dict[str, Any]) -> Iterator[RedisServer]:
    """A Redis with the command line of compose.yaml; the app's secret says where it is."""
    command = [word.replace("/run/secrets", str(secrets)) for word in services["redis"]["command"]]
    with RedisServer(*command[1:]) as server:
        url = (secrets / "redis_url").read_text().replace("redis:6379", f"127.0.0.1:{server.port}")
        (secrets / "redis_url").write_text(url)
        yield server


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    made = Image(tmp_path_factory.mktemp("image"))
    made.build()
    return made


def of_compose(services: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    return image_command(), {**image_environment(), **services["app"]["environment"]}


def of_systemd(services: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    return unit_command(), unit_environment()


def placed(words: list[str], image: Image, port: int) -> list[str]:
    """A command line with the folders and the port of a test."""
    folders = {"/opt/blog/venv/bin/gunicorn": "gunicorn", "/opt/blog": str(image.app), ":8000": f":{port}"}
    for old, new in folders.items():
        words = [word.replace(old, new) for word in words]
    return (
        words if any(str(port) in word for word in words) else [*words[:-1], "--bind", f"127.0.0.1:{port}", words[-1]]
    )


@pytest.fixture(scope="module", params=[of_compose, of_systemd], ids=["compose", "systemd"])
def app(request, image, secrets, services, database, redis) -> Iterator[DeployedApp]:
    command, environment = request.param(services)
    port = free_port()
    shutil.rmtree(image.folder / "run", ignore_errors=True)
    app = DeployedApp(image, placed(command, image, port), environment, port, secrets, database)
    with app.running():
        yield app
    assert "READY=1" in "".join(app.told)


def test_redis_evicts_nothing_and_has_a_user_for_the_guard_s_keys_alone(redis: RedisServer, secrets: Path) -> None:
    import redis as client

    with client.Redis.from_url((secrets / "redis_url").read_text().strip()) as guard:
        assert guard.info("memory")["maxmemory_policy"] == "noeviction"
        assert guard.set("blog:test", "1", ex=1)
        for refused in (("SET", "other:key", "1"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*")):
            with pytest.raises(client.exceptions.NoPermissionError):
                guard.execute_command(*refused)
    assert redis.ask("GET", "blog:test").startswith(b"-NOAUTH")
    with client.Redis(port=redis.port, username="health", password="none") as health:
        assert health.ping()


def test_it_is_ready_and_answers(app: DeployedApp) -> None:
    assert app.get("/ready").json()["checks"] == {"database": "ok", "schema": "ok"}
    answer = app.ask("{ posts(limit: 1) { title } }")
    assert answer.status_code == 200
    assert [post["title"] for post in answer.json()["data"]["posts"]] == ["A second post"]


def test_nothing_is_refused_at_first_and_what_would_be_is_counted(app: DeployedApp) -> None:
    assert app.ask("{ posts(limit: 100000) { title } }").status_code == 200
    token = make_token((app.secrets / "jwt_secret").read_text().strip(), sub="ada")
    assert app.ask("{ posts { id } }", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    lines = [line for line in app.log_lines() if line["context"].get("enforced") is False]
    assert {line["event"] for line in lines} >= {"graphql.expensive_query", "security.auth_failure"}


def test_metrics_need_the_token_behind_a_proxy(app: DeployedApp) -> None:
    assert app.get("/metrics", **FROM_A_PROXY).status_code == 403
    token = (app.secrets / "metrics_token").read_text().strip()
    page = app.get("/metrics", Authorization=f"Bearer {token}", **FROM_A_PROXY)
    assert page.status_code == 200
    assert "fraiseql_guard_requests_total" in page.text


def test_the_checks_after_a_deployment_answer(app: DeployedApp) -> None:
    (block,) = (block for block in blocks("docs/deployment.md", "sh") if "curl" in block)
    for command in commands(block):
        done = app.run(*shlex.split(command.text.replace("127.0.0.1:8000", f"127.0.0.1:{app.port}")))
        assert done.returncode == 0, done.stdout + done.stderr
        if "detailed" in command.text:
            assert json.loads(done.stdout)["findings"] == []
    # The last one is `fraiseql-guard status`. The page was answered once the first worker was there.
    workers = f"{app.environment['WEB_CONCURRENCY']} workers"
    until_now(lambda: workers in app.run(*shlex.split(command.text)).stdout)


def test_nothing_deserves_a_warning(app: DeployedApp) -> None:
    assert [line for line in app.log_lines() if line["event"] == "guard.configuration"] == []
    assert "Read-only file system" not in app.log()
    assert "Permission denied" not in app.log()
