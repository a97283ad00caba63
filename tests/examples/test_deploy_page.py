"""The commands of docs/deployment.md and of examples/deploy/README.md: what can run here runs, and of what needs a
daemon or a cluster the program itself reads the words."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import chdir
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fraiseql_guard.cli import app as command_line
from fraiseql_guard.core.fraiseql_variables import DATABASE_FILE_VARIABLE
from tests.docs.shell import commands
from tests.support.deployed_app import DEPLOY
from tests.support.deployments import CHART, make_secrets, ran, unit_environment
from tests.support.pages import blocks
from tests.support.sink import Sink
from tools.components import locate as component
from tools.wheel_components import PROGRAMS, locate

PAGE = "docs/deployment.md"
README = "examples/deploy/README.md"
PAGE_FILE = DEPLOY.parents[1] / PAGE
UNITS = {"daemon-reload": 0, "enable": 1, "restart": 1}
"""Verbs of systemctl on the page, and how many units each is told."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of examples/deploy, in which the page has its reader type."""
    folder = tmp_path / "deploy"
    shutil.copytree(DEPLOY, folder)
    return folder


def typed(page: str = PAGE) -> Iterator[str]:
    """Every command of a page, in its order, each on one line."""
    return (command.text.replace("\\\n", " ") for block in blocks(page, "sh") for command in commands(block))


def typed_that_begin(*beginnings: str) -> list[list[str]]:
    found = [shlex.split(line) for line in typed() if line.startswith(beginnings)]
    assert found
    return found


def read_by(program: Path, words: list[str], cwd: Path) -> None:
    """The program knows the command and its options: it reads them, and answers with its help."""
    ran(program, *words, "--help", cwd=cwd)


def test_the_commands_of_docker_compose_are_read_by_it(copy: Path) -> None:
    for line in typed():
        for words in re.findall(r"docker compose ([^|]+)", line):
            own, _, inside = words.strip().partition(" app fraiseql-guard")
            assert not inside or own.startswith("exec")
            read_by(locate("docker-compose"), shlex.split(own), copy)


def test_the_secrets_of_kubernetes_are_made_of_the_files(copy: Path) -> None:
    make_secrets(copy / "secrets")
    made: dict[str, set[str]] = {}
    for words in typed_that_begin("kubectl --namespace shop create secret"):
        text = ran(locate("kubectl"), *words[1:], "--dry-run=client", "--output=json", cwd=copy)
        found: dict[str, Any] = json.loads(text)
        made.setdefault(found["metadata"]["name"], set()).update(found["data"])
    assert made["blog-metrics"] == {"token"}
    assert made["blog-redis-users"] == {"redis_users.acl"}
    assert made["blog-secrets"] == {"jwt_secret", "redis_url", "admin_tokens", "fraiseql_database_url", "metrics_token"}


def test_the_other_commands_of_kubectl_are_read_by_it_and_their_files_are_there(copy: Path) -> None:
    for words in typed_that_begin("kubectl"):
        own = words[1 : words.index("--")] if "--" in words else words[1:]
        read_by(locate("kubectl"), own, copy)
        named = [after for word, after in pairwise(words) if word in ("--filename", "--kustomize")]
        assert all((copy / name).exists() for name in named), words


def test_helm_installs_the_chart_with_the_options_of_the_page(copy: Path) -> None:
    for words in typed_that_begin("helm upgrade --install"):
        read_by(locate("helm"), words[1:], copy)
        made = ran(locate("helm"), "template", *words[3:], cwd=copy)
        assert "FRAISEQL_GUARD_TRUSTED_PROXIES" in made
        assert (copy / words[4]).name == CHART.name


def test_the_files_of_the_unit_are_installed_where_it_expects_them(copy: Path, tmp_path: Path) -> None:
    for line in typed():
        if line.startswith(("sudo install", "sudo mkdir", "sudo POSTGRES_HOST")):
            here = re.sub(r"(?<= )/(opt|etc)", rf"{tmp_path}/\1", line.removeprefix("sudo "))
            ran("sh", "-ec", here, cwd=copy)
    installed = {path.name for path in (tmp_path / "opt/blog").iterdir()}
    assert installed == {"blog.py", "gunicorn.conf.py", "requirements.txt", "blog-guard"}
    unit = (tmp_path / "etc/systemd/system/blog.service").read_text(encoding="utf-8")
    named = re.findall(r"(?:LoadCredential=\w+:|EnvironmentFile=)(/etc/\S+)", unit)
    assert len(named) == 6
    assert all((tmp_path / name.removeprefix("/")).is_file() for name in named)
    assert "@127.0.0.1:6379" in (tmp_path / "etc/blog/secrets/redis_url").read_text()
    # The operator's command has the settings of the unit, secrets included.
    command = tmp_path / "opt/blog/blog-guard"
    command.write_text(re.sub(r"(?<=[ =])/(opt|etc)", rf"{tmp_path}/\1", command.read_text(encoding="utf-8")))
    program = tmp_path / "opt/blog/venv/bin/fraiseql-guard"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$@"\nenv | grep ^FRAISEQL_\n')
    program.chmod(0o755)
    words, *variables = ran(command, "block", "a b").splitlines()
    assert words == "block a b"
    told = dict(variable.split("=", 1) for variable in variables)
    assert told[DATABASE_FILE_VARIABLE].endswith("/fraiseql_database_url")
    for name, value in unit_environment().items():
        if name.startswith("FRAISEQL_"):
            assert Path(told[name]).is_file() if name.endswith("_FILE") else told[name] == value, name


