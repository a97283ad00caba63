"""Each file of a deployment is read by the program that it is for; where none is there it is compared with the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fraiseql_guard import Guard
from fraiseql_guard.core.settings import VARIABLES, Settings, warnings
from fraiseql_guard.operations.runbooks.chosen_labels import parse_by
from fraiseql_guard.operations.runbooks.dashboard import render_dashboard
from fraiseql_guard.operations.runbooks.render import Choices, prometheus_rule, rule_files
from tests.support.asgi import EchoApp, request
from tests.support.deployed_app import DEPLOY, image_environment, instructions
from tests.support.deployments import (
    CHART,
    UNIT,
    VALUES,
    compose,
    container_environment,
    make_secrets,
    manifests,
    one,
    pod_of,
    ran,
    rendered,
    unit_environment,
    unit_lines,
)
from tools.components import locate as component
from tools.wheel_components import locate

RUNBOOKS = "https://github.com/fraiseql/fraiseql-guard/blob/main/docs/runbooks"
KUBERNETES = ("1.30", "1.35")
"""The oldest version that the chart is for, and that of kubectl here."""
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
"""Kinds that the Prometheus Operator brings: tests/examples/test_deploy.py and promtool read them."""
YAML = """
extends: default
ignore: [prometheus-rule.yaml, prometheus-rules/]
rules:
  braces: {max-spaces-inside: 1}
  comments: {min-spaces-from-content: 1}
  document-start: disable
  indentation: {indent-sequences: consistent}
  line-length: {max: 160}
  quoted-strings: disable
"""
EVERY_WAY = ("compose", "systemd", "kubernetes", *(path.name for path in VALUES))


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return compose(tmp_path_factory.mktemp("compose") / "deploy")


def environment_of(way: str, composed: dict[str, Any]) -> dict[str, str]:
    """All variables of the app, as one of the deployments starts it."""
    if way == "compose":
        return {**image_environment(), **composed["services"]["app"]["environment"]}
    if way == "systemd":
        return unit_environment()
    if way == "kubernetes":
        return container_environment(manifests())
    (values,) = (path for path in VALUES if path.name == way)
    return container_environment(rendered(values))


def every_pod() -> list[list[dict[str, Any]]]:
    return [manifests(), *map(rendered, VALUES)]


# The Dockerfile


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert ran(locate("hadolint"), "--strict-labels", "--no-color", DEPLOY / "Dockerfile") == ""


def test_the_image_is_two_stages_of_a_slim_python_and_runs_as_no_root() -> None:
    assert [line.split()[0] for line in instructions("FROM")] == ["python:${PYTHON}-slim"] * 2
    assert instructions("USER") == ["10001:10001"]
    assert "--only-binary=:all:" in " ".join(instructions("RUN"))
    assert not any("SECRET" in line or "TOKEN" in line for line in instructions("ARG") + instructions("ENV"))


def test_what_the_image_copies_is_all_that_a_build_sees() -> None:
    copied = {name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]}
    lines = (DEPLOY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert "*" in lines
    assert all((DEPLOY / name).is_file() for name in copied)


# Docker Compose


def test_compose_starts_the_services_in_order_and_confined(composed: dict[str, Any]) -> None:
    services = composed["services"]
    assert set(services) == {"app", "postgres", "redis", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
    conditions = {name: each["condition"] for name, each in services["app"]["depends_on"].items()}
    assert conditions == {"postgres": "service_healthy", "redis": "service_healthy"}


def test_every_file_that_compose_mounts_is_there(composed: dict[str, Any]) -> None:
    binds = [
        Path(volume["source"])
        for service in composed["services"].values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    ]
    files = [Path(secret["file"]) for secret in composed["secrets"].values()]
    assert len(binds) >= 6
    assert [path for path in (*binds, *files) if not path.exists()] == []


def test_compose_has_no_secret_among_its_variables(composed: dict[str, Any]) -> None:
    names = [name for each in composed["services"].values() for name in each.get("environment") or {}]
    secrets = [name for name in names if re.search("PASSWORD|SECRET|TOKEN|REDIS_URL|DATABASE_URL", name)]
    assert secrets
    assert all(name.endswith("FILE") for name in secrets)


def test_secrets_are_never_committed() -> None:
    assert "secrets/" in (DEPLOY / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_secrets_end_without_a_line_end(tmp_path: Path) -> None:
    """The Prometheus Operator hands the metrics' token on as it stands: with a line end no scrape succeeds."""
    made = {path.name: path.read_bytes() for path in make_secrets(tmp_path / "secrets").iterdir()}
    of_lines = {"admin_tokens", "redis_users.acl"}
    assert {name for name, text in made.items() if text.endswith(b"\n")} == of_lines
    assert all(b"\n" not in text for name, text in made.items() if name not in of_lines)


