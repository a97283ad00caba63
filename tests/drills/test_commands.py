"""What the runbooks tell to type acts on a running FraiseQL, typed as it stands there."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraiseql_guard import Guard
from fraiseql_guard.core.fraiseql_variables import DATABASE_VARIABLE
from fraiseql_guard.core.settings import name_of
from tests.cli.fleet import SECRET, TOKEN, Operator, eventually
from tests.operations.runbooks.pages import Command, for_drills
from tests.support.asgi import EchoApp
from tests.support.processes import FRAISEQL, Server, needs_fraiseql
from tests.support.redis_server import RedisServer

pytestmark = [*needs_fraiseql, pytest.mark.redis]

TYPED = [command for command in for_drills() if command.kind == "sh"]
WRITTEN = [command for command in for_drills() if command.kind == "python"]
ONLY_LOOKS = {"fraiseql-guard keys", "fraiseql-guard queries", "fraiseql-guard pool", "fraiseql-guard sockets"}
SAYS_NOTHING_NEEDED = {"fraiseql-guard queries", "fraiseql-guard sockets"}  # nothing is at work, and nothing open


class Site:
    """A FraiseQL app on a Redis, with an operator's shell beside it."""

    def __init__(self, server: Server, redis: RedisServer) -> None:
        self.redis = redis
        self.operator = Operator({name_of("redis_url"): redis.url, name_of("jwt_secret"): SECRET})
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FRAISEQL_")}
        self.shell = {
            **clean,
            **self.operator.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            DATABASE_VARIABLE: server.database_url or "",
            "APP": server.url,
            "ADMIN_TOKEN": TOKEN,
        }

    def actions(self) -> list[dict]:
        """What operators have done so far."""
        return self.operator.done("actions", "--json", "--last", "1000").json


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    with RedisServer() as redis:
        environment = {
            name_of("redis_url"): redis.url,
            name_of("jwt_secret"): SECRET,
            name_of("admin_tokens"): f"oncall={TOKEN}",
        }
        with Server(FRAISEQL, tmp_path_factory.mktemp("app"), environment) as server:
            found = Site(server, redis)
            eventually(lambda: found.operator("pool", "--json").out != "{}\n" or "nobody", "a worker should report")
            yield found


@pytest.fixture(autouse=True)
def nothing_in_force(site) -> None:
    """The same target may be blocked on several pages."""
    site.operator.done("lift", "--all", "--origin", "any")


@pytest.mark.parametrize("command", TYPED, ids=str)
def test_a_command_acts_as_it_is_written(command: Command, site: Site, tmp_path: Path) -> None:
    before = len(site.actions())
    done = subprocess.run(
        ["sh", "-ec", command.text],
        cwd=tmp_path,
        env=site.shell,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done
    if command.program not in SAYS_NOTHING_NEEDED:
        lines = [json.loads(line) for line in done.stderr.splitlines()]  # of a change on Redis, that it was made
        assert done.stdout.strip(), done
        assert all(line["event"].startswith("admin.") for line in lines), done
    if command.program in ONLY_LOOKS:
        return
    newest, *_ = after = site.actions()
    assert len(after) > before, "nothing was done"
    if command.program == "curl":
        assert json.loads(done.stdout)
        assert newest["actor"] == "oncall"


@pytest.mark.parametrize("command", WRITTEN, ids=str)
def test_python_acts_as_it_is_written(command: Command, site: Site) -> None:
    async def act() -> None:
        guard = Guard(EchoApp(), jwt_secret=SECRET, redis_url=site.redis.url)
        names = {"guard": guard}
        exec(f"async def written():\n    {command.text}\n", names)
        await names["written"]()
        await guard.aclose()

    asyncio.run(act())
    (block,) = site.operator.done("blocks", "--json").json
    assert block["target"]["ip_address"] in command.text
    assert block["reason"] in command.text


def test_there_is_something_to_type() -> None:
    assert {command.program for command in TYPED} >= {"curl", "fraiseql-guard block", "fraiseql-guard set"}
    assert len(TYPED) >= 20
    assert len(WRITTEN) >= 3
