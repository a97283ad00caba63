"""What the examples of deployment say, as the programs read it that they are for."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.deployed_app import DEPLOY, image_environment, instructions
from tools.wheel_components import locate

CHART = DEPLOY / "helm" / "fraiseql-guard-app"
UNIT = DEPLOY / "systemd" / "blog.service"
VALUES = (CHART / "values.yaml", *sorted((CHART / "ci").iterdir()))


def ran(*command: str | Path, cwd: Path | None = None) -> str:
    """What a command prints; an AssertionError with all of it if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_secrets(folder: Path) -> Path:
    """The secrets as secrets.sh makes them."""
    ran("sh", DEPLOY / "secrets.sh", folder)
    return folder


@functools.cache
def _composed(folder: Path) -> str:
    shutil.copytree(DEPLOY, folder, dirs_exist_ok=True)
    make_secrets(folder / "secrets")
    return ran(locate("docker-compose"), "--file", folder / "compose.yaml", "config", "--format", "json")


def compose(folder: Path) -> dict[str, Any]:
    """compose.yaml as Docker Compose understands it, from a copy in a folder that has its secrets."""
    return json.loads(_composed(folder))


@functools.cache
def _manifests() -> str:
    return ran(locate("kubectl"), "kustomize", DEPLOY / "kubernetes")


def manifests() -> list[dict[str, Any]]:
    """The Kubernetes manifests as ``kubectl apply -k`` sends them."""
    return list(yaml.safe_load_all(_manifests()))


@functools.cache
def _rendered(values: Path) -> str:
    return ran(locate("helm"), "template", "blog", CHART, "--namespace", "shop", "--values", values)


def rendered(values: Path) -> list[dict[str, Any]]:
    """What the chart makes of a file of values."""
    return [each for each in yaml.safe_load_all(_rendered(values)) if each]


def one(resources: list[dict[str, Any]], kind: str, name: str = "blog") -> dict[str, Any]:
    """The resource of a kind and a name."""
    (found,) = (each for each in resources if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def pod_of(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """The pods of the app."""
    (found,) = (
        each["spec"]["template"]["spec"]
        for each in resources
        if each["kind"] == "Deployment" and each["metadata"]["name"] == "blog"
    )
    return found


def container_environment(resources: list[dict[str, Any]]) -> dict[str, str]:
    """The variables of a pod's container, with those of its image."""
    (container,) = pod_of(resources)["containers"]
    (source,) = (each["configMapRef"]["name"] for each in container["envFrom"])
    given = {each["name"]: each["value"] for each in container["env"]}
    return {**image_environment(), **one(resources, "ConfigMap", source)["data"], **given}


def unit_lines() -> Iterator[tuple[str, str]]:
    """The assignments of the unit, in their order."""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            yield match[1], match[2]


def unit_environment() -> dict[str, str]:
    """The variables of the unit and of its file, with the folders that systemd puts in named as in a container."""
    lines = (DEPLOY / "systemd" / "blog.env").read_text(encoding="utf-8").splitlines()
    assignments = [line for line in lines if line and not line.startswith("#")]
    assignments += [value for key, value in unit_lines() if key == "Environment"]
    found = dict(assignment.split("=", 1) for assignment in assignments)
    found["CREDENTIALS_DIRECTORY"] = "%d"  # which systemd sets
    return {name: value.replace("%d", "/run/secrets").replace("%t", "/run") for name, value in found.items()}


def unit_command() -> list[str]:
    """What the unit starts."""
    (line,) = (value for key, value in unit_lines() if key == "ExecStart")
    return shlex.split(line)


def image_command() -> list[str]:
    """What the image starts."""
    return json.loads(instructions("CMD")[-1])
