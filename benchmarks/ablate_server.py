"""The server of an ablation: an app behind the guard on uvicorn, with one part of the guard switched off or none.

``python -m benchmarks.ablate_server NAME REDIS_URL LIMIT`` prints its port and serves until it is ended.
NAME is of benchmarks.ablations, or ``-`` for the guard as it is.
"""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
from typing import Any, Self

from benchmarks.ablations import ABLATIONS
from benchmarks.listeners import loopback
from benchmarks.peers.clock import cpu_seconds
from benchmarks.peers.serve import end_with_parent

SECRET = "a-secret-for-benchmarks-of-32-bytes-or-more"
PLENTY, LITTLE = "900000000/minute", "1/hour"
_ANSWER = b'{"data":{"posts":[{"id":"1","title":"A title"}]}}'
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))],
}
_START_SECONDS = 60.0


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads its body and answers: the least that an app does."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send({"type": "http.response.body", "body": _ANSWER})


def guarded(redis_url: str, limit: str) -> Any:
    """The app behind the guard. Lines go to the null device: formatting is paid for, a disk is not."""
    from fraiseql_guard import Guard

    return Guard(
        app,
        redis_url=redis_url,
        store_timeout_ms=10_000,  # a slow moment must not have the process decide alone, from buckets that are full
        rate_limit_default=limit,
        rate_limit_authenticated=PLENTY,
        rate_limit_burst=0,
        max_in_flight=1_000,
        rate_limit_abuse_offences=1_000_000,  # no block for repeating: it is the refusals that are measured
        log_file=os.devnull,
        jwt_secret=SECRET,
        auth_required=False,
    )


class Server:
    """A process with one part switched off: ends on leaving. It has started once it is :meth:`ready`."""

    def __init__(self, name: str, redis_url: str, limit: str) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FRAISEQL_")}
        command = [sys.executable, "-m", "benchmarks.ablate_server", name, redis_url, limit]
        self._process = subprocess.Popen(command, env=kept, stdout=subprocess.PIPE)
        self._port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def ready(self) -> int:
        """Its port, once it listens; RuntimeError if it does not start."""
        stdout = self._process.stdout
        if not self._port and stdout is not None and select.select([stdout], [], [], _START_SECONDS)[0]:
            self._port = int(stdout.readline() or 0)
        if not self._port:
            raise RuntimeError("the server does not start")
        return self._port

    def cpu_seconds(self) -> float:
        """What the process has used of the processor."""
        return cpu_seconds(self._process.pid)


def main() -> None:
    """Serve until a signal."""
    import uvicorn

    end_with_parent()
    name, redis_url, limit = sys.argv[1:]
    bare = name != "-" and ABLATIONS[name].bare
    if name != "-":
        ABLATIONS[name].off()
    served = app if bare else guarded(redis_url, limit)
    with loopback() as listener:
        listener.listen(1024)  # who connects before the app has started waits
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(
            served,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=600,  # connections rest while another pair of servers starts
        )
        asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
