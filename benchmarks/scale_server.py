"""One worker of the scale benchmark: the guarded app on uvicorn, on a port of its own.

``python -m benchmarks.scale_server`` reads the guard's options (a line of JSON) from standard input, prints its port,
and serves until its parent ends it, or is gone.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from benchmarks.listeners import loopback
from benchmarks.peers.serve import end_with_parent

ANSWER = json.dumps({"data": {"posts": [{"id": str(n), "title": "A title"} for n in range(10)]}}).encode()
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())],
}

_IDLE_SECONDS = 3600
"""Connections stay open while other workers have their turn."""


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Reads its body and answers: the least that an app does."""
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send({"type": "http.response.body", "body": ANSWER})


def main() -> None:
    """Serve until a signal. The log goes to the null device: formatting is paid for, a disk is not."""
    import uvicorn

    from fraiseql_guard import Guard

    end_with_parent()
    app = Guard(bare, log_file=os.devnull, trusted_proxies="127.0.0.1", **json.loads(sys.stdin.readline()))
    with loopback() as listener:
        listener.listen(1024)
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=_IDLE_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
