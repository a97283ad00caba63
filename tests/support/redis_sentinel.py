"""A master, its replica and Sentinels of the tests' own, quick to fail over."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import redis

from tests.support.redis_server import RedisServer

MASTER_NAME = "limits"


class RedisSentinels:
    """Starts on entering, ends on leaving. A master is given up after ``down_after_ms`` of silence.

    ``password`` is that of the servers, ``sentinel_password`` that of the Sentinels.
    """

    def __init__(
        self, *, sentinels: int = 1, down_after_ms: int = 500, password: str = "", sentinel_password: str = ""
    ) -> None:
        auth = ["--requirepass", password, "--masterauth", password] if password else []
        self.master = RedisServer("--repl-diskless-sync-delay", "0", *auth)
        self.replica = RedisServer("--replicaof", "127.0.0.1", str(self.master.port), *auth)
        self._passwords = (password, sentinel_password)
        self._down_after_ms = down_after_ms
        self.sentinels = [RedisServer("--sentinel", configuration=self._sentinel_file()) for _ in range(sentinels)]
        self._running = ExitStack()

    @property
    def url(self) -> str:
        """redis+sentinel:// with all Sentinels."""
        password, sentinel_password = self._passwords
        user = f":{password}@" if password else ""
        query = f"?sentinel_password={sentinel_password}" if sentinel_password else ""
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{user}{places}/{MASTER_NAME}{query}"

    def ask_sentinel(self, *command: str) -> object:
        """One command to the last Sentinel."""
        with redis.Redis(port=self.sentinels[-1].port, password=self._passwords[1] or None) as client:
            return client.execute_command(*command)

    def master_port(self) -> int:
        """The port of the master that the last Sentinel names."""
        return int(self.ask_sentinel("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)[1])

    def __enter__(self) -> Self:
        try:
            for server in (self.master, self.replica, *self.sentinels):
                self._running.enter_context(server)
            self._wait_until_watched()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _sentinel_file(self) -> str:
        password, sentinel_password = self._passwords
        lines = [
            f"sentinel monitor {MASTER_NAME} 127.0.0.1 {self.master.port} 1",
            f"sentinel down-after-milliseconds {MASTER_NAME} {self._down_after_ms}",
            f"sentinel failover-timeout {MASTER_NAME} 2000",
            *([f"sentinel auth-pass {MASTER_NAME} {password}"] if password else []),
            *([f"requirepass {sentinel_password}"] if sentinel_password else []),
        ]
        return "\n".join(lines) + "\n"

    def _wait_until_watched(self) -> None:
        """A Sentinel finds the replica by asking the master, and promotes it only once it is in step.

        That a replica is online does not say yet that it is sent what is written: only its acknowledgement does.
        """
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with redis.Redis(port=self.master.port, password=self._passwords[0] or None, socket_timeout=20) as client:
                client.set("step", 1, px=60_000)
                in_step = client.wait(1, 1000) == 1
            masters = self.ask_sentinel("SENTINEL", "REPLICAS", MASTER_NAME)
            if in_step and len(masters) == 1 and "master-link-status" in str(masters) and "'ok'" in str(masters):
                return
            time.sleep(0.1)
        raise RuntimeError("the Sentinel does not find the replica")
