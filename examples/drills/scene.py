"""All that takes part: Redis, PostgreSQL, two instances of the FraiseQL example, Prometheus, Alertmanager, webhook."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from examples.fraiseql_blog.serve import DATABASE_URL
from examples.process import OURS, ExampleServer
from fraiseql_guard.core.fraiseql_variables import DATABASE_VARIABLE
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.runbooks.render import Choices, scaled, write_rule_files
from tests.support.redis_server import RedisServer
from tools.alertmanager import AlertmanagerServer, Webhook
from tools.prometheus import PrometheusServer

SCALE: Final = 0.04
"""Windows of 5 minutes become 12 seconds. Thresholds are those of production."""
INSTANCES: Final = 2
_COMMAND_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a drill acts on."""

    instances: tuple[ExampleServer, ...]
    prometheus: PrometheusServer
    webhook: Webhook
    secret: str
    environment: Mapping[str, str]
    """What the operator's shell has set."""

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression of the runbooks, at this scene's scale."""
        return self.prometheus.query(scaled(expression, SCALE))

    def type(self, command: str) -> str:
        """Type ``fraiseql-guard COMMAND``, and return what it says. RuntimeError if it does not end with 0."""
        program = [sys.executable, "-m", "fraiseql_guard", *shlex.split(command)]
        ended = subprocess.run(  # noqa: S603 - our own command
            program, env=self.environment, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
        if ended.returncode:
            raise RuntimeError(f"fraiseql-guard {command} ended with {ended.returncode}: {ended.stderr.strip()}")
        return ended.stdout.strip()

    def logged(self, event: str) -> Mapping[str, Any]:
        """What ``fraiseql-guard logs`` says of an event, of all instances together."""
        files = shlex.join(str(each.log_file) for each in self.instances)
        found: Mapping[str, Any] = json.loads(self.type(f"logs {files} --event {event} --json"))
        return found


@contextmanager
def set_up(own: Mapping[str, str]) -> Iterator[Scene]:
    """Start everything; end it and remove its files whatever happens. ``own`` are the drill's variables."""
    secret = secrets.token_urlsafe(48)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fraiseql-guard-drill-")))
        redis = stack.enter_context(RedisServer())
        environment = {
            name_of("jwt_secret"): secret,
            name_of("redis_url"): redis.url,
            name_of("trusted_proxies"): "127.0.0.1",  # callers choose their address by X-Forwarded-For
            **own,
        }
        instances = tuple(_instances(stack, folder, environment))
        webhook = stack.enter_context(Webhook())
        alertmanager = stack.enter_context(AlertmanagerServer(folder / "alertmanager", webhook.url))
        prometheus = stack.enter_context(
            PrometheusServer(
                folder / "prometheus",
                {"blog": [each.url.removeprefix("http://") for each in instances]},
                rule_files=write_rule_files(folder / "rules", Choices(scale=SCALE)),
                alertmanagers=[alertmanager.address],
            )
        )
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        yield Scene(
            instances=instances,
            prometheus=prometheus,
            webhook=webhook,
            secret=secret,
            environment={**clean, **environment, DATABASE_VARIABLE: instances[0].database_url or ""},
        )


def _instances(stack: ExitStack, folder: Path, environment: Mapping[str, str]) -> Iterator[ExampleServer]:
    """The first brings the database, which the others share."""
    database: dict[str, str] = {}
    for number in range(INSTANCES):
        home = folder / f"instance-{number}"
        home.mkdir()
        server = stack.enter_context(ExampleServer("examples.drills", home, {**environment, **database}))
        database = {DATABASE_URL: server.database_url or ""}
        yield server