def test_the_unit_gets_its_packages_as_the_image_does() -> None:
    """test_deploy_running.py runs the image's line."""
    (install,) = (line for line in typed() if " pip install " in line.replace("/bin/pip", " pip"))
    image = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    options = install.partition(" install ")[2].replace("/opt/blog/", "")
    assert f"install {options}\n" in image
    assert "sudo python3.13 -m venv /opt/blog/venv" in list(typed())


def test_systemctl_is_told_of_the_unit_that_there_is() -> None:
    for words in typed_that_begin("sudo systemctl"):
        verb, *rest = (word for word in words[2:] if not word.startswith("--"))
        assert len(rest) == UNITS[verb]
        assert all((DEPLOY / "systemd" / name).is_file() for name in rest)


def test_secrets_are_made_as_the_page_says(copy: Path) -> None:
    lines = [line for line in typed() if "secrets.sh secrets" in line]
    assert len(lines) == 2
    for line in lines:
        shutil.rmtree(copy / "secrets", ignore_errors=True)
        ran("sh", "-ec", line, cwd=copy)
    assert "@postgres.example:5432/" in (copy / "secrets" / "fraiseql_database_url").read_text()
    table = re.findall(r"^\| ((?:`\w[\w.]+`,? ?)+) \|", PAGE_FILE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name for row in table for name in re.findall(r"`([\w.]+)`", row)}
    assert listed == {path.name for path in (copy / "secrets").iterdir()}


def test_the_rules_and_the_dashboard_are_written_as_the_readme_says(copy: Path) -> None:
    """test_deploy_files.py holds what is there against the code; these are the commands that write it."""
    written = [copy / "compose" / "prometheus-rules", copy / "compose" / "grafana" / "dashboards"]
    before = {path: path.read_text() for folder in written for path in folder.iterdir()}
    rule = copy / "kubernetes" / "prometheus-rule.yaml"
    before[rule] = rule.read_text()
    for path in before:
        path.unlink()
    ours = [line for line in typed(README) if line.startswith("fraiseql-guard") and "--api" not in line]
    assert len(ours) == 3
    with chdir(copy):
        for line in ours:
            assert CliRunner().invoke(command_line, shlex.split(line)[1:]).exit_code == 0, line
    assert {path: path.read_text() for path in before} == before
    ran(component("promtool"), "check", "rules", *written[0].iterdir())


def test_grafana_is_sent_the_dashboard_as_the_readme_says(tmp_path: Path) -> None:
    (line,) = (line for line in typed(README) if line.startswith("curl"))
    (tmp_path / "request.json").write_text('{"dashboard": {}}')
    grafana = Sink()
    try:
        environment = {**os.environ, "GRAFANA": grafana.url, "GRAFANA_TOKEN": "a-token", "no_proxy": "*"}
        subprocess.run(["sh", "-ec", line], cwd=tmp_path, env=environment, check=True, timeout=60)
    finally:
        grafana.close()
    ((path, headers, body),) = grafana.received
    assert (path, headers["Authorization"]) == ("/api/dashboards/db", "Bearer a-token")
    assert json.loads(body) == {"dashboard": {}}


def test_a_command_with_an_option_that_does_not_exist_is_found(copy: Path) -> None:
    for program, words in (("kubectl", ["apply", "--kustomise", "x"]), ("helm", ["upgrade", "--instal", "a", "b"])):
        with pytest.raises(AssertionError):
            read_by(locate(program), words, copy)
    with pytest.raises(AssertionError):
        read_by(locate("docker-compose"), ["up", "--buildd"], copy)
    assert set(PROGRAMS) >= {"kubectl", "helm", "docker-compose"}