def test_secrets_are_made_once_and_stay(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path / "secrets")
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(set(before.values())) == len(before)
    make_secrets(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert folder.stat().st_mode & 0o777 == 0o700


def test_prometheus_takes_the_configuration_and_the_rules_of_compose(tmp_path: Path) -> None:
    text = (DEPLOY / "compose" / "prometheus.yml").read_text(encoding="utf-8")
    (tmp_path / "metrics_token").write_text("token")
    text = text.replace("/etc/prometheus/fraiseql", str(DEPLOY / "compose" / "prometheus-rules"))
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/run/secrets", str(tmp_path)), encoding="utf-8")
    assert f"{len(rule_files())} rule files found" in ran(component("promtool"), "check", "config", file)


def test_the_rules_and_the_dashboard_are_those_of_the_code() -> None:
    """When this fails: the commands of examples/deploy/README.md write them anew."""
    choices = Choices(runbook_url=RUNBOOKS)
    folder = DEPLOY / "compose"
    there = {path.name: path.read_text(encoding="utf-8") for path in (folder / "prometheus-rules").iterdir()}
    assert there == dict(rule_files(choices))
    written = (folder / "grafana" / "dashboards" / "fraiseql-ops.json").read_text(encoding="utf-8")
    assert written == render_dashboard(choices)
    choices = Choices(runbook_url=RUNBOOKS, by=parse_by("job,namespace"))
    rule = (DEPLOY / "kubernetes" / "prometheus-rule.yaml").read_text(encoding="utf-8")
    assert rule == prometheus_rule(choices, metadata_labels={"release": "prometheus"})


def test_grafana_finds_its_data_and_the_dashboard(composed: dict[str, Any]) -> None:
    """No Grafana is at hand: the two files are held against what its provisioning documents."""
    folder = DEPLOY / "compose" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "dashboards" / "fraiseql.yaml").read_text())["providers"]
    mounted = {volume["target"]: Path(volume["source"]) for volume in composed["services"]["grafana"]["volumes"]}
    dashboard = json.loads((mounted[provider["options"]["path"]] / "fraiseql-ops.json").read_text())
    assert dashboard["uid"] == "fraiseql-ops"
    networks = composed["services"]
    assert set(networks["grafana"]["networks"]) & set(networks["prometheus"]["networks"])


