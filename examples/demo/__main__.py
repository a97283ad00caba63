"""Run the demo, or keep the example running for you (``--serve``)."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import httpx
from rich.console import Console

from examples.demo import phases
from examples.demo.blogs import Blog, choose_blog
from examples.demo.sockets import live_socket
from examples.demo.stage import ExpectationError, Stage
from examples.process import ExampleServer
from fraiseql_guard.testing import make_token

TOKEN_SECONDS = 3600


def environment(secret: str) -> dict[str, str]:
    """Small limits, so that they are quickly met. Without FRAISEQL_REDIS_URL the store is the process's memory."""
    return {
        "FRAISEQL_JWT_SECRET": secret,
        "FRAISEQL_RATE_LIMIT_AUTHENTICATED": f"{phases.RATE_PER_MINUTE}/minute",
        "FRAISEQL_RATE_LIMIT_BURST": str(phases.BURST),
        "FRAISEQL_QUERY_TIMEOUT": str(phases.QUERY_TIMEOUT_SECONDS),
        "FRAISEQL_GUARD_BRUTE_FORCE_OFFENCES": str(phases.BRUTE_FORCE_OFFENCES),
        "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1",
    }


async def drive(server: ExampleServer, blog: Blog, secret: str, console: Console) -> None:
    """All parts, one after the other; ExpectationError at the first that is not as promised."""
    database = server.database_url
    async with httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as client:
        stage = Stage(server, secret, console, client)
        await phases.ordinary(stage, blog)
        await phases.burst(stage, blog)
        await phases.bad_tokens(stage, blog)
        await phases.brute_force(stage, blog)
        await phases.deep(stage, blog)
        await phases.expensive(stage, blog)
        await phases.slow(stage, blog, statements_on(database, blog) if database else None)
        if blog.subscription is not None:
            await live_socket(stage, blog, blog.subscription)


def statements_on(database: str, blog: Blog) -> Callable[[], Awaitable[int]]:
    """A function that counts PostgreSQL's active statements on the slow relation, over a connection of its own."""
    import psycopg  # comes with FraiseQL, which the other example does without

    async def count() -> int:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            cursor = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE state = 'active' AND pid <> pg_backend_pid() AND strpos(query, %s) > 0",
                [blog.slow_relation],
            )
            row = await cursor.fetchone()
            return int(row[0]) if row else 0

    return count


def invite(server: ExampleServer, blog: Blog, secret: str, console: Console) -> None:
    """Say what is running and what to try, and leave it running until it is interrupted."""
    token = make_token(secret, sub="you", expires_in_seconds=TOKEN_SECONDS)
    headers = f"-H 'Content-Type: application/json' -H 'Authorization: Bearer {token}'"
    lines = [
        f"GraphQL    {server.url}/graphql",
        f"WebSocket  {server.url.replace('http', 'ws', 1)}/graphql",
        f"Metrics    {server.url}/metrics",
        f"Log file   {server.log_file}",
        "",
        "An ordinary query, with the headers that tell what is left:",
        f"  curl -i {server.url}/graphql {headers} -d '{json.dumps({'query': blog.ordinary[0]})}'",
        "An expensive one:",
        f"  curl -i {server.url}/graphql {headers} -d '{json.dumps({'query': blog.expensive})}'",
        "What was refused so far:",
        f"  curl -s {server.url}/metrics | grep '^fraiseql_guard_refusals_total.* [1-9]'",
        "",
        f"The token is good for {TOKEN_SECONDS // 60} minutes. Ctrl-C ends the server.",
    ]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    try:
        server.wait()
    except KeyboardInterrupt:
        console.print()


def main() -> int:
    """0 if everything was as promised, else 1."""
    parser = argparse.ArgumentParser(prog="examples.demo", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="leave the example running and print what to try")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _exit)
    console = Console(highlight=False)
    blog, sentence = choose_blog()
    console.print(f"{sentence} {blog.title}, behind fraiseql_guard.Guard.", markup=False, soft_wrap=True)
    secret = secrets.token_urlsafe(48)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="fraiseql-guard-demo-") as folder,
            ExampleServer(blog.package, Path(folder), environment(secret)) as server,
        ):
            if arguments.serve:
                invite(server, blog, secret, console)
                return 0
            asyncio.run(drive(server, blog, secret, console))
    except (ExpectationError, RuntimeError, httpx.HTTPError) as problem:
        console.print(f"\nNot as promised: {problem}", style="bold red", markup=False, soft_wrap=True)
        return 1
    console.print("\nEverything came back as promised.", style="bold green")
    return 0


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