# systemd


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that there is: systemd looks whether it can be run."""
    text = UNIT.read_text(encoding="utf-8").replace("/opt/blog/venv/bin/gunicorn", "/bin/true")
    file = tmp_path / UNIT.name
    file.write_text(text, encoding="utf-8")
    return file


def systemd_analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is of the package systemd"
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_systemd_takes_the_unit(unit: Path) -> None:
    done = systemd_analyze("verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_page_says_how_exposed_systemd_finds_the_unit(unit: Path) -> None:
    done = systemd_analyze("security", "--offline=true", "--no-pager", "--threshold=15", unit)
    assert done.returncode == 0, done.stdout  # at most 1.5 of 10
    (level,) = re.findall(r"Overall exposure level for blog.service: ([\d.]+) OK", done.stdout)
    page = (DEPLOY.parents[1] / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert f"`{level} OK`" in page


def test_the_unit_s_secrets_are_credentials_and_its_folder_ends_with_it() -> None:
    lines = list(unit_lines())
    credentials = {value.partition(":")[0] for key, value in lines if key == "LoadCredential"}
    files = {value.rpartition("/")[2] for key, value in lines if key == "Environment" and "=%d/" in value}
    assert files <= credentials
    assert credentials - files == {"fraiseql_database_url"}
    # Kept nowhere (RuntimeDirectoryPreserve=): systemd empties the metrics' folder with every stop.
    assert ("RuntimeDirectory", "blog") in lines
    assert "RuntimeDirectoryPreserve" not in dict(lines)
    assert unit_environment()["PROMETHEUS_MULTIPROC_DIR"].startswith("/run/blog/")


# Kubernetes and Helm


def test_yaml_is_well_kept() -> None:
    from yamllint import linter
    from yamllint.config import YamlLintConfig

    config = YamlLintConfig(YAML)
    files = [path for path in DEPLOY.rglob("*.y*ml") if "templates" not in path.parts]
    assert len(files) > 15
    found = {
        path.name: [str(problem) for problem in linter.run(path.read_text(encoding="utf-8"), config, str(path))]
        for path in files
    }
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_helm_finds_nothing_in_the_chart(values: Path) -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in ran(locate("helm"), "lint", "--strict", "--values", values, CHART)


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(version: str) -> None:
    from kubernetes_validate import validate

    resources = [each for source in every_pod() for each in source if each["kind"] not in CUSTOM]
    assert len(resources) > 25
    for resource in resources:
        validate(resource, version, strict=True)


def test_the_chart_has_the_pods_of_the_manifests() -> None:
    """What a probe, a shutdown or a confinement is learned to need goes into both."""
    plain, chart = (pod_of(source) for source in (manifests(), rendered(CHART / "values.yaml")))
    alike = ("automountServiceAccountToken", "enableServiceLinks", "securityContext", "terminationGracePeriodSeconds")
    assert {key: plain[key] for key in alike} == {key: chart[key] for key in alike}
    one_side, other_side = (pod["containers"][0] for pod in (plain, chart))
    inside = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "resources", "securityContext", "ports")
    assert {key: one_side[key] for key in inside} == {key: other_side[key] for key in inside}
    assert one_side["volumeMounts"] == other_side["volumeMounts"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("env.FRAISEQL_JWT_SECRET=abc",), "FRAISEQL_JWT_SECRET"),
        (("env.FRAISEQL_GUARD_MODE=watch",), "FRAISEQL_GUARD_MODE"),
        (("ingress.paths[0]=/metrics",), "/ingress/paths/0"),
        (("ingress.enabled=true",), "FRAISEQL_GUARD_TRUSTED_PROXIES"),
        (("replica=3",), "replica"),
    ],
)
def test_the_chart_refuses_what_would_go_wrong(arguments: tuple[str, ...], complaint: str) -> None:
    options = [word for argument in arguments for word in ("--set", argument)]
    command = [str(locate("helm")), "template", "blog", str(CHART), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_the_chart_takes_no_secret_of_the_guard_as_a_variable() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    refused = schema["properties"]["env"]["propertyNames"]["not"]["enum"]
    assert set(refused) == {row.name for row in VARIABLES if row.form.secret} | {"FRAISEQL_DATABASE_URL"}


def test_numbers_reach_the_app_as_they_are_written(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("env: {FRAISEQL_GUARD_MAX_BODY_BYTES: 20971520, FRAISEQL_GUARD_SLOW_QUERY_SECONDS: 0.5}\n")
    data = one(rendered(values), "ConfigMap", "blog-settings")["data"]
    assert data["FRAISEQL_GUARD_MAX_BODY_BYTES"] == "20971520"
    assert data["FRAISEQL_GUARD_SLOW_QUERY_SECONDS"] == "0.5"


def test_prometheus_takes_the_rules_for_its_operator(tmp_path: Path) -> None:
    found = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus-rule.yaml").read_text(encoding="utf-8"))
    assert (found["apiVersion"], found["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(found["spec"]), encoding="utf-8")
    assert "SUCCESS" in ran(component("promtool"), "check", "rules", file)


def test_the_monitors_scrape_the_port_and_the_secret_that_there_are() -> None:
    beside = yaml.safe_load((DEPLOY / "servicemonitor.yaml").read_text(encoding="utf-8"))
    service = one(manifests(), "Service")
    assert beside["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert beside["spec"]["namespaceSelector"]["matchNames"] == [service["metadata"]["namespace"]]
    everything = rendered(CHART / "ci" / "everything-values.yaml")
    of_chart = one(everything, "ServiceMonitor")
    labels = one(everything, "Service")["metadata"]["labels"]
    assert of_chart["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for monitor, resources in ((beside, manifests()), (of_chart, everything)):
        (endpoint,) = monitor["spec"]["endpoints"]
        ports = {port["name"] for port in one(resources, "Service")["spec"]["ports"]}
        assert endpoint["port"] in ports
        assert endpoint["path"] == Settings.load({}).metrics_path
        wanted = endpoint["authorization"]["credentials"]["name"]
        (volume,) = (each["projected"] for each in pod_of(resources)["volumes"] if "projected" in each)
        assert wanted in {source["secret"]["name"] for source in volume["sources"]}


def test_graphql_alone_is_reached_from_outside() -> None:
    for resources in (manifests(), rendered(CHART / "ci" / "everything-values.yaml")):
        (rule,) = one(resources, "Ingress")["spec"]["rules"]
        assert [path["path"] for path in rule["http"]["paths"]] == list(Settings.load({}).graphql_paths)


def test_redis_is_reached_by_the_app_alone() -> None:
    policy = one(manifests(), "NetworkPolicy", "blog-redis")["spec"]
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    app = one(manifests(), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert peer["podSelector"]["matchLabels"] == app
    assert policy["egress"] == []


# All of them


@pytest.mark.parametrize("way", EVERY_WAY)
def test_the_guard_accepts_the_variables(way: str, composed: dict[str, Any], tmp_path: Path) -> None:
    environment = environment_of(way, composed)
    secrets = make_secrets(tmp_path / "secrets")
    here = {
        name: re.sub(r"^(/run/secrets|/etc/blog/secrets)", str(secrets), value) for name, value in environment.items()
    }
    settings = Settings.load(here)
    assert settings.mode == ("enforce" if way == "everything-values.yaml" else "monitor")
    assert settings.jwt_secret is not None
    assert warnings(here) == []
    # Several workers share their metrics, in a folder below one that can be written to.
    assert environment["PROMETHEUS_MULTIPROC_DIR"] == "/run/blog/metrics"
    # Keys in Redis begin with what the Redis user may touch.
    assert f"~{settings.namespace}:*" in (secrets / "redis_users.acl").read_text() or settings.redis_url is None


def test_kubernetes_starts_the_app_that_compose_starts(composed: dict[str, Any]) -> None:
    """So what test_deploy_running.py tries of the one holds for the other: the image is the same."""
    one_side, other_side = (environment_of(way, composed) for way in ("compose", "kubernetes"))
    other_side = {name: value.replace("/etc/blog/secrets", "/run/secrets") for name, value in other_side.items()}
    different = {name for name in one_side | other_side if one_side.get(name) != other_side.get(name)}
    assert different == {"FRAISEQL_GUARD_TRUSTED_PROXIES"}
    assert all("command" not in pod_of(source)["containers"][0] for source in every_pod())


@pytest.mark.parametrize("way", ["kubernetes", "everything-values.yaml"])
async def test_probes_of_a_kubelet_are_answered_and_cost_nothing(way: str, composed: dict[str, Any]) -> None:
    """Also from within the network of the trusted proxies, where a kubelet may have its address."""
    resources = manifests() if way == "kubernetes" else rendered(CHART / "ci" / way)
    (container,) = pod_of(resources)["containers"]
    paths = {container[kind]["httpGet"]["path"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths <= set(Settings.load({}).exempt_paths)
    environment = environment_of(way, composed)
    trusted = environment["FRAISEQL_GUARD_TRUSTED_PROXIES"]
    app = Guard(EchoApp(), trusted_proxies=trusted, rate_limit_default="1/hour", rate_limit_burst=0)
    for address in ("10.42.0.1", "192.168.7.20"):
        for path in sorted(paths) * 3:
            reply = await request(app, "GET", path, client=(address, 40_000))
            assert reply.status == 200, (address, path)
    await app.aclose()


@pytest.mark.parametrize("path", ["/metrics", "/admin/status", "/health/detailed"])
async def test_operators_pages_are_closed_to_clients_behind_the_ingress(path: str) -> None:
    """Should a path be forwarded by mistake."""
    environment = container_environment(manifests())
    app = Guard(
        EchoApp(),
        trusted_proxies=environment["FRAISEQL_GUARD_TRUSTED_PROXIES"],
        metrics_token="m" * 32,
        admin_tokens="ada=" + "a" * 32,
    )
    headers = {"x-forwarded-for": "203.0.113.9"}
    reply = await request(app, "GET", path, client=("10.42.3.4", 40_000), headers=headers)
    assert reply.status in (401, 403)
    await app.aclose()


def test_a_shutdown_has_the_time_that_it_needs(composed: dict[str, Any]) -> None:
    """The query timeout is over before gunicorn gives up, and gunicorn before what started it does."""
    text = (DEPLOY / "gunicorn.conf.py").read_text(encoding="utf-8")
    graceful = int(re.findall(r"^graceful_timeout = (\d+)", text, re.MULTILINE)[0])
    silent = int(re.findall(r"^timeout = (\d+)", text, re.MULTILINE)[0])
    assert Settings.load({}).query_timeout < min(graceful, silent)
    assert composed["services"]["app"]["stop_grace_period"] == "45s"
    assert int(dict(unit_lines())["TimeoutStopSec"]) > graceful
    for resources in every_pod():
        pod = pod_of(resources)
        before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] >= before + graceful + 5
